"""A small network on small images, trained in seconds on a CPU."""

from __future__ import annotations

from baselines.api import Baseline, Result, TrainingTask

NAME = "cnn-small"


def run(task: TrainingTask) -> Result:
    """Trains by the recipe ``cnn-small``."""
    from baselines.network_run import run_recipe
    from baselines.recipe import load_recipe

    return run_recipe(task, load_recipe(NAME, quick=task.quick))


BASELINE = Baseline(
    NAME,
    "a small convolutional network, seconds per epoch on a CPU",
    run,
    needs_images=True,
    needs_packages=("torch", "lightning", "onnx", "onnxscript"),
    quick=True,
)
