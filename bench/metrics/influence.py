"""How much each image pulls on a metric: the derivative with respect to the image's weight, times its weight.

Summed over a patient's images it is the patient's influence. Influences of all images add up to zero, the sum of
squares over patients estimates the metric's variance, and their kurtosis tells how many patients the estimate
really rests on (`bench.uncertainty.intervals.satterthwaite`). All functions ask for both classes.
"""

from __future__ import annotations

import numpy as np

from bench.metrics.calibration import bin_edges, bin_index, logit, surprise
from bench.metrics.checks import Bools, Floats
from bench.metrics.line import Line, expit


def _unit(positive: Bools, weight: Floats | None) -> Floats:
    return np.ones(len(positive)) if weight is None else weight


def _share_below(value: Floats, among: Floats, weight: Floats) -> Floats:
    """For every value the weighted share of `among` that lies below it, ties counting one half."""
    rank = np.argsort(among, kind="stable")
    ladder = np.append(0.0, np.cumsum(weight[rank]))
    ranked = among[rank]
    left = ladder[np.searchsorted(ranked, value, side="left")]
    right = ladder[np.searchsorted(ranked, value, side="right")]
    return (left + right) / (2 * ladder[-1])


def placements(positive: Bools, score: Floats, weight: Floats | None = None) -> Floats:
    """(n,) for a positive the share of negatives below it, for a negative the share of positives above it.

    Their mean over either class is the AUROC; Hanley & Hajian-Tilaki 1997, "Sampling variability of nonparametric
    estimates of the areas under receiver operating characteristic curves".
    """
    unit = _unit(positive, weight)
    share = np.empty(len(score))
    share[positive] = _share_below(score[positive], score[~positive], unit[~positive])
    share[~positive] = _share_below(-score[~positive], -score[positive], unit[positive])
    return share


def auroc(positive: Bools, score: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on the AUROC: (placement - area) / (weight of the image's class)."""
    unit = _unit(positive, weight)
    share = placements(positive, score, weight)
    hit, miss = unit[positive].sum(), unit[~positive].sum()
    area = np.dot(unit[positive], share[positive]) / hit
    return unit * (share - area) / np.where(positive, hit, miss)


def average_precision(positive: Bools, score: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on the average precision, ties taken together."""
    unit = _unit(positive, weight)
    _, place = np.unique(-score, return_inverse=True)
    gain = np.bincount(place, unit * positive)
    true = np.cumsum(gain)
    called = np.cumsum(np.bincount(place, unit))
    precision = true / called
    hit = true[-1]
    area = np.dot(gain, precision) / hit
    lift = np.cumsum((gain * (called - true) / called**2)[::-1])[::-1]
    drag = np.cumsum((gain * true / called**2)[::-1])[::-1]
    pull = np.where(positive, precision[place] - area + lift[place], -drag[place])
    return unit * pull / hit


def sensitivity_at_specificity(
    positive: Bools, score: Floats, specificity: float, weight: Floats | None = None, reach: float = 0.05
) -> Floats:
    """(n,) influence on the sensitivity at a specificity.

    The threshold is itself estimated, from the negatives; what its error costs is the slope of the ROC curve,
    read off between `reach` below and above the false positive rate.
    """
    unit = _unit(positive, weight)
    fallout = 1 - _share_below(score, score[~positive], unit[~positive])
    hit, miss = unit[positive].sum(), unit[~positive].sum()
    called = fallout <= 1 - specificity
    sensitivity = np.dot(unit[positive], called[positive]) / hit
    low, high = max(1 - specificity - reach, 0.0), min(1 - specificity + reach, 1.0)
    near = positive & (fallout > low) & (fallout <= high)
    slope = unit[near].sum() / hit / (high - low)
    gain = (called - sensitivity) / hit
    cost = -slope * (called - np.dot(unit[~positive], called[~positive]) / miss) / miss
    return unit * np.where(positive, gain, cost)


def specificity_at_sensitivity(
    positive: Bools, score: Floats, sensitivity: float, weight: Floats | None = None
) -> Floats:
    """(n,) influence on the specificity at a sensitivity: the same with the classes exchanged."""
    return sensitivity_at_specificity(~positive, -score, sensitivity, weight)


def mean(values: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on a weighted mean."""
    unit = np.ones(len(values)) if weight is None else weight
    return unit * (values - np.dot(unit, values) / unit.sum()) / unit.sum()


def brier(positive: Bools, p: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on the Brier score."""
    return mean((p - positive) ** 2, weight)


def log_loss(positive: Bools, p: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on the log loss."""
    return mean(surprise(positive, p), weight)


def scaled_brier(positive: Bools, p: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on the scaled Brier score, through the score and through the prevalence."""
    unit = _unit(positive, weight)
    prevalence = np.average(positive, weights=unit)
    variance = prevalence * (1 - prevalence)
    score = np.average((p - positive) ** 2, weights=unit)
    through_prevalence = (
        score * (1 - 2 * prevalence) / variance**2 * mean(positive.astype(np.float64), weight)
    )
    return through_prevalence - brier(positive, p, weight) / variance


def observed_expected(positive: Bools, p: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on observed / expected."""
    unit = _unit(positive, weight)
    observed, expected = np.dot(unit, positive), np.dot(unit, p)
    return unit * (positive - p * observed / expected) / expected


def calibration_error(positive: Bools, p: Floats, weight: Floats | None = None, bins: int = 15) -> Floats:
    """(n,) influence on the calibration error over equal-width bins."""
    unit = _unit(positive, weight)
    index = bin_index(p, bin_edges(p, bins, "uniform"))
    gap = np.bincount(index, unit * (p - positive), minlength=bins)
    return mean(np.sign(gap)[index] * (p - positive), weight)


def line(positive: Bools, p: Floats, fitted: Line, weight: Floats | None = None) -> tuple[Floats, Floats]:
    """(n,) and (n,) influence on slope and intercept of the calibration line: inverse information times score."""
    unit, x = _unit(positive, weight), logit(p)
    centre = float(np.average(x, weights=unit))
    design = np.stack([np.ones_like(x), x - centre])
    guess = expit(fitted.intercept + fitted.slope * x)
    information = (design * (unit * guess * (1 - guess))) @ design.T
    pull = np.linalg.solve(information, design * (unit * (positive - guess)))
    return pull[1], pull[0] - centre * pull[1]


def shift(positive: Bools, p: Floats, fitted: float, weight: Floats | None = None) -> Floats:
    """(n,) influence on the calibration in the large."""
    unit = _unit(positive, weight)
    guess = expit(fitted + logit(p))
    return unit * (positive - guess) / np.dot(unit, guess * (1 - guess))
