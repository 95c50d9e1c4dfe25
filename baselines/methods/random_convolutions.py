"""Random convolutions: fixed random filters, principal components and logistic regression in one ONNX file.

The filters are drawn, never trained (Saxe et al. 2011, "On random weights and unsupervised feature learning",
ICML). It needs no torch, so that an image model can be trained and timed after the smallest installation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from baselines.api import Baseline, Choices, Result, TrainingTask

if TYPE_CHECKING:
    from baselines.probe.encoder import Encoder

SIDE = 64
FILTERS = 32
FILTER_SIDE = 9
STRIDE = 2
GRID = 8  # the rectified answers are averaged over GRID x GRID places

DESCRIPTION = (
    f"{FILTERS} random filters of {FILTER_SIDE} by {FILTER_SIDE} pixels that are not trained, rectified and "
    f"averaged over {GRID} by {GRID} places; 128 principal components of the training images; "
    "logistic regression for each target with a penalty chosen on val ({chosen})."
)


def random_filters(seed: int) -> npt.NDArray[np.float32]:
    """(FILTERS, 1, FILTER_SIDE, FILTER_SIDE) filters of mean 0 and norm 1, the same on every machine."""
    from scipy.special import ndtri

    words = np.random.Philox(key=seed).random_raw(FILTERS * FILTER_SIDE**2)
    normal = ndtri(((words >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52)
    filters = normal.reshape(FILTERS, 1, FILTER_SIDE, FILTER_SIDE)
    filters -= filters.mean((2, 3), keepdims=True)
    filters /= np.sqrt((filters**2).sum((2, 3), keepdims=True))
    return np.asarray(filters, np.float32)


def build_encoder(task: TrainingTask) -> Encoder:
    """Write the filters as an ONNX encoder of 8-bit grey images into the run's folder."""
    from onnx import helper, numpy_helper

    from baselines.probe.fixed import IMAGE, fixed_encoder

    pooled = SIDE // STRIDE // GRID
    nodes = [
        helper.make_node(
            "Conv",
            [IMAGE, "filters"],
            ["answers"],
            kernel_shape=[FILTER_SIDE] * 2,
            strides=[STRIDE] * 2,
            pads=[FILTER_SIDE // 2] * 4,
        ),
        helper.make_node("Relu", ["answers"], ["rectified"]),
        helper.make_node(
            "AveragePool", ["rectified"], ["pooled"], kernel_shape=[pooled] * 2, strides=[pooled] * 2
        ),
    ]
    filters = numpy_helper.from_array(random_filters(task.seed), "filters")
    return fixed_encoder(task, "random convolutions", SIDE, nodes, "pooled", FILTERS * GRID**2, [filters])


def run(task: TrainingTask) -> Result:
    """Fit logistic regressions on the answers of the filters.

    Raises:
        BenchError: There is nothing to choose on (``baseline-no-training``).
    """
    from baselines.probe.projected import run_projected

    return run_projected(task, build_encoder(task), "Random convolutions", DESCRIPTION, FILTERS * GRID**2)


def side(quick: bool, choices: Choices) -> int:  # noqa: ARG001
    """Side of the images in pixels."""
    return SIDE


BASELINE = Baseline(
    "random-convolutions",
    "fixed random filters, logistic; one ONNX file, no torch",
    run,
    needs_images=True,
    needs_packages=("onnx", "onnxruntime"),
    side=side,
    quick=True,
)
