"""Published method: DenseNet-121 with age and sex predicts measurements and derives the targets."""

from __future__ import annotations

from baselines.networks.by_recipe import by_recipe

BASELINE = by_recipe(
    "densenet121-echo",
    "the published method: image, age and sex to echo measurements; a GPU is advised",
    needs_inputs=("age", "sex"),
    needs_packages=("monai",),
    needs_rule=True,
)
