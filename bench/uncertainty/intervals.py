"""From replicates and influences to an interval, or to the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.metrics.registry import Scale
from bench.metrics.validation import Floats

MOST_UNDEFINED = 0.01
"""Above this share of undefined replicates no interval is given."""

FEW_POSITIVE_PATIENTS = 20
FEW_DF = 10.0

METHOD: dict[Scale, str] = {"logit": "logit-t", "log": "log-t", "identity": "t"}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric with its uncertainty; None where something is undefined, with the reason.

    Attributes:
        value: The metric on all rows.
        low: Lower limit of the interval.
        high: Upper limit.
        se: Standard error: standard deviation of the replicates, or of the influences (``"sandwich-t"``).
        percentile_low: Percentile limit of the replicates, for comparison.
        percentile_high: The other one.
        df: Degrees of freedom of the t quantile.
        obuchowski_se: Clustered standard error in closed form (AUROC only).
        undefined: Replicates in which the metric is undefined.
        replicates: Replicates drawn.
        method: ``"logit-t"``, ``"log-t"``, ``"t"``, ``"sandwich-t"``, ``"fisher-z-t"``, ``"bias-corrected
            t"``, ``"logit-t or percentile"`` (the wider limit), or empty without an interval.
        reason: Why value or interval is missing, else empty.
        warnings: What to know before trusting the interval, with numbers.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    se: float | None = None
    percentile_low: float | None = None
    percentile_high: float | None = None
    df: float | None = None
    obuchowski_se: float | None = None
    undefined: int = 0
    replicates: int = 0
    method: str = ""
    reason: str = ""
    warnings: tuple[str, ...] = ()


def satterthwaite(influence: Floats) -> float:
    """Degrees of freedom that a variance estimated from patient influences really has.

    `2 (Σφ²)² / (Σφ⁴ - (Σφ²)²/P)`, at least 2: few patients with a large influence make few degrees of
    freedom.

    Args:
        influence: (P,) patient influences.
    """
    squares = influence**2
    total = float(squares.sum())
    spread = float((squares**2).sum()) - total**2 / len(squares)
    if total == 0 or spread <= 0:
        return float(max(2, len(squares) - 1))
    return max(2.0, 2 * total**2 / spread)


def t_quantile(level: float, df: float) -> float:
    """Two-sided t quantile for an interval of this level."""
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + level) / 2))


def forward(values: Floats, scale: Scale, margin: float) -> Floats:
    """Values on the scale of the interval; shares are first moved at least `margin` away from 0 and 1."""
    if scale == "logit":
        inside = np.clip(values, margin, 1 - margin)
        return np.log(inside / (1 - inside))
    if scale == "log":
        return np.log(np.maximum(values, margin))
    return values


def back(values: Floats, scale: Scale) -> Floats:
    """Inverse of `forward`."""
    if scale == "logit":
        return 1 / (1 + np.exp(-values))
    return np.exp(values) if scale == "log" else values


def percentile_limits(values: Floats, level: float) -> tuple[float, float]:
    """Quantiles (1 - level)/2 and (1 + level)/2, interpolated linearly between order statistics."""
    ranked = np.sort(values)

    def at(share: float) -> float:
        place = share * (len(ranked) - 1)
        below = min(int(place), len(ranked) - 2)
        return float(ranked[below] + (place - below) * (ranked[below + 1] - ranked[below]))

    return at((1 - level) / 2), at((1 + level) / 2)


def t_interval(
    value: float,
    replicates: Floats,
    df: float,
    scale: Scale = "identity",
    margin: float = 1e-12,
    level: float = 0.95,
) -> Estimate:
    """`value ± t(df) · sd(replicates)` on a scale, with percentile limits beside it.

    Args:
        value: The metric on all rows.
        replicates: (B,) the metric in every replicate, nan where undefined.
        df: Degrees of freedom.
        scale: Where the interval is symmetric.
        margin: How near to the ends of the scale a value may come, for instance 0.5 / (M·N) for an AUROC.
        level: Nominal coverage.

    Returns:
        The estimate, without interval and with the reason where too many replicates are undefined or all are
        equal.
    """
    drawn = len(replicates)
    finite = np.isfinite(replicates)
    held = replicates if finite.all() else replicates[finite]
    undefined = drawn - len(held)
    nothing = Estimate(value, undefined=undefined, replicates=drawn)
    if undefined > MOST_UNDEFINED * drawn:
        return replace(nothing, reason=f"undefined in {undefined} of {drawn} replicates (more than 1%)")
    if len(held) < 2:
        return replace(nothing, reason="fewer than two replicates")
    spread = float(np.std(forward(held, scale, margin), ddof=1))
    if spread < 1e-14:
        return replace(nothing, se=0.0, reason="all replicates are equal: they say nothing about the error")
    centre = forward(np.array([value]), scale, margin)[0]
    reach = t_quantile(level, df) * spread
    with np.errstate(over="ignore"):
        low, high = back(np.array([centre - reach, centre + reach]), scale)
    if not (np.isfinite(low) and np.isfinite(high)):
        se = float(np.std(held, ddof=1))
        return replace(nothing, se=se, reason=f"no finite limit ({df:.1f} degrees of freedom)")
    percentile_low, percentile_high = percentile_limits(held, level)
    return replace(
        nothing,
        low=float(min(low, value)),
        high=float(max(high, value)),
        se=float(np.std(held, ddof=1)),
        percentile_low=percentile_low,
        percentile_high=percentile_high,
        df=float(df),
        method=METHOD[scale],
    )


def sandwich_interval(value: float, influence: Floats, level: float = 0.95) -> Estimate:
    """`value ± t(df) · se` with the cluster-robust standard error `sqrt(P/(P-1) Σφ²)` and Satterthwaite's df.

    Args:
        value: The metric on all rows.
        influence: (P,) patient influences, one for every patient with rows.
        level: Nominal coverage.
    """
    patients = len(influence)
    if patients < 2:
        return Estimate(value, reason="fewer than two patients")
    se = float(np.sqrt(patients / (patients - 1) * np.sum(influence**2)))
    df = satterthwaite(influence)
    reach = t_quantile(level, df) * se
    return Estimate(value, low=value - reach, high=value + reach, se=se, df=df, method="sandwich-t")


def fisher_z_interval(value: float, replicates: Floats, df: float, level: float = 0.95) -> Estimate:
    """`t_interval` of a correlation on Fisher's z scale.

    z is half the log odds of (1 + r) / 2, so the logit scale serves.

    Args:
        value: The correlation on all rows.
        replicates: (B,) the correlation in every replicate, nan where undefined.
        df: Degrees of freedom.
        level: Nominal coverage.
    """
    half = t_interval((1 + value) / 2, (1 + replicates) / 2, df, "logit", level=level)

    def full(limit: float | None) -> float | None:
        return None if limit is None else 2 * limit - 1

    return replace(
        half,
        value=value,
        low=full(half.low),
        high=full(half.high),
        percentile_low=full(half.percentile_low),
        percentile_high=full(half.percentile_high),
        se=None if half.se is None else 2 * half.se,
        method="fisher-z-t" if half.method else "",
    )


def widened(estimate: Estimate) -> Estimate:
    """Moves a limit outwards to the percentile limit where that lies further out.

    For estimates whose replicates lean to the side that a symmetric interval misses.
    """
    if None in (estimate.low, estimate.high, estimate.percentile_low, estimate.percentile_high):
        return estimate
    return replace(
        estimate,
        low=min(estimate.low, estimate.percentile_low),  # type: ignore[type-var]
        high=max(estimate.high, estimate.percentile_high),  # type: ignore[type-var]
        method=f"{estimate.method} or percentile",
    )


def bias_corrected(estimate: Estimate, replicates: Floats, level: float) -> Estimate:
    """Centres an interval at twice the value less the mean of the replicates, but never below 0.

    For a binned calibration error, which resampling inflates about as much as sampling did. It still holds
    its value, and still covers less than it says, as its warning tells.
    """
    if estimate.value is None or estimate.se is None or estimate.df is None:
        return estimate
    centre = 2 * estimate.value - float(np.nanmean(replicates))
    reach = t_quantile(level, estimate.df) * estimate.se
    return replace(
        estimate,
        low=max(0.0, min(centre - reach, estimate.value)),
        high=max(centre + reach, estimate.value),
        method="bias-corrected t",
        warnings=(*estimate.warnings, "a binned error is biased: in simulation 85 to 95% coverage"),
    )


def with_warnings(estimate: Estimate, positive_patients: int) -> Estimate:
    """Adds what makes an interval doubtful: few patients with a positive image, few degrees of freedom."""
    if estimate.low is None:
        return estimate
    found = list(estimate.warnings)
    if positive_patients < FEW_POSITIVE_PATIENTS:
        found.append(
            f"{positive_patients} patients with a positive image (fewer than {FEW_POSITIVE_PATIENTS})"
        )
    if estimate.df is not None and estimate.df < FEW_DF:
        found.append(f"{estimate.df:.1f} degrees of freedom (fewer than {FEW_DF:g})")
    return replace(estimate, warnings=tuple(found))
