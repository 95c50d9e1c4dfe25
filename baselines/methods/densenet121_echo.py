"""The published method: DenseNet-121 with age and sex predicts measurements, and the targets from them."""

from __future__ import annotations

from baselines.api import Baseline, Result, TrainingTask

NAME = "densenet121-echo"


def run(task: TrainingTask) -> Result:
    """Trains by the recipe ``densenet121-echo``.

    Raises:
        BenchError: The spec has no rule from measurements to the headline target (``baseline-label-rule``).
    """
    from baselines.network_run import run_recipe
    from baselines.recipe import load_recipe

    return run_recipe(task, load_recipe(NAME, quick=task.quick))


BASELINE = Baseline(
    NAME,
    "the published method: image, age and sex to echo measurements; a GPU is advised",
    run,
    needs_images=True,
    needs_inputs=("age", "sex"),
    needs_packages=("torch", "lightning", "monai", "onnx", "onnxscript"),
)
