"""The AUROC of a precision that is a model of its own: int8 is scored from its own predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.cohort.cohort import Cohort
from bench.errors import BenchError
from bench.metrics.discrimination import auroc
from bench.runtime.predict import Limits, predict
from bench.submission.manifest import Manifest


def own_auroc(
    model: Path, manifest: Manifest, cohort: Cohort, backend: str, precision: str, limits: Limits | None
) -> dict[str, float]:
    """Binary target → AUROC on all test images, of a model that was put into another precision.

    Targets that are not predicted or have one class only are left out, and so is everything where the model
    does not run: the rows of the record say how it ended.
    """
    rows = cohort.rows("test")
    try:
        found = predict(model, manifest, cohort, rows, backend=backend, precision=precision, limits=limits)
    except BenchError:
        return {}
    scores: dict[str, float] = {}
    for target in cohort.spec.binary_targets:
        if target.name in found:
            labels = cohort.targets[target.name][rows]
            known = ~np.isnan(labels)
            value = auroc(labels[known], found[target.name][known])
            if value is not None:
                scores[target.name] = float(value)
    return scores
