"""Two scores on the same images: the paired difference with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import calibration, discrimination, influence
from bench.metrics.checks import Bools, Floats, share
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.intervals import satterthwaite, t_interval
from bench.uncertainty.replicates import PROBABILITY, SENSITIVITY, SPECIFICITY, replicate

TWINS = 1e-12
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


Value = Callable[[Bools, Floats, Floats | None], float | None]
Pull = Callable[[Bools, Floats, Floats | None], Floats]

FIGURES: dict[str, tuple[Value, Pull]] = {
    "auroc": (discrimination.auroc, influence.auroc),
    "auprc": (discrimination.average_precision, influence.average_precision),
    "average_precision": (discrimination.average_precision, influence.average_precision),
    "sensitivity_at_90_specificity": (
        lambda y, s, w: discrimination.sensitivity_at_specificity(y, s, SPECIFICITY, w),
        lambda y, s, w: influence.sensitivity_at_specificity(y, s, SPECIFICITY, w),
    ),
    "specificity_at_90_sensitivity": (
        lambda y, s, w: discrimination.specificity_at_sensitivity(y, s, SENSITIVITY, w),
        lambda y, s, w: influence.specificity_at_sensitivity(y, s, SENSITIVITY, w),
    ),
    "brier": (calibration.brier, influence.brier),
    "scaled_brier": (calibration.scaled_brier, influence.scaled_brier),
    "log_loss": (calibration.log_loss, influence.log_loss),
    "oe_ratio": (calibration.observed_expected, influence.observed_expected),
}
"""Metrics that can be compared: value and influence. A binned calibration error is not among them."""


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
    value, pull = FIGURES[metric]
    sample = bootstrap.sample(y, weight)
    read = sample.probabilities if metric in PROBABILITY else sample.scores
    a, b = read(p_a), read(p_b)
    args = sample.positive, sample.weight
    first, second = (value(args[0], score, args[1]) for score in (a, b))
    drawn = bootstrap.replicates_count
    if first is None or second is None or sample.positive.all() or not sample.positive.any():
        empty = None, None, None, None, None, None, None, None, drawn, drawn
        return Comparison(metric, first, second, *empty, reason="one class only")
    difference = replicate(sample, p_a, metric) - replicate(sample, p_b, metric)
    present = np.unique(sample.patient)
    phi = sample.by_patient(pull(args[0], a, args[1]) - pull(args[0], b, args[1]))[present]
    found = t_interval(first - second, difference, satterthwaite(phi), level=share(level, "level"))
    same = found.se is not None and found.se < TWINS
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
        reason="the scores order all pairs alike" if same else found.reason,
    )


def normal_p(difference: float, se: float | None) -> float | None:
    """Two-sided 2Φ(-|difference| / se); None without a standard error."""
    from scipy.special import ndtr

    return None if not se else float(2 * ndtr(-abs(difference) / se))
