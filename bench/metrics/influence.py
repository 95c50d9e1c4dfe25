"""Influence functions: the derivative of a metric by each image's weight, times that weight.

Summed over a patient's images it is the patient's influence. Influences of all images add up to zero, the sum
of squares over patients estimates the metric's variance, and their kurtosis tells how many patients the
estimate really rests on (`bench.uncertainty.intervals.satterthwaite`). All functions ask for both classes.
"""

from __future__ import annotations

import numpy as np

from bench.metrics.calibration import logit, pointwise_log_loss
from bench.metrics.discrimination import ROUNDING
from bench.metrics.recalibration_line import Line, expit
from bench.metrics.score_ranking import ScoreRanking
from bench.metrics.validation import Bools, Floats, Ints, inner

REACH = 0.05
"""Half the window in which the slope of the ROC curve is read off."""


def auroc(ranking: ScoreRanking) -> Floats:
    """(n,) influence on the AUROC: (placement - area) / (weight of the image's class)."""
    hits = ranking.positive
    area = inner(ranking.unit[hits], ranking.placement[hits]) / ranking.positives
    whole = np.where(hits, ranking.positives, ranking.negatives)
    influences: Floats = ranking.unit * (ranking.placement - area) / whole
    return influences


def average_precision(ranking: ScoreRanking) -> Floats:
    """(n,) influence on the average precision, ties taken together."""
    called = ranking.true_positives + ranking.false_positives
    precision = ranking.true_positives / called
    area = inner(ranking.group_positives, precision) / ranking.positives
    lift = np.cumsum((ranking.group_positives * ranking.false_positives / called**2)[::-1])[::-1]
    drag = np.cumsum((ranking.group_positives * ranking.true_positives / called**2)[::-1])[::-1]
    influences = np.where(
        ranking.positive, (precision - area + lift)[ranking.tie_group], -drag[ranking.tie_group]
    )
    return ranking.unit * influences / ranking.positives


def normalised_average_precision(ranking: ScoreRanking) -> Floats:
    """(n,) influence on (AP - π) / (1 - π), through the precision and through the prevalence π."""
    rows = ranking.positives + ranking.negatives
    rest = ranking.negatives / rows
    precision = ranking.true_positives / (ranking.true_positives + ranking.false_positives)
    area = inner(ranking.group_positives, precision) / ranking.positives
    through_prevalence = ranking.unit * (ranking.positive - ranking.positives / rows) / rows
    return average_precision(ranking) / rest - (1 - area) / rest**2 * through_prevalence


def sensitivity_at_specificity(ranking: ScoreRanking, specificity: float, reach: float = REACH) -> Floats:
    """(n,) influence on the sensitivity at a specificity.

    The threshold is itself estimated, from the negatives; what its error costs is the slope of the ROC curve,
    read off between `reach` below and above the false positive rate.
    """
    x, y = ranking.false_positives / ranking.negatives, ranking.true_positives / ranking.positives
    called = (x <= (1 - specificity) * (1 + ROUNDING))[ranking.tie_group]
    return _operating(ranking, called, ranking.positive, _slope(x, y, 1 - specificity, reach))


def specificity_at_sensitivity(ranking: ScoreRanking, sensitivity: float, reach: float = REACH) -> Floats:
    """(n,) influence on the specificity at a sensitivity: the same with the classes exchanged."""
    x, y = 1 - ranking.true_positives / ranking.positives, 1 - ranking.false_positives / ranking.negatives
    spared = (x <= (1 - sensitivity) * (1 + ROUNDING))[ranking.tie_group]
    return _operating(ranking, spared, ~ranking.positive, _slope(x[::-1], y[::-1], 1 - sensitivity, reach))


def _operating(ranking: ScoreRanking, chosen: Bools, members: Bools, slope: float) -> Floats:
    """Influence on the share of `members` chosen; `slope` is its gain by the others that are chosen."""
    unit = ranking.unit
    whole = np.where(members, unit[members].sum(), unit[~members].sum())
    rate = [inner(unit[side], chosen[side]) / unit[side].sum() for side in (members, ~members)]
    influences: Floats = unit * np.where(members, chosen - rate[0], slope * (rate[1] - chosen)) / whole
    return influences


def _slope(x: Floats, y: Floats, at: float, reach: float) -> float:
    """Slope of a rising curve around a place."""
    low, high = max(at - reach, 0.0), min(at + reach, 1.0)
    ends = np.interp([low, high], np.append(0.0, x), np.append(0.0, y))
    return float(ends[1] - ends[0]) / (high - low)


def row_units(positive: Bools, weight: Floats | None) -> Floats:
    """(n,) row weights, ones where none were given."""
    return np.ones(len(positive)) if weight is None else weight


def mean(values: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on a weighted mean."""
    unit = np.ones(len(values)) if weight is None else weight
    influences: Floats = unit * (values - inner(unit, values) / unit.sum()) / unit.sum()
    return influences


def brier(positive: Bools, p: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on the Brier score."""
    return mean((p - positive) ** 2, weight)


def log_loss(positive: Bools, p: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on the log loss."""
    return mean(pointwise_log_loss(positive, p), weight)


def scaled_brier(positive: Bools, p: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on the scaled Brier score, through the score and through the prevalence."""
    unit = row_units(positive, weight)
    prevalence = np.average(positive, weights=unit)
    variance = prevalence * (1 - prevalence)
    score = np.average((p - positive) ** 2, weights=unit)
    through_prevalence = (
        score * (1 - 2 * prevalence) / variance**2 * mean(positive.astype(np.float64), weight)
    )
    return through_prevalence - brier(positive, p, weight) / variance


def observed_expected(positive: Bools, p: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on observed / expected."""
    unit = row_units(positive, weight)
    observed, expected = inner(unit, positive), inner(unit, p)
    influences: Floats = unit * (positive - p * observed / expected) / expected
    return influences


def brier_skill(positive: Bools, p: Floats, reference: Floats, weight: Floats | None = None) -> Floats:
    """(n,) influence on 1 - Brier / Brier of a reference."""
    score, other = (float(np.average((guess - positive) ** 2, weights=weight)) for guess in (p, reference))
    return (score / other * brier(positive, reference, weight) - brier(positive, p, weight)) / other


def line(positive: Bools, p: Floats, fitted: Line, weight: Floats | None = None) -> tuple[Floats, Floats]:
    """(n,) and (n,) influence on slope and intercept of the line: inverse information times score."""
    unit, x = row_units(positive, weight), logit(p)
    far = x - float(np.average(x, weights=unit))
    guess = expit(fitted.intercept + fitted.slope * x)
    hold = unit * guess * (1 - guess)
    h00, h01, h11 = float(np.sum(hold)), inner(hold, far), inner(hold, far**2)
    residual = unit * (positive - guess) / (h00 * h11 - h01**2)
    turn = residual * (h00 * far - h01)
    return turn, residual * (h11 - h01 * far) - turn * (x - far)


def shift(positive: Bools, p: Floats, fitted: float, weight: Floats | None = None) -> Floats:
    """(n,) influence on the calibration in the large."""
    unit = row_units(positive, weight)
    guess = expit(fitted + logit(p))
    influences: Floats = unit * (positive - guess) / inner(unit, guess * (1 - guess))
    return influences


def kish_size(weight: Floats) -> float:
    """Compute Kish's effective number of clusters `(Σw)² / Σw²` of (k,) cluster weights."""
    return float(weight.sum()) ** 2 / inner(weight, weight)


def effective_positive_patients(positive: Bools, unit: Floats, patient: Ints) -> float:
    """Compute Kish's effective number of patients from the weights of their positive images.

    Args:
        positive: (n,) labels.
        unit: (n,) row weights.
        patient: (n,) whole numbers from 0, the same for images of the same patient.
    """
    return kish_size(np.bincount(patient, unit * positive).astype(np.float64))


def obuchowski_se(ranking: ScoreRanking, patient: Ints) -> float | None:
    """Standard error of the AUROC with patients as clusters, all images counting the same.

    Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data". With one image per patient it is
    the error of DeLong, DeLong & Clarke-Pearson 1988.

    Args:
        ranking: The images by score.
        patient: (n,) whole numbers from 0, the same for images of the same patient.

    Returns:
        The standard error, or None with fewer than two patients in either class.
    """
    hit = ranking.positive
    m, n = np.bincount(patient, hit), np.bincount(patient, ~hit)
    patients, holding, sparing = (int(np.count_nonzero(images)) for images in (m + n, m, n))
    if holding < 2 or sparing < 2:
        return None
    M, N = float(m.sum()), float(n.sum())
    area = float(ranking.placement[hit].sum()) / M
    x = np.bincount(patient, ranking.placement * hit) - m * area
    y = np.bincount(patient, ranking.placement * ~hit) - n * area
    s10 = holding / ((holding - 1) * M) * inner(x, x)
    s01 = sparing / ((sparing - 1) * N) * inner(y, y)
    s11 = patients / (patients - 1) * inner(x, y)
    return float(np.sqrt(max(s10 / M + s01 / N + 2 * s11 / (M * N), 0.0)))
