"""Reuse of a test set: what many attempts can gain by chance, and the ladder against it."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.validation import Bools, Floats

LADDER_LEVEL = 0.05
"""Level of the test that a new attempt must pass, divided by the number of attempts."""


@dataclass(frozen=True, slots=True)
class Optimism:
    """Expected gain from attempts on the same test set without any real improvement.

    Attributes:
        attempts: Number of attempts.
        best_of: Expected gain of the best of so many entries of equal quality.
        adaptive: Upper bound of the expected gain if every attempt is chosen in view of the results before.
    """

    attempts: int
    best_of: float
    adaptive: float


def expected_optimism(replicates: ArrayLike, attempts: int) -> Optimism:
    """Compute the gain by chance of a number of attempts, from the covariance of the entries.

    An entry's error on the test set has the mean variance of the stored entries. A part of it is shared by
    all entries, by their mean covariance, and moves no entry past another. The best of k entries of equal
    quality gains E[max of k normal scores] times the standard deviation of the rest. If each result decides
    between two continuations, at most k·2^k different entries can be reached; whatever their covariance, the
    expected maximum of so many normal errors of standard deviation s is at most s·sqrt(2·ln(k·2^k)).

    Args:
        replicates: (S, B) metric of the stored entries in the same bootstrap replicates.
        attempts: Number of attempts, at least 1.

    Raises:
        ValueError: No attempt, or fewer than two replicates that are defined for all entries.
    """
    by_entry = np.atleast_2d(np.asarray(replicates, np.float64))
    by_entry = by_entry[:, np.isfinite(by_entry).all(axis=0)]
    if attempts < 1 or by_entry.shape[1] < 2:
        raise ValueError("at least one attempt and two defined replicates are needed")
    covariance = np.atleast_2d(np.cov(by_entry))
    entries = len(covariance)
    variance = float(np.trace(covariance)) / entries
    shared = (float(covariance.sum()) - entries * variance) / max(entries * (entries - 1), 1)
    own = sqrt(max(variance - max(shared, 0.0), 0.0))
    adaptive = 0.0 if attempts == 1 else sqrt(2 * variance * (log(attempts) + attempts * log(2)))
    return Optimism(attempts, own * expected_maximum(attempts), adaptive)


def expected_maximum(count: int) -> float:
    """Compute the expected maximum of independent standard normal variables, by numerical integration."""
    from scipy.special import ndtr

    x = np.linspace(0, 9, 10_001)
    # E[X] = integral of P(X > x) over x > 0, minus that of P(X < x) over x < 0.
    return float(np.trapezoid(1 - ndtr(x) ** count - ndtr(-x) ** count, x))


def ladder(values: ArrayLike, replicates: ArrayLike) -> Bools:
    """Return which of a team's attempts may be published, in the order in which they were made.

    The ladder of Blum & Hardt 2015 ("The Ladder: a reliable leaderboard for machine learning competitions"):
    a score is published if it exceeds the best one published before by more than its noise. The noise is the
    standard error of the paired difference times the normal quantile of 1 - 0.05 / attempts, so that also in
    a long series an improvement by chance is rarely published.

    Args:
        values: (k,) metric of each attempt.
        replicates: (k, B) the metric in the same bootstrap replicates.
    """
    from scipy.special import ndtri

    point, by_entry = np.asarray(values, np.float64), np.asarray(replicates, np.float64)
    published = np.zeros(len(point), np.bool_)
    best = -1
    for i in range(len(point)):
        if best >= 0:
            difference: Floats = by_entry[i] - by_entry[best]
            noise = float(np.nanstd(difference, ddof=1)) * float(ndtri(1 - LADDER_LEVEL / (i + 1)))
        if best < 0 or point[i] - point[best] > noise:
            published[i], best = True, i
    return published
