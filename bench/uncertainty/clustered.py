"""Variance of the AUROC with several images per patient, in closed form."""

from __future__ import annotations

import numpy as np

from bench.metrics.checks import Bools, Floats, Ints
from bench.metrics.influence import placements


def obuchowski_se(positive: Bools, score: Floats, patient: Ints) -> float | None:
    """Standard error of the AUROC with patients as clusters.

    Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data". With one image per patient it is the
    error of DeLong, DeLong & Clarke-Pearson 1988.

    Args:
        positive: (n,) labels.
        score: (n,) scores.
        patient: (n,) whole numbers, the same for images of the same patient.

    Returns:
        The standard error, or None with fewer than two patients in either class.
    """
    _, code = np.unique(patient, return_inverse=True)
    patients = int(code.max()) + 1 if len(code) else 0
    share = placements(positive, score) if positive.any() and not positive.all() else np.zeros(len(score))
    m = np.bincount(code, positive, minlength=patients)
    n = np.bincount(code, ~positive, minlength=patients)
    holding, sparing = int(np.count_nonzero(m)), int(np.count_nonzero(n))
    if holding < 2 or sparing < 2:
        return None
    M, N = float(m.sum()), float(n.sum())
    area = float(share[positive].sum()) / M
    x = np.bincount(code, share * positive, minlength=patients) - m * area
    y = np.bincount(code, share * ~positive, minlength=patients) - n * area
    s10 = holding / ((holding - 1) * M) * np.dot(x, x)
    s01 = sparing / ((sparing - 1) * N) * np.dot(y, y)
    s11 = patients / (patients - 1) * np.dot(x, y)
    return float(np.sqrt(max(s10 / M + s01 / N + 2 * s11 / (M * N), 0.0)))
