"""Pixels: logistic regression on a coarse copy of the image, the simplest image model, in one ONNX file."""

from __future__ import annotations

from baselines.api import Baseline, Choices, Result, TrainingTask

SIDE = 64
GRID = 16

DESCRIPTION = (
    f"{GRID} by {GRID} averages of the pixels; 128 principal components of the training images; logistic "
    "regression for each target with a penalty chosen on val ({chosen})."
)


def run(task: TrainingTask) -> Result:
    """Fit logistic regressions on averages of pixels.

    Raises:
        BenchError: There is nothing to choose on (``baseline-no-training``).
    """
    from onnx import helper

    from baselines.probe.fixed import IMAGE, fixed_encoder
    from baselines.probe.projected import run_projected

    pooled = [SIDE // GRID] * 2
    nodes = [helper.make_node("AveragePool", [IMAGE], ["pooled"], kernel_shape=pooled, strides=pooled)]
    encoder = fixed_encoder(task, "pixels", SIDE, nodes, "pooled", GRID**2, [])
    return run_projected(task, encoder, "Pixels", DESCRIPTION, GRID**2)


def side(quick: bool, choices: Choices) -> int:  # noqa: ARG001
    """Side of the images in pixels."""
    return SIDE


BASELINE = Baseline(
    "pixels",
    f"{GRID} by {GRID} pixels, logistic; one ONNX file, no torch",
    run,
    needs_images=True,
    needs_packages=("onnx", "onnxruntime"),
    side=side,
    quick=True,
)
