"""Curves and thresholds with patient-bootstrap limits: reliability, net benefit, decisions at a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.calibration import Bins, Strategy, bin_index, reliability
from bench.metrics.decision import PERCENT_1_TO_50, DecisionCurve, decision_at, decision_curve
from bench.metrics.validation import Bools, Floats, check_level
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.intervals import (
    MOST_UNDEFINED,
    Estimate,
    percentile_limits,
    satterthwaite,
    t_interval,
    with_warnings,
)
from bench.uncertainty.sample import Sample


@dataclass(frozen=True, slots=True)
class Band:
    """Pointwise percentile limits of a curve.

    Attributes:
        low: (k,) lower limits; nan where too many replicates leave the point undefined.
        high: (k,) upper limits.
    """

    low: Floats
    high: Floats


def _band(curves: Floats, level: float) -> Band:
    """Limits of every row of (k, B) replicates."""
    limits = np.full((2, len(curves)), np.nan)
    for k, curve in enumerate(curves):
        held = curve[np.isfinite(curve)]
        if len(held) >= 2 and len(held) >= (1 - MOST_UNDEFINED) * len(curve):
            limits[:, k] = percentile_limits(held, level)
    return Band(limits[0], limits[1])


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
    """The reliability curve with limits of the observed share in every bin; the bins stay where they are.

    Args:
        y: (n,) 0/1 labels, rows as in the bootstrap.
        p: (n,) probabilities.
        bootstrap: The draws.
        bins: Number of bins.
        strategy: Equal width or equal number of images.
        level: Nominal coverage at each bin.
        weight: (n,) non-negative row weights.

    Returns:
        Curve and band, or None without rows. A bin that is empty in more than 1% of the replicates has no
        limits.

    Raises:
        ValueError: As `bench.metrics.calibration.reliability`, or a level outside (0, 1).
    """
    sample = bootstrap.sample(y, weight)
    probability = sample.probabilities(p)
    curve = reliability(sample.positive, probability, bins, strategy, sample.weight)
    if curve is None:
        return None
    index = bin_index(probability, curve.edges)
    bins = len(curve.weight)
    held = sample.group_totals(np.ones(len(index)), index, bins)
    hits = sample.group_totals(sample.positive.astype(np.float64), index, bins)
    observed = np.divide(hits, held, out=np.full_like(hits, np.nan), where=held > 0)
    return curve, _band(observed, check_level(level, "level"))


def decision_band(
    y: ArrayLike,
    p: ArrayLike,
    bootstrap: PatientBootstrap,
    thresholds: ArrayLike = PERCENT_1_TO_50,
    *,
    level: float = 0.95,
    weight: ArrayLike | None = None,
) -> tuple[DecisionCurve, Band] | None:
    """Net benefit over thresholds with limits; None without rows.

    Args:
        y: (n,) 0/1 labels, rows as in the bootstrap.
        p: (n,) probabilities.
        bootstrap: The draws.
        thresholds: (k,) probabilities from which one would act.
        level: Nominal coverage at each threshold.
        weight: (n,) non-negative row weights.

    Raises:
        ValueError: As `bench.metrics.decision.decision_curve`, or a level outside (0, 1).
    """
    sample = bootstrap.sample(y, weight)
    probability = sample.probabilities(p)
    curve = decision_curve(sample.positive, probability, thresholds, sample.weight)
    if curve is None:
        return None
    odds = curve.threshold / (1 - curve.threshold)
    worth = [
        (probability >= cut) * np.where(sample.positive, 1.0, -price)
        for cut, price in zip(curve.threshold, odds, strict=True)
    ]
    benefit = sample.totals(worth)
    rows = sum(sample.classes, start=np.zeros(sample.replicates))
    drawn = np.divide(benefit, rows, out=np.full_like(benefit, np.nan), where=rows > 0)
    return curve, _band(drawn, check_level(level, "level"))


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
        bootstrap: The draws.
        level: Nominal coverage.
        weight: (n,) non-negative row weights.

    Raises:
        ValueError: Lengths differ, NaN, labels other than 0/1, negative weights, a level outside (0, 1).
    """
    check_level(level, "level")
    sample = bootstrap.sample(y, weight)
    scores = sample.scores(score)
    called, hit = scores >= threshold, sample.positive
    found = decision_at(hit, scores, threshold, sample.weight)
    return DecisionEstimates(
        threshold=float(threshold),
        sensitivity=_share_estimate(sample, found.sensitivity, called, hit, level),
        specificity=_share_estimate(sample, found.specificity, ~called, ~hit, level),
        ppv=_share_estimate(sample, found.ppv, hit, called, level),
        npv=_share_estimate(sample, found.npv, ~hit, ~called, level),
    )


def _share_estimate(sample: Sample, value: float | None, part: Bools, whole: Bools, level: float) -> Estimate:
    """A share of `whole` with its logit-t interval."""
    if value is None:
        return Estimate(None, reason="no row to take a share of")
    inside = whole.astype(np.float64)
    taken, total = sample.totals([inside * part, inside])
    drawn = np.divide(taken, total, out=np.full_like(total, np.nan), where=total > 0)
    influences = sample.unit * inside * (part - value)
    df = satterthwaite(sample.by_patient(influences)[sample.present])
    found = t_interval(value, drawn, df, "logit", 0.5 / np.count_nonzero(whole), level)
    return with_warnings(found, sample.positive_patients)
