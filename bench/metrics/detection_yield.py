"""Cases that echocardiography finds when patients are examined in the order of a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.score_ranking import ScoreRanking
from bench.metrics.validation import Floats, finite_vector, scored

CAPACITIES = (0.01, 0.02, 0.05, 0.10, 0.20, 0.30, 0.50)
"""Shares of the images that are sent to echocardiography, as tables show them."""


@dataclass(frozen=True, slots=True)
class DetectionYield:
    """Cumulative yield of echocardiograms in the order of falling score, and in random order.

    Attributes:
        examined: (k,) share of the images whose patient gets an echocardiogram.
        per_100: (k,) positives found per 100 echocardiograms.
        found: (k,) share of all positives that are found; in random order it is `examined`.
        random_per_100: Positives per 100 echocardiograms in random order: 100 times the prevalence.
    """

    examined: Floats
    per_100: Floats
    found: Floats
    random_per_100: float


def detection_yield(
    y: ArrayLike, score: ArrayLike, examined: ArrayLike = CAPACITIES, weight: ArrayLike | None = None
) -> DetectionYield | None:
    """Expected positives among the images with the highest scores; equal scores come in random order.

    Args:
        y: (n,) 0/1 labels.
        score: (n,) finite scores.
        examined: (k,) shares of the images, above 0 and at most 1.
        weight: (n,) non-negative row weights.

    Returns:
        The yield; None with one class only.

    Raises:
        ValueError: As `bench.metrics.discrimination.auroc`, or shares outside (0, 1].

    >>> found = detection_yield([1, 0, 1, 0, 0], [0.9, 0.2, 0.7, 0.4, 0.1], [0.4, 1.0])
    >>> found.per_100.tolist(), found.found.tolist(), found.random_per_100
    ([100.0, 40.0], [1.0, 1.0], 40.0)
    """
    ranking = ScoreRanking.of(*scored(y, score, weight))
    share = finite_vector(examined, "examined")
    if len(share) and not (share.min() > 0 and share.max() <= 1):
        raise ValueError("examined must hold shares above 0 and at most 1")
    if not ranking.both:
        return None
    total = ranking.positives + ranking.negatives
    above = np.append(0.0, ranking.true_positives + ranking.false_positives)
    hits = np.interp(share * total, above, np.append(0.0, ranking.true_positives))
    return DetectionYield(
        share, 100 * hits / (share * total), hits / ranking.positives, 100 * ranking.positives / total
    )
