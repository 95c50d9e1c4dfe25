"""Variance of the AUROC with several images per patient, in closed form."""

from __future__ import annotations

import numpy as np

from bench.metrics.score_ranking import Ladder
from bench.metrics.validation import Ints, inner


def obuchowski_se(ladder: Ladder, patient: Ints) -> float | None:
    """Standard error of the AUROC with patients as clusters, all images counting the same.

    Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data". With one image per patient it is
    the error of DeLong, DeLong & Clarke-Pearson 1988.

    Args:
        ladder: The images by score.
        patient: (n,) whole numbers from 0, the same for images of the same patient.

    Returns:
        The standard error, or None with fewer than two patients in either class.
    """
    hit = ladder.positive
    m, n = np.bincount(patient, hit), np.bincount(patient, ~hit)
    patients, holding, sparing = (int(np.count_nonzero(images)) for images in (m + n, m, n))
    if holding < 2 or sparing < 2:
        return None
    M, N = float(m.sum()), float(n.sum())
    area = float(ladder.placement[hit].sum()) / M
    x = np.bincount(patient, ladder.placement * hit) - m * area
    y = np.bincount(patient, ladder.placement * ~hit) - n * area
    s10 = holding / ((holding - 1) * M) * inner(x, x)
    s01 = sparing / ((sparing - 1) * N) * inner(y, y)
    s11 = patients / (patients - 1) * inner(x, y)
    return float(np.sqrt(max(s10 / M + s01 / N + 2 * s11 / (M * N), 0.0)))
