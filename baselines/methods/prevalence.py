"""Training prevalence as the prediction for every image."""

from __future__ import annotations

import numpy as np

from baselines.api import Baseline, Result, TrainingTask
from baselines.describe import describe

DESCRIPTION = (
    "The share of positive training images, for every image alike. It ranks nothing (AUROC 0.5) and is as "
    "well calibrated as the prevalence is stable: the floor of Brier score and AUPRC."
)


def run(task: TrainingTask) -> Result:
    """Compute one number per target."""
    shares = {target: float(np.nanmean(task.train.labels[target])) for target in task.targets}
    predictions = {target: np.full(len(task.test), share) for target, share in shares.items()}
    return Result(describe(task, "Prevalence", DESCRIPTION, ("none",), parameters=len(shares)), predictions)


BASELINE = Baseline("prevalence", "the training prevalence for every image", run, quick=True)
