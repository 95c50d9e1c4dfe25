"""Jackknife standard errors and intervals, leaving out one patient at a time.

Recalibration lines and limits of agreement rest on few patients with large leverage; the sandwich of their
influences then comes out too small. Leaving each patient out sees the leverage. For regressions the squared
distances over patients are the cluster-robust variance CR3 (MacKinnon, Nielsen & Webb 2023, "Leverage,
influence, and the jackknife in clustered regression models").
"""

from __future__ import annotations

import numpy as np

from bench.metrics.regression import LIMIT, from_moments
from bench.metrics.validation import Floats
from bench.uncertainty.intervals import FEW_CLUSTERS, Estimate, satterthwaite, t_quantile


def deletion_se(changes: Floats) -> float:
    """Jackknife standard error `√((P-1)/P Σ(θ₋ᵢ - θ)²)` from (P,) changes without each patient."""
    patients = len(changes)
    return float(np.sqrt((patients - 1) / patients * np.sum(changes**2)))


def deletion_interval(
    value: float, changes: Floats, level: float = 0.95, *, clusters: int | None = None
) -> Estimate:
    """`value ± t(df) · se` with the jackknife's standard error and Satterthwaite's df of its changes.

    Args:
        value: The figure on all rows.
        changes: (P,) its changes without each patient with rows, nan where it is then undefined.
        level: Nominal coverage.
        clusters: Number of patients that limits the degrees of freedom to one less; None for all.
    """
    if len(changes) < 2:
        return Estimate(value, reason="fewer than two patients")
    lost = int(np.count_nonzero(~np.isfinite(changes)))
    if lost:
        return Estimate(value, reason=f"undefined without one patient, for {lost} patients")
    se = deletion_se(changes)
    if se == 0:
        return Estimate(value, se=0.0, reason="no patient differs: the data say nothing about the error")
    df = min(satterthwaite(changes), (clusters or len(changes)) - 1.0)
    if df < 1:
        return Estimate(value, se=se, reason=FEW_CLUSTERS)
    reach = t_quantile(level, df) * se
    return Estimate(value, low=value - reach, high=value + reach, se=se, df=df, method="cr3-t")


def agreement_limits(sums: Floats, of_patient: Floats, level: float = 0.95) -> tuple[Estimate, Estimate]:
    """Compute both limits of agreement, with intervals recovered from those of bias and standard deviation.

    MOVER (Zou 2013, "Confidence interval estimation for the Bland-Altman limits of agreement with multiple
    observations per individual"): the intervals of the bias and of the standard deviation of the
    differences are put together, each limit with its own distance. The standard deviation's interval is
    symmetric on the log scale. Both have jackknife standard errors over patients.

    Args:
        sums: (9,) sums of `bench.metrics.regression.moments` over all rows.
        of_patient: (9, P) the same sums of each patient.
        level: Nominal coverage.
    """
    whole = from_moments(sums)
    bias, spread = float(whole["bias"]), _spread(whole)
    ends = bias - LIMIT * spread, bias + LIMIT * spread
    patients = of_patient.shape[1]
    if patients < 3 or not spread > 0:
        reason = "fewer than three patients" if patients < 3 else "all differences are equal"
        return Estimate(ends[0], reason=reason), Estimate(ends[1], reason=reason)
    without = from_moments(sums[:, None] - of_patient)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(_spreads(without)) - np.log(spread)
    parts = deletion_interval(bias, without["bias"] - bias, level), deletion_interval(0.0, logs, level)
    reaches = []
    for part in parts:
        if part.high is None or part.value is None:
            return Estimate(ends[0], reason=part.reason), Estimate(ends[1], reason=part.reason)
        reaches.append(part.high - part.value)
    down, up = spread * (1 - np.exp(-reaches[1])), spread * (np.exp(reaches[1]) - 1)
    df = min(part.df for part in parts if part.df is not None)

    def limit(end: float, below: float, above: float, changes: Floats) -> Estimate:
        low, high = end - np.hypot(reaches[0], LIMIT * below), end + np.hypot(reaches[0], LIMIT * above)
        return Estimate(
            end, low=float(low), high=float(high), se=deletion_se(changes), df=df, method="mover-t"
        )

    return (
        limit(ends[0], up, down, without["loa_low"] - ends[0]),
        limit(ends[1], down, up, without["loa_high"] - ends[1]),
    )


def _spread(figures: dict[str, Floats]) -> float:
    return float(_spreads(figures))


def _spreads(figures: dict[str, Floats]) -> Floats:
    """Standard deviation of the differences, from the limits of agreement."""
    spreads: Floats = (figures["loa_high"] - figures["loa_low"]) / (2 * LIMIT)
    return spreads
