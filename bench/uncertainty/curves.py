"""Pointwise intervals of curves: observed shares of bins, net benefit, decisions at a threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import influence
from bench.metrics.decision import PERCENT_1_TO_50, decision_curve
from bench.metrics.registry import VERY_RARE, rare_warning
from bench.metrics.validation import Bools, Floats, Ints, check_level, inner
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.intervals import (
    FEW_CLUSTERS,
    FEW_POSITIVE_PATIENTS,
    Estimate,
    sandwich_interval,
    sandwich_se,
    satterthwaite,
    with_warnings,
)
from bench.uncertainty.sample import Sample
from bench.uncertainty.wilson import clustered_share, share_interval


def bin_shares(sample: Sample, index: Ints, bins: int, level: float = 0.95) -> list[Estimate]:
    """Compute the share of positives in every bin, with Wilson's interval at its effective sample size.

    Args:
        sample: Labels and patients.
        index: (n,) the bin of every row that counts.
        bins: Number of bins.
        level: Nominal coverage at each bin.
    """
    estimates = []
    for number in range(bins):
        inside = index == number
        estimates.append(
            clustered_share(sample.positive[inside], sample.unit[inside], sample.patient[inside], level)
        )
    return estimates


def benefit_interval(
    sample: Sample, called: Bools, threshold: float, value: float, level: float = 0.95
) -> Estimate:
    """Compute the interval of a net benefit by MOVER (method of variance estimates recovery).

    Net benefit is TP/n - FP/n · t/(1-t). Both shares have Wilson's interval at their effective sample sizes,
    and the distances of their limits are combined with the correlation of the shares (Zou & Donner 2008,
    "Construction of confidence limits about effect measures: a general approach"). So the interval keeps its
    coverage where hardly any image is called, and the standard error is next to 0.

    Args:
        sample: Labels and patients.
        called: (n,) rows that are called positive.
        threshold: The threshold t on the probability.
        value: The net benefit.
        level: Nominal coverage.
    """
    if sample.patients < 2:
        return Estimate(value, reason=FEW_CLUSTERS)
    odds, total = threshold / (1 - threshold), float(sample.unit.sum())
    images = sample.patient_unit[sample.present]
    parts, influences, errors = [], [], []
    for side in (called & sample.positive, called & ~sample.positive):
        of_patient = sample.patient_weight(side)[sample.present]
        share = float(of_patient.sum()) / total
        influence = (of_patient - share * images) / total
        se, df = sandwich_se(influence), satterthwaite(influence)
        parts.append(share_interval(share, se, df, images, sample.effective_rows, level))
        influences.append(influence)
        errors.append(se)
    hits, alarms = ((part.value - part.low, part.high - part.value) for part in parts)  # type: ignore[operator]
    phi = influences[0] - odds * influences[1]
    size = errors[0] * errors[1]
    patients = len(phi)
    factor = patients / (patients - 1)
    correlation = factor * inner(influences[0], influences[1]) / size if size > 0 else 0.0
    down = _combined(hits[0], odds * alarms[1], correlation)
    up = _combined(hits[1], odds * alarms[0], correlation)
    return Estimate(
        value, low=value - down, high=value + up, se=sandwich_se(phi), df=satterthwaite(phi), method="mover-t"
    )


def _combined(first: float, second: float, correlation: float) -> float:
    """Distance of a limit of a difference from those of its two terms."""
    return float(np.sqrt(max(first**2 + second**2 - 2 * correlation * first * second, 0.0)))


def few_positives_warning(sample: Sample) -> str:
    """Warning of net-benefit intervals with few positive patients; empty where there are enough."""
    patients = sample.positive_patients
    if patients >= FEW_POSITIVE_PATIENTS:
        return ""
    return (
        f"{patients} patients with a positive image (fewer than {FEW_POSITIVE_PATIENTS}): in simulation "
        "intervals of net benefit covered 87 to 100%"
    )


def _difference_influence(sample: Sample, calls: tuple[Bools, Bools], threshold: float) -> Floats:
    """(P,) influence of each patient with rows on the net benefit of one set of calls minus another's."""
    odds = threshold / (1 - threshold)
    change = calls[0].astype(np.float64) - calls[1]
    worth = change * np.where(sample.positive, 1.0, -odds)
    return sample.by_patient(influence.mean(worth, sample.weight))[sample.present]


def net_benefit_difference(
    y: ArrayLike,
    p_a: ArrayLike,
    p_b: ArrayLike,
    bootstrap: PatientBootstrap,
    thresholds: ArrayLike = PERCENT_1_TO_50,
    *,
    level: float = 0.95,
    weight: ArrayLike | None = None,
) -> list[Estimate]:
    """Estimate the paired difference of net benefit, a - b, at each threshold.

    Args:
        y: (n,) 0/1 labels, rows as in the bootstrap.
        p_a: (n,) probabilities of a.
        p_b: (n,) probabilities of b.
        bootstrap: The patients.
        thresholds: (k,) probabilities from which one would act.
        level: Nominal coverage at each threshold.
        weight: (n,) non-negative row weights.

    Returns:
        k differences in true positives per image, by the clustered standard error, without limits where both
        act on the same images; empty without rows.

    Raises:
        ValueError: As `bench.metrics.decision.decision_curve`, or a level outside (0, 1).
    """
    check_level(level, "level")
    sample = bootstrap.sample(y, weight)
    a, b = sample.probabilities(p_a, "p_a"), sample.probabilities(p_b, "p_b")
    first, second = (decision_curve(sample.positive, p, thresholds, sample.weight) for p in (a, b))
    if first is None or second is None:
        return []
    prevalence = float(np.average(sample.positive, weights=sample.weight))
    warning = rare_warning(prevalence, VERY_RARE, "in simulation 80% coverage at a prevalence of 1%")
    estimates = [
        sandwich_interval(
            float(value), _difference_influence(sample, (a >= cut, b >= cut), float(cut)), level
        )
        for cut, value in zip(first.threshold, first.net_benefit - second.net_benefit, strict=True)
    ]
    return [replace(e, warnings=(warning,)) if warning and e.low is not None else e for e in estimates]


@dataclass(frozen=True, slots=True)
class DecisionEstimates:
    """Sensitivity, specificity and predictive values at a threshold chosen beforehand, with intervals.

    Attributes:
        threshold: Rows with at least this score are called positive.
        sensitivity: Share of the positive rows that are called.
        specificity: Share of the negative rows that are spared.
        ppv: Share of the called rows that are positive.
        npv: Share of the spared rows that are negative.
    """

    threshold: float
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate


def decision_estimates(
    y: ArrayLike,
    score: ArrayLike,
    threshold: float,
    bootstrap: PatientBootstrap,
    *,
    level: float = 0.95,
    weight: ArrayLike | None = None,
) -> DecisionEstimates:
    """Estimate four shares at a threshold that was not chosen on these rows, but for example on val.

    Args:
        y: (n,) 0/1 labels, rows as in the bootstrap.
        score: (n,) finite scores.
        threshold: Where to cut.
        bootstrap: The patients.
        level: Nominal coverage.
        weight: (n,) non-negative row weights.

    Raises:
        ValueError: Lengths differ, NaN, labels other than 0/1, negative weights, a level outside (0, 1).
    """
    check_level(level, "level")
    sample = bootstrap.sample(y, weight)
    called, hit = sample.scores(score) >= threshold, sample.positive
    return DecisionEstimates(
        threshold=float(threshold),
        sensitivity=_share_estimate(sample, called, hit, level),
        specificity=_share_estimate(sample, ~called, ~hit, level),
        ppv=_share_estimate(sample, hit, called, level),
        npv=_share_estimate(sample, ~hit, ~called, level),
    )


def _share_estimate(sample: Sample, part: Bools, whole: Bools, level: float) -> Estimate:
    """The share of the rows of `whole` that are in `part`."""
    estimate = clustered_share(part[whole], sample.unit[whole], sample.patient[whole], level)
    return with_warnings(estimate, sample.positive_patients)
