"""How well a score orders positive images before negative ones.

Scores are compared as float64 and exactly: two values one ulp apart are not a tie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.checks import Bools, Floats, scored, share

ROUNDING = 1e-12
"""Relative slack where a weighted share is compared with a demanded one: 0.3 + 0.6 must reach 0.9."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Every attainable decision, from "nobody is positive" to "everybody is".

    Attributes:
        threshold: (k + 1,) descending; a row is called positive when its score is at least this. Starts at +inf.
        true_positive: (k + 1,) weight of the positive rows called positive.
        false_positive: (k + 1,) weight of the negative rows called positive.
    """

    threshold: Floats
    true_positive: Floats
    false_positive: Floats

    @property
    def positives(self) -> float:
        """Total weight of the positive rows."""
        return float(self.true_positive[-1])

    @property
    def negatives(self) -> float:
        """Total weight of the negative rows."""
        return float(self.false_positive[-1])


def steps(positive: Bools, score: Floats, weight: Floats | None) -> Steps:
    """The cumulative counts behind ROC and precision-recall curves, ties taken together."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    hit = positive[order].astype(np.float64)
    row = np.ones_like(hit) if weight is None else weight[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, int)
    return Steps(
        threshold=np.append(np.inf, ranked[last]),
        true_positive=np.append(0.0, np.cumsum(row * hit)[last]),
        false_positive=np.append(0.0, np.cumsum(row * (1.0 - hit))[last]),
    )


def _both_classes(curve: Steps) -> bool:
    return curve.positives > 0 and curve.negatives > 0


def auroc(y: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float | None:
    """Probability that a positive image scores above a negative one, ties counting one half.

    Without weights every count is a whole number below 2**53, so the result is rounded once, by the division.

    Args:
        y: (n,) 0/1 labels.
        score: (n,) finite scores; higher means more likely positive.
        weight: (n,) non-negative row weights; rows of weight 0 do not count.

    Returns:
        The area, or None with one class only.

    Raises:
        ValueError: Lengths differ, NaN scores, labels other than 0/1, or negative weights.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    curve = steps(*scored(y, score, weight))
    if not _both_classes(curve):
        return None
    gained = np.diff(curve.true_positive)
    above = curve.false_positive
    doubled = float(np.sum(gained * (above[:-1] + above[1:])))
    pairs = 2.0 * curve.positives * curve.negatives
    return (pairs - doubled) / pairs


def average_precision(y: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> float | None:
    """Area under the precision-recall curve as a step sum, without interpolation.

    Compare it with the prevalence, which is what a score without information reaches.

    Returns:
        The area, or None without a positive or without a negative image.

    Raises:
        ValueError: As `auroc`.

    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
    0.833333
    """
    curve = steps(*scored(y, score, weight))
    if not _both_classes(curve):
        return None
    hit, called = curve.true_positive[1:], (curve.true_positive + curve.false_positive)[1:]
    return float(np.sum(np.diff(curve.true_positive) * (hit / called)) / curve.positives)


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
    demanded = share(specificity, "specificity")
    curve = steps(*scored(y, score, weight))
    if not _both_classes(curve):
        return None
    spared = (curve.negatives - curve.false_positive) / curve.negatives
    allowed = spared >= demanded * (1 - ROUNDING)
    return float(curve.true_positive[allowed].max() / curve.positives)


def specificity_at_sensitivity(
    y: ArrayLike, score: ArrayLike, sensitivity: float, weight: ArrayLike | None = None
) -> float | None:
    """The best specificity among the thresholds whose sensitivity is at least `sensitivity`.

    Returns:
        A share, or None with one class only.

    Raises:
        ValueError: As `auroc`, or `sensitivity` outside (0, 1).
    """
    demanded = share(sensitivity, "sensitivity")
    curve = steps(*scored(y, score, weight))
    if not _both_classes(curve):
        return None
    allowed = curve.true_positive / curve.positives >= demanded * (1 - ROUNDING)
    return float((curve.negatives - curve.false_positive[allowed].min()) / curve.negatives)


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve in the order of falling thresholds.

    Attributes:
        threshold: (k,) a row is called positive when its score is at least this.
        x: (k,) false positive rate, or recall.
        y: (k,) true positive rate, or precision.
    """

    threshold: Floats
    x: Floats
    y: Floats


def roc_curve(y: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> Curve | None:
    """False against true positive rate at every distinct score, from (0, 0) to (1, 1); None with one class."""
    curve = steps(*scored(y, score, weight))
    if not _both_classes(curve):
        return None
    return Curve(
        curve.threshold, curve.false_positive / curve.negatives, curve.true_positive / curve.positives
    )


def precision_recall_curve(y: ArrayLike, score: ArrayLike, weight: ArrayLike | None = None) -> Curve | None:
    """Recall against precision at every distinct score (no point where nobody is called); None with one class."""
    curve = steps(*scored(y, score, weight))
    if not _both_classes(curve):
        return None
    hit, called = curve.true_positive[1:], (curve.true_positive + curve.false_positive)[1:]
    return Curve(curve.threshold[1:], hit / curve.positives, hit / called)


def threshold_at_specificity(
    y: ArrayLike, score: ArrayLike, specificity: float, weight: ArrayLike | None = None
) -> float | None:
    """The threshold behind `sensitivity_at_specificity`, to be chosen on val and used on test.

    Returns:
        The highest score with that sensitivity (+inf where it is 0), or None with one class only.
    """
    demanded = share(specificity, "specificity")
    curve = steps(*scored(y, score, weight))
    if not _both_classes(curve):
        return None
    spared = (curve.negatives - curve.false_positive) / curve.negatives
    allowed = spared >= demanded * (1 - ROUNDING)
    return float(curve.threshold[np.argmax(curve.true_positive[allowed])])


def threshold_at_sensitivity(
    y: ArrayLike, score: ArrayLike, sensitivity: float, weight: ArrayLike | None = None
) -> float | None:
    """The threshold behind `specificity_at_sensitivity`: the highest that finds enough; None with one class."""
    demanded = share(sensitivity, "sensitivity")
    curve = steps(*scored(y, score, weight))
    if not _both_classes(curve):
        return None
    allowed = curve.true_positive / curve.positives >= demanded * (1 - ROUNDING)
    return float(curve.threshold[allowed][0])
