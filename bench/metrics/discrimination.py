"""Discrimination: how well a score ranks positive images above negative ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.score_ranking import ScoreRanking
from bench.metrics.validation import Bools, Floats, check_level, inner, scored

ROUNDING = 1e-12
"""Relative slack where a share is compared with a demanded one: weights 0.3 + 0.6 of 1 must reach 0.9."""


def area(ranking: ScoreRanking) -> float | None:
    """AUROC of sorted images; None with one class."""
    if not ranking.both:
        return None
    doubled = inner(ranking.group_positives, 2 * ranking.false_positives - ranking.group_negatives)
    pairs = 2.0 * ranking.positives * ranking.negatives
    return (pairs - doubled) / pairs


def auroc(y: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float | None:
    """Probability that a positive image scores above a negative one, ties counting one half.

    Without weights every count is a whole number below 2**53, so the result is rounded once, by the division.

    Args:
        y: (n,) 0/1 labels.
        score: (n,) finite scores; higher means more likely positive. Compared as float64, exactly.
        weight: (n,) non-negative row weights; rows of weight 0 do not count.

    Returns:
        The area, or None with one class only.

    Raises:
        ValueError: Lengths differ, NaN scores, labels other than 0/1, or negative weights.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    positive, scores, row_weight = scored(y, score, weight)
    if row_weight is not None:
        return area(ScoreRanking.of(positive, scores, row_weight))
    negatives = np.sort(scores[~positive])  # two sorts without an order are far quicker than one with it
    positives = np.sort(scores[positive])
    if not len(positives) or not len(negatives):
        return None
    doubled = sum(int(negatives.searchsorted(positives, side).sum()) for side in ("left", "right"))
    return doubled / (2 * len(positives) * len(negatives))


def mean_precision(ranking: ScoreRanking) -> float | None:
    """Average precision of sorted images; None with one class."""
    if not ranking.both:
        return None
    precision = ranking.true_positives / (ranking.true_positives + ranking.false_positives)
    return inner(ranking.group_positives, precision) / ranking.positives


def average_precision(y: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float | None:
    """Area under the precision-recall curve as a step sum, without interpolation.

    Compare it with the prevalence, which is what a score without information reaches.

    Returns:
        The area, or None with one class only.

    Raises:
        ValueError: As `auroc`.

    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
    0.833333
    """
    return mean_precision(ScoreRanking.of(*scored(y, score, weight)))


def normalised_mean_precision(ranking: ScoreRanking) -> float | None:
    """`normalised_average_precision` of sorted images; None with one class."""
    precision = mean_precision(ranking)
    if precision is None:
        return None
    prevalence = ranking.positives / (ranking.positives + ranking.negatives)
    return (precision - prevalence) / (1 - prevalence)


def normalised_average_precision(
    y: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None
) -> float | None:
    """Average precision less the prevalence, divided by what a perfect score gains over it.

    Average precision of a score without information is about the prevalence, so values at different
    prevalences are not comparable; this share of the possible gain is easier to compare.

    Returns:
        At most 1; about 0 without information, negative below it; None with one class only.

    Raises:
        ValueError: As `auroc`.

    >>> round(normalised_average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
    0.666667
    """
    return normalised_mean_precision(ScoreRanking.of(*scored(y, score, weight)))


@dataclass(frozen=True, slots=True)
class RocPoint:
    """A point of the ROC curve: rows with at least this score are called positive.

    Attributes:
        threshold: The score; +inf where nobody is called.
        sensitivity: Share of the positives that are called.
        specificity: Share of the negatives that are not.
    """

    threshold: float
    sensitivity: float
    specificity: float


def _steps(ranking: ScoreRanking) -> tuple[Floats, Floats, Floats]:
    """Thresholds, sensitivities and specificities of every decision, beginning with "nobody"."""
    return (
        np.append(np.inf, ranking.threshold),
        np.append(0.0, ranking.true_positives / ranking.positives),
        np.append(1.0, (ranking.negatives - ranking.false_positives) / ranking.negatives),
    )


def point_at_specificity(ranking: ScoreRanking, specificity: float) -> RocPoint | None:
    """The most sensitive step with this specificity or more, at its highest threshold, or None."""
    if not ranking.both:
        return None
    threshold, sensitivity, spared = _steps(ranking)
    allowed = int(np.count_nonzero(spared >= specificity * (1 - ROUNDING)))
    best = int(np.argmax(sensitivity[:allowed]))
    return RocPoint(float(threshold[best]), float(sensitivity[best]), float(spared[best]))


def point_at_sensitivity(ranking: ScoreRanking, sensitivity: float) -> RocPoint | None:
    """The most specific step with at least this sensitivity, the most sensitive of several, or None."""
    if not ranking.both:
        return None
    threshold, sensitivities, specificities = _steps(ranking)
    first = int(np.argmax(sensitivities >= sensitivity * (1 - ROUNDING)))
    best = int(np.flatnonzero(specificities == specificities[first])[-1])
    return RocPoint(float(threshold[best]), float(sensitivities[best]), float(specificities[best]))


def operating_point(
    y: ArrayLike,
    score: ArrayLike,
    *,
    specificity: float | None = None,
    sensitivity: float | None = None,
    weight: ArrayLike | None = None,
) -> RocPoint | None:
    """The threshold that keeps one share and makes the other largest, to be chosen on val and used on test.

    Args:
        y: (n,) 0/1 labels.
        score: (n,) finite scores.
        specificity: Least specificity; give this or `sensitivity`.
        sensitivity: Least sensitivity.
        weight: (n,) non-negative row weights.

    Returns:
        The point of the ROC curve, or None with one class only.

    Raises:
        ValueError: As `auroc`, or not exactly one share strictly between 0 and 1.
    """
    ranking = ScoreRanking.of(*scored(y, score, weight))
    if specificity is not None and sensitivity is None:
        return point_at_specificity(ranking, check_level(specificity, "specificity"))
    if sensitivity is not None and specificity is None:
        return point_at_sensitivity(ranking, check_level(sensitivity, "sensitivity"))
    raise ValueError("give either specificity or sensitivity")


def sensitivity_at_specificity(
    y: ArrayLike, score: ArrayLike, specificity: float, weight: ArrayLike | None = None
) -> float | None:
    """The best sensitivity among the thresholds whose specificity is at least `specificity`.

    A step that some threshold attains, never an interpolation between two.

    Returns:
        A share, or None with one class only.

    Raises:
        ValueError: As `auroc`, or `specificity` outside (0, 1).

    >>> sensitivity_at_specificity([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], specificity=0.9)
    0.5
    """
    point = operating_point(y, score, specificity=specificity, weight=weight)
    return None if point is None else point.sensitivity


def specificity_at_sensitivity(
    y: ArrayLike, score: ArrayLike, sensitivity: float, weight: ArrayLike | None = None
) -> float | None:
    """The best specificity among the thresholds whose sensitivity is at least `sensitivity`.

    Returns:
        A share, or None with one class only.

    Raises:
        ValueError: As `auroc`, or `sensitivity` outside (0, 1).
    """
    point = operating_point(y, score, sensitivity=sensitivity, weight=weight)
    return None if point is None else point.specificity


def mean_rank(values: Floats) -> Floats:
    """(n,) rank of every value, the highest 1, ties at their mean."""
    everyone: Bools = np.ones(len(values), np.bool_)
    ranking = ScoreRanking.of(everyone, values)
    return (ranking.true_positives - (ranking.group_positives - 1) / 2)[ranking.tie_group]
