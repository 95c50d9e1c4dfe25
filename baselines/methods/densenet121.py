"""DenseNet-121 on the image alone."""

from __future__ import annotations

from baselines.api import Baseline, Result, TrainingTask

NAME = "densenet121"


def run(task: TrainingTask) -> Result:
    """Trains by the recipe ``densenet121``."""
    from baselines.network_run import run_recipe
    from baselines.recipe import load_recipe

    return run_recipe(task, load_recipe(NAME, quick=task.quick))


BASELINE = Baseline(
    NAME,
    "DenseNet-121 on the image; a GPU is advised",
    run,
    needs_images=True,
    needs_packages=("torch", "lightning", "monai", "onnx", "onnxscript"),
)
