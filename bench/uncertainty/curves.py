"""Pointwise intervals of curves: observed shares of bins, net benefit, decisions at a threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import influence
from bench.metrics.decision import PERCENT_1_TO_50, decision_curve
from bench.metrics.registry import VERY_RARE, rare_warning
from bench.metrics.validation import Bools, Floats, Ints, check_level
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.intervals import (
    FEW_CLUSTERS,
    FEW_POSITIVE_PATIENTS,
    Estimate,
    influence_df,
    sandwich_interval,
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


def benefit_intervals(
    sample: Sample, calls: Ints, thresholds: Floats, values: Floats, level: float = 0.95
) -> list[Estimate]:
    """Compute the intervals of net benefits by MOVER (method of variance estimates recovery).

    Net benefit is TP/n - FP/n · t/(1-t). Both shares have Wilson's interval at their effective sample sizes,
    and the distances of their limits are combined with the correlation of the shares (Zou & Donner 2008,
    "Construction of confidence limits about effect measures: a general approach"). So the interval keeps its
    coverage where hardly any image is called, and the standard error is next to 0.

    Args:
        sample: Labels and patients.
        calls: (n,) number of the thresholds at which each row is called positive, which are the lowest ones.
        thresholds: (k,) rising thresholds t on the probability.
        values: (k,) net benefits.
        level: Nominal coverage at each threshold.

    Returns:
        k estimates.
    """
    if sample.patients < 2:
        return [Estimate(value, reason=FEW_CLUSTERS) for value in values.tolist()]
    odds = thresholds / (1 - thresholds)
    hits, alarms = (
        _called_shares(sample, side, calls, len(thresholds), level)
        for side in (sample.positive, ~sample.positive)
    )
    benefit = _Influences.of(hits.influences.phi - odds[:, None] * alarms.influences.phi)
    size = hits.influences.se * alarms.influences.se
    patients = sample.patients
    product = patients / (patients - 1) * (hits.influences.phi * alarms.influences.phi).sum(axis=1)
    correlation = np.divide(product, size, out=np.zeros(len(size)), where=size > 0)
    down = _combined(hits.below, odds * alarms.above, correlation)
    up = _combined(hits.above, odds * alarms.below, correlation)
    columns = (values, values - down, values + up, benefit.se, benefit.df)
    return [
        Estimate(value, low=low, high=high, se=se, df=df, method="mover-t")
        for value, low, high, se, df in zip(*(column.tolist() for column in columns), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Influences:
    """(k, P) patient influences on k figures, with their clustered standard errors and df, (k,) each."""

    phi: Floats
    se: Floats
    df: Floats

    @classmethod
    def of(cls, phi: Floats) -> _Influences:
        squares, patients = phi**2, phi.shape[1]
        total = squares.sum(axis=1)
        se = np.sqrt(patients / (patients - 1) * total)
        return cls(phi, se, influence_df(total, (squares**2).sum(axis=1), patients))


@dataclass(frozen=True, slots=True)
class _CalledShares:
    """k shares of called images: influences, and the distances of the limits, (k,) each."""

    influences: _Influences
    below: Floats
    above: Floats


def _called_shares(sample: Sample, side: Bools, calls: Ints, k: int, level: float) -> _CalledShares:
    """The share of the called rows of one class among all rows at k thresholds, with Wilson's intervals."""
    images, total, patients = sample.patient_unit[sample.present], float(sample.unit.sum()), sample.patients
    cell = (calls * patients + sample.dense_patient)[side]
    by_calls = np.bincount(cell, sample.unit[side], minlength=(k + 1) * patients).reshape(k + 1, patients)
    of_patient = by_calls[1:]
    for threshold in range(k - 1, 0, -1):
        of_patient[threshold - 1] += of_patient[threshold]  # what is called there is called below it too
    shares = of_patient.sum(axis=1) / total
    influences = _Influences.of((of_patient - shares[:, None] * images) / total)
    intervals = [
        share_interval(share, se, df, images, sample.effective_rows, level)
        for share, se, df in zip(shares.tolist(), influences.se.tolist(), influences.df.tolist(), strict=True)
    ]
    low, high = np.array([(i.low, i.high) for i in intervals], np.float64).T
    return _CalledShares(influences, shares - low, high - shares)


def _combined(first: Floats, second: Floats, correlation: Floats) -> Floats:
    """Distances of limits of differences from those of their two terms."""
    return np.sqrt(np.maximum(first**2 + second**2 - 2 * correlation * first * second, 0.0))


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
