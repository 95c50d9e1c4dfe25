"""Pointwise intervals of curves: observed shares of bins, net benefit, decisions at a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import influence
from bench.metrics.decision import PERCENT_1_TO_50, decision_curve
from bench.metrics.validation import Bools, Floats, Ints, check_level
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.intervals import Estimate, sandwich_interval, with_warnings
from bench.uncertainty.sample import Sample
from bench.uncertainty.wilson import clustered_share


def bin_shares(sample: Sample, index: Ints, bins: int, level: float = 0.95) -> list[Estimate]:
    """The share of positives in every bin, with Wilson's interval at its effective sample size.

    Args:
        sample: Labels and patients.
        index: (n,) the bin of every row that counts.
        bins: Number of bins.
        level: Nominal coverage at each bin.
    """
    found = []
    for number in range(bins):
        inside = index == number
        found.append(
            clustered_share(sample.positive[inside], sample.unit[inside], sample.patient[inside], level)
        )
    return found


def benefit_influence(sample: Sample, called: Bools, threshold: float) -> Floats:
    """(P,) influence of each patient with rows on the net benefit of calling these (n,) rows positive."""
    odds = threshold / (1 - threshold)
    worth = np.where(called, np.where(sample.positive, 1.0, -odds), 0.0)
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
    return [
        sandwich_interval(
            float(value),
            benefit_influence(sample, a >= cut, float(cut)) - benefit_influence(sample, b >= cut, float(cut)),
            level,
        )
        for cut, value in zip(first.threshold, first.net_benefit - second.net_benefit, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class DecisionEstimates:
    """What a threshold chosen beforehand does, with intervals.

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
    """Four shares at a threshold that was not chosen on these rows, for example on val.

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
    found = clustered_share(part[whole], sample.unit[whole], sample.patient[whole], level)
    return with_warnings(found, sample.positive_patients)
