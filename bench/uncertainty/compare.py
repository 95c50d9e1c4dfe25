"""Two scores on the same images: the paired difference with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import calibration, discrimination, influence
from bench.metrics.recalibration_line import fit_line, fit_shift
from bench.metrics.score_ranking import ScoreRanking
from bench.metrics.validation import Bools, Floats, check_level
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.intervals import satterthwaite, t_interval
from bench.uncertainty.replicates import FIT, LINES, replicate
from bench.uncertainty.sample import SENSITIVITY, SPECIFICITY

SE_TOLERANCE = 1e-12
"""Below this standard error of a difference two entries are the same."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paired difference a - b of one metric; None where undefined, with the reason.

    Attributes:
        metric: Name of the metric.
        value_a: The metric of a.
        value_b: The metric of b.
        difference: a - b.
        low: Lower limit of the interval: difference - t(df)·se.
        high: Upper limit.
        se: Standard deviation of the differences over the replicates.
        df: Satterthwaite's degrees of freedom from the difference of the patients' influences.
        p: Two-sided 2Φ(-|difference| / se); 1 for identical scores.
        percentile_low: Percentile limit of the differences.
        percentile_high: The other one.
        undefined: Replicates in which the difference is undefined.
        replicates: Replicates drawn.
        reason: Why something is missing, else empty.
    """

    metric: str
    value_a: float | None
    value_b: float | None
    difference: float | None
    low: float | None
    high: float | None
    se: float | None
    df: float | None
    p: float | None
    percentile_low: float | None
    percentile_high: float | None
    undefined: int
    replicates: int
    reason: str = ""


Figure = Callable[[Bools, Floats, Floats | None], tuple[float | None, Floats]]


def _ranked(
    value: Callable[[ScoreRanking], float | None], influences: Callable[[ScoreRanking], Floats]
) -> Figure:
    def figure(positive: Bools, score: Floats, weight: Floats | None) -> tuple[float | None, Floats]:
        ranking = ScoreRanking.of(positive, score, weight)
        return value(ranking), influences(ranking)

    return figure


def _fitted(
    value: Callable[[Bools, Floats, Floats | None], float | None],
    influences: Callable[[Bools, Floats, Floats | None], Floats],
) -> Figure:
    return lambda positive, p, weight: (value(positive, p, weight), influences(positive, p, weight))


def _sensitivity(ranking: ScoreRanking) -> float | None:
    point = discrimination.point_at_specificity(ranking, SPECIFICITY)
    return None if point is None else point.sensitivity


def _specificity(ranking: ScoreRanking) -> float | None:
    point = discrimination.point_at_sensitivity(ranking, SENSITIVITY)
    return None if point is None else point.specificity


def _coefficient(which: int) -> Figure:
    """Slope (0) or intercept (1) of the calibration line."""

    def figure(positive: Bools, p: Floats, weight: Floats | None) -> tuple[float | None, Floats]:
        line = fit_line(positive, calibration.logit(p), weight)
        if line is None:
            return None, np.zeros(len(p))
        return line[which], influence.line(positive, p, line, weight)[which]

    return figure


def _shift(positive: Bools, p: Floats, weight: Floats | None) -> tuple[float | None, Floats]:
    shift = fit_shift(positive, calibration.logit(p), weight)
    return (None, np.zeros(len(p))) if shift is None else (shift, influence.shift(positive, p, shift, weight))


FIGURES: dict[str, Figure] = {
    "auroc": _ranked(discrimination.area, influence.auroc),
    "auprc": _ranked(discrimination.mean_precision, influence.average_precision),
    "average_precision": _ranked(discrimination.mean_precision, influence.average_precision),
    "sensitivity_at_90_specificity": _ranked(
        _sensitivity, lambda ranking: influence.sensitivity_at_specificity(ranking, SPECIFICITY)
    ),
    "specificity_at_90_sensitivity": _ranked(
        _specificity, lambda ranking: influence.specificity_at_sensitivity(ranking, SENSITIVITY)
    ),
    "brier": _fitted(calibration.brier, influence.brier),
    "scaled_brier": _fitted(calibration.scaled_brier, influence.scaled_brier),
    "log_loss": _fitted(calibration.log_loss, influence.log_loss),
    "oe_ratio": _fitted(calibration.observed_expected, influence.observed_expected),
    "calibration_slope": _coefficient(0),
    "calibration_intercept": _coefficient(1),
    "calibration_in_the_large": _shift,
}
"""Metrics that can be compared, as value and influences. A binned calibration error is not among them."""


def compare(
    y: ArrayLike,
    p_a: ArrayLike,
    p_b: ArrayLike,
    patient_id: Any = None,
    metric: str = "auroc",
    replicates: int = 2000,
    seed: int = 0,
    bootstrap: PatientBootstrap | None = None,
    *,
    weight: ArrayLike | None = None,
    level: float = 0.95,
) -> Comparison:
    """The difference of one metric between two scores of the same images, replicate by replicate.

    Args:
        y: (n,) 0/1 labels.
        p_a: (n,) scores of a.
        p_b: (n,) scores of b.
        patient_id: (n,) the patient of every image; not needed with `bootstrap`.
        metric: A key of `FIGURES`.
        replicates: Number of bootstrap draws.
        seed: Seed of the draws.
        bootstrap: Draws shared with other comparisons.
        weight: (n,) non-negative row weights.
        level: Nominal coverage of the interval.

    Raises:
        ValueError: As `bench.evaluate`, or a metric that cannot be compared.

    >>> y, patient = [0, 0, 1, 1, 0, 1], ["a", "a", "b", "c", "d", "e"]
    >>> found = compare(y, [0.1, 0.4, 0.3, 0.8, 0.2, 0.9], [0.2, 0.4, 0.3, 0.1, 0.5, 0.9], patient)
    >>> round(found.difference, 6)
    0.444444
    """
    if metric not in FIGURES:
        raise ValueError(f"unknown metric {metric!r}; one of {', '.join(FIGURES)}")
    if bootstrap is None:
        if patient_id is None:
            raise ValueError("give patient_id (one id per image), or a bootstrap made from it")
        bootstrap = PatientBootstrap(patient_id, replicates, seed)
    sample = bootstrap.sample(y, weight)
    drawn = bootstrap.replicates_count
    read = sample.probabilities if metric in (*FIT, *LINES) else sample.scores
    a, b = read(p_a), read(p_b)
    if sample.positive.all() or not sample.positive.any():
        return _no_comparison(metric, drawn, "one class only")
    (first, pull_a), (second, pull_b) = (
        FIGURES[metric](sample.positive, score, sample.weight) for score in (a, b)
    )
    if first is None or second is None:
        return _no_comparison(metric, drawn, "undefined for one of the scores")
    difference = replicate(sample, p_a, metric) - replicate(sample, p_b, metric)
    phi = sample.by_patient(pull_a - pull_b)[sample.present]
    found = t_interval(first - second, difference, satterthwaite(phi), level=check_level(level, "level"))
    same = found.se is not None and found.se < SE_TOLERANCE
    return Comparison(
        metric=metric,
        value_a=first,
        value_b=second,
        difference=first - second,
        low=first - second if same else found.low,
        high=first - second if same else found.high,
        se=found.se,
        df=found.df,
        p=1.0 if same else normal_p(first - second, found.se),
        percentile_low=found.percentile_low,
        percentile_high=found.percentile_high,
        undefined=found.undefined,
        replicates=drawn,
        reason="the difference is the same in every replicate" if same else found.reason,
    )


def _no_comparison(metric: str, drawn: int, reason: str) -> Comparison:
    nothing: dict[str, None] = dict.fromkeys(
        (
            "value_a",
            "value_b",
            "difference",
            "low",
            "high",
            "se",
            "df",
            "p",
            "percentile_low",
            "percentile_high",
        )
    )
    return Comparison(metric=metric, **nothing, undefined=drawn, replicates=drawn, reason=reason)


def normal_p(difference: float, se: float | None) -> float | None:
    """Two-sided 2Φ(-|difference| / se); None without a standard error."""
    from scipy.special import ndtr

    return None if not se else float(2 * ndtr(-abs(difference) / se))
