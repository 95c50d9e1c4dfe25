"""Random convolutions to echo measurements, and targets by the thresholds that define them, in one ONNX file.

The published method (Bhave et al., Eur Heart J 2024;45:2002) without a trained network: each measurement is
normal around a linear prediction, its tail beyond the sex-specific threshold is a probability, and
alternatives are combined as if they were independent. Septum and posterior wall are not, so the risk comes
out too high: `--recalibrate isotonic` repairs it.
"""

from __future__ import annotations

from baselines.api import Baseline, Result, TrainingTask
from baselines.methods.random_convolutions import FILTERS, GRID, build_encoder, side

DESCRIPTION = (
    "The features of random convolutions; ridge regression of each measurement on 128 principal components, "
    "its penalty and its spread taken from val. A target is the chance that a measurement exceeds the "
    "threshold of the sex, alternatives counted as independent: too high where walls thicken together."
)


def run(task: TrainingTask) -> Result:
    """Fit the measurements, and derive the targets.

    Raises:
        BenchError: There is nothing to choose on (``baseline-no-training``).
    """
    from baselines.probe.measured import run_measured

    encoder = build_encoder(task)
    return run_measured(task, encoder, "Random convolutions, echo", DESCRIPTION, FILTERS * GRID**2)


BASELINE = Baseline(
    "random-convolutions-echo",
    "fixed random filters to echo measurements, targets from them; one ONNX file",
    run,
    needs_images=True,
    needs_inputs=("sex",),
    needs_packages=("onnx", "onnxruntime"),
    needs_rule=True,
    side=side,
    quick=True,
)
