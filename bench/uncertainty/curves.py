"""Curves and thresholds with pointwise intervals: reliability, net benefit, decisions at a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import influence
from bench.metrics.calibration import Bins, Strategy, bin_index, reliability
from bench.metrics.decision import PERCENT_1_TO_50, DecisionCurve, decision_curve
from bench.metrics.validation import Bools, Floats, Ints, check_level
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.intervals import Estimate, sandwich_interval, with_warnings
from bench.uncertainty.sample import Sample
from bench.uncertainty.wilson import clustered_share


@dataclass(frozen=True, slots=True)
class Band:
    """Pointwise limits of a curve.

    Attributes:
        low: (k,) lower limits; nan where there is no interval.
        high: (k,) upper limits.
    """

    low: Floats
    high: Floats

    @classmethod
    def of(cls, estimates: list[Estimate]) -> Band:
        """The limits of (k,) estimates."""
        limits = np.array([[found.low, found.high] for found in estimates], dtype=np.float64)
        low, high = limits.reshape(-1, 2).T
        return cls(low, high)


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


def reliability_band(
    y: ArrayLike,
    p: ArrayLike,
    bootstrap: PatientBootstrap,
    bins: int = 15,
    strategy: Strategy = "uniform",
    *,
    level: float = 0.95,
    weight: ArrayLike | None = None,
) -> tuple[Bins, Band] | None:
    """The reliability curve with an interval of the observed share in every bin.

    Args:
        y: (n,) 0/1 labels, rows as in the bootstrap.
        p: (n,) probabilities.
        bootstrap: The patients.
        bins: Number of bins.
        strategy: Equal width or equal number of images.
        level: Nominal coverage at each bin.
        weight: (n,) non-negative row weights.

    Returns:
        Curve and band, or None without rows. An empty bin has no limits, nor has one of one patient.

    Raises:
        ValueError: As `bench.metrics.calibration.reliability`, or a level outside (0, 1).
    """
    check_level(level, "level")
    sample = bootstrap.sample(y, weight)
    probability = sample.probabilities(p)
    curve = reliability(sample.positive, probability, bins, strategy, sample.weight)
    if curve is None:
        return None
    index = bin_index(probability, curve.edges)
    return curve, Band.of(bin_shares(sample, index, len(curve.weight), level))


def benefit_influence(sample: Sample, called: Bools, threshold: float) -> Floats:
    """(P,) influence of each patient with rows on the net benefit of calling these (n,) rows positive."""
    odds = threshold / (1 - threshold)
    worth = np.where(called, np.where(sample.positive, 1.0, -odds), 0.0)
    return sample.by_patient(influence.mean(worth, sample.weight))[sample.present]


def decision_band(
    y: ArrayLike,
    p: ArrayLike,
    bootstrap: PatientBootstrap,
    thresholds: ArrayLike = PERCENT_1_TO_50,
    *,
    level: float = 0.95,
    weight: ArrayLike | None = None,
) -> tuple[DecisionCurve, Band] | None:
    """Net benefit over thresholds with intervals `value ± t · sandwich`; None without rows.

    Args:
        y: (n,) 0/1 labels, rows as in the bootstrap.
        p: (n,) probabilities.
        bootstrap: The patients.
        thresholds: (k,) probabilities from which one would act.
        level: Nominal coverage at each threshold.
        weight: (n,) non-negative row weights.

    Raises:
        ValueError: As `bench.metrics.decision.decision_curve`, or a level outside (0, 1).
    """
    check_level(level, "level")
    sample = bootstrap.sample(y, weight)
    probability = sample.probabilities(p)
    curve = decision_curve(sample.positive, probability, thresholds, sample.weight)
    if curve is None:
        return None
    found = [
        sandwich_interval(float(value), benefit_influence(sample, probability >= cut, float(cut)), level)
        for cut, value in zip(curve.threshold, curve.net_benefit, strict=True)
    ]
    return curve, Band.of(found)


@dataclass(frozen=True, slots=True)
class BenefitDifference:
    """Net benefit of acting on a minus that of acting on b, on the same images.

    Attributes:
        threshold: (k,) probability from which one would act.
        difference: (k,) in true positives per image.
        band: Its pointwise limits; nan where both act on the same images.
    """

    threshold: Floats
    difference: Floats
    band: Band


def net_benefit_difference(
    y: ArrayLike,
    p_a: ArrayLike,
    p_b: ArrayLike,
    bootstrap: PatientBootstrap,
    thresholds: ArrayLike = PERCENT_1_TO_50,
    *,
    level: float = 0.95,
    weight: ArrayLike | None = None,
) -> BenefitDifference | None:
    """The paired difference of net benefit between two entries over thresholds, with intervals.

    Arguments and errors are those of `decision_band`; `p_a` and `p_b` are the probabilities of a and b.

    Returns:
        The difference, or None without rows.
    """
    check_level(level, "level")
    sample = bootstrap.sample(y, weight)
    a, b = sample.probabilities(p_a, "p_a"), sample.probabilities(p_b, "p_b")
    first, second = (decision_curve(sample.positive, p, thresholds, sample.weight) for p in (a, b))
    if first is None or second is None:
        return None
    difference = first.net_benefit - second.net_benefit
    found = [
        sandwich_interval(
            float(value),
            benefit_influence(sample, a >= cut, float(cut)) - benefit_influence(sample, b >= cut, float(cut)),
            level,
        )
        for cut, value in zip(first.threshold, difference, strict=True)
    ]
    return BenefitDifference(first.threshold, difference, Band.of(found))


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
