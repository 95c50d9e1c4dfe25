"""Confidence intervals from replicates and influences, or the reason why there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.metric import Scale
from bench.metrics.results import Estimate as Estimate
from bench.metrics.validation import Floats

MOST_UNDEFINED = 0.01
"""Above this share of undefined replicates no interval is given."""

FEW_POSITIVE_PATIENTS = 20
FEW_DF = 10.0

METHOD: dict[Scale, str] = {"logit": "logit-t", "log": "log-t", "identity": "t"}


def satterthwaite(influence: Floats) -> float:
    """Compute Satterthwaite's degrees of freedom of a variance estimated from patient influences.

    Args:
        influence: (P,) patient influences.
    """
    squares = influence**2
    return float(influence_df(squares.sum(), (squares**2).sum(), len(influence)))


def influence_df(squares: ArrayLike, fourths: ArrayLike, patients: int) -> Floats:
    """Satterthwaite's degrees of freedom `2 (Σφ²)² / (Σφ⁴ - (Σφ²)²/P)`, at most P - 1.

    Few patients with a large influence make few degrees of freedom. Where all patients have about the same
    influence the denominator is 0 up to rounding; the value is then P - 1.

    Args:
        squares: Σφ², a number or an array of any shape.
        fourths: Σφ⁴, of the same shape.
        patients: P.
    """
    total, most = np.asarray(squares, np.float64) ** 2, float(max(patients - 1, 1))
    spread = np.asarray(fourths, np.float64) - total / patients
    uneven = spread > 1e-9 * total
    df = np.divide(2 * total, spread, out=np.full(total.shape, most), where=uneven)
    return np.asarray(np.minimum(df, most), np.float64)


def t_p_value(difference: ArrayLike, se: ArrayLike, df: ArrayLike) -> Floats:
    """Two-sided p-value of a difference: 2·T(-|difference| / se) with T Student's distribution function.

    Args:
        difference: Estimated differences, a number or an array.
        se: Their standard errors; 1 is returned where one is 0.
        df: Their degrees of freedom.
    """
    from scipy.special import stdtr

    error = np.asarray(se, np.float64)
    distance = np.divide(np.abs(difference), error, out=np.zeros(error.shape), where=error > 0)
    return np.asarray(2 * stdtr(df, -distance), np.float64)


def t_quantile(level: float, df: float) -> float:
    """Two-sided t quantile for an interval of this level."""
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + level) / 2))


def forward(values: Floats, scale: Scale, margin: float) -> Floats:
    """Values on the scale of the interval; shares are first moved at least `margin` away from 0 and 1."""
    if scale == "logit":
        inside: Floats = np.minimum(np.maximum(values, margin), 1 - margin)
        return np.log(inside / (1 - inside))
    if scale == "log":
        return np.log(np.maximum(values, margin))
    return values


def back(values: Floats, scale: Scale) -> Floats:
    """Inverse of `forward`."""
    if scale == "logit":  # `expit` differs in the last bit of stored limits, where 0 becomes -1e-16
        return 1 / (1 + np.exp(-values))
    return np.exp(values) if scale == "log" else values


def percentile_limits(values: Floats, level: float) -> tuple[float, float]:
    """Quantiles (1 - level)/2 and (1 + level)/2, interpolated linearly between order statistics."""
    last = len(values) - 1
    places = [share * last for share in ((1 - level) / 2, (1 + level) / 2)]
    below = [min(int(place), last - 1) for place in places]
    ranked = np.partition(values, [*below, *(rank + 1 for rank in below)])  # takes an eighth of sorting
    low, high = (
        float(ranked[rank] + (place - rank) * (ranked[rank + 1] - ranked[rank]))
        for place, rank in zip(places, below, strict=True)
    )
    return low, high


UNBOUNDED = (-np.inf, np.inf)

FEW_CLUSTERS = "fewer than two patients, or fewer than two of one class"


def defined_replicates(value: float, replicates: Floats) -> tuple[Floats, Estimate]:
    """Replicates in which a metric is defined, and its estimate without an interval.

    Args:
        value: The metric on all rows.
        replicates: (B,) the metric in every replicate, nan where undefined.

    Returns:
        The finite replicates, and the estimate; it has a reason where too many are undefined.
    """
    total = len(replicates)
    finite = np.isfinite(replicates)
    defined = replicates if finite.all() else replicates[finite]
    undefined = total - len(defined)
    reason = ""
    if undefined > MOST_UNDEFINED * total:
        reason = f"undefined in {undefined} of {total} replicates (more than 1%)"
    elif len(defined) < 2:
        reason = "fewer than two replicates"
    return defined, Estimate(value, undefined=undefined, reason=reason)


def t_interval(
    value: float,
    replicates: Floats,
    df: float,
    scale: Scale = "identity",
    margin: float = 1e-12,
    level: float = 0.95,
    *,
    clusters: int | None = None,
    least_se: float = 0.0,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Estimate:
    """`value ± t(df) · sd(replicates) · √(k / (k - 1))` on a scale, with percentile limits beside it.

    The bootstrap of k patients gives the variance of a mean with k in the denominator; the factor turns it
    into the unbiased one.

    Args:
        value: The metric on all rows.
        replicates: (B,) the metric in every replicate, nan where undefined.
        df: Degrees of freedom; k - 1 where that is less.
        scale: Where the interval is symmetric.
        margin: How near to the ends of the scale a value may come, for instance 0.5 / (M·N) for an AUROC.
        level: Nominal coverage.
        clusters: The number of patients k on which the error rests; None leaves factor and df out.
        least_se: Standard error on the metric's own scale, such as a sandwich's before its factor, below
            which the standard deviation of the replicates is replaced by it.
        bounds: Range of the metric; limits are clipped to it.

    Returns:
        The estimate, without interval and with the reason where too many replicates are undefined or all are
        equal.
    """
    defined, nothing = defined_replicates(value, replicates)
    if nothing.reason:
        return nothing
    if clusters is not None and clusters < 2:
        return replace(nothing, reason=FEW_CLUSTERS)
    if defined.min() == defined.max() and not least_se:
        return replace(nothing, se=0.0, reason="all replicates are equal: they say nothing about the error")
    factor = 1.0 if clusters is None else float(np.sqrt(clusters / (clusters - 1)))
    df = df if clusters is None else min(df, clusters - 1.0)
    centre = forward(np.array([value]), scale, margin)[0]
    deviation = float(np.std(defined, ddof=1))
    spread = deviation if scale == "identity" else float(np.std(forward(defined, scale, margin), ddof=1))
    spread = factor * max(spread, least_se * _steepness(value, scale, margin))
    se = factor * max(deviation, least_se)
    reach = t_quantile(level, df) * spread
    with np.errstate(over="ignore"):
        low, high = np.clip(back(np.array([centre - reach, centre + reach]), scale), *bounds)
    if not (np.isfinite(low) and np.isfinite(high)):
        return replace(nothing, se=se, reason=f"no finite limit ({df:.1f} degrees of freedom)")
    percentile_low, percentile_high = percentile_limits(defined, level)
    return replace(
        nothing,
        low=float(min(low, value)),
        high=float(max(high, value)),
        se=se,
        percentile_low=percentile_low,
        percentile_high=percentile_high,
        df=float(df),
        method=METHOD[scale],
    )


def _steepness(value: float, scale: Scale, margin: float) -> float:
    """Derivative of `forward` at a value."""
    if scale == "logit":
        inside = float(np.clip(value, margin, 1 - margin))
        return 1 / (inside * (1 - inside))
    return 1 / max(value, margin) if scale == "log" else 1.0


def clipped_to(estimate: Estimate, bounds: tuple[float, float]) -> Estimate:
    """Clip limits, percentile limits too, to the range of the metric."""

    def inside(limit: float | None) -> float | None:
        return None if limit is None else min(max(limit, bounds[0]), bounds[1])

    return replace(
        estimate,
        low=inside(estimate.low),
        high=inside(estimate.high),
        percentile_low=inside(estimate.percentile_low),
        percentile_high=inside(estimate.percentile_high),
    )


def sandwich_se(influence: Floats) -> float:
    """Cluster-robust standard error `√(P/(P-1) Σφ²)` from (P,) influences of at least two patients."""
    patients = len(influence)
    return float(np.sqrt(patients / (patients - 1) * np.sum(influence**2)))


def sandwich_interval(
    value: float, influence: Floats, level: float = 0.95, bounds: tuple[float, float] = UNBOUNDED
) -> Estimate:
    """`value ± t(df) · se` with the cluster-robust standard error and Satterthwaite's df.

    Args:
        value: The metric on all rows.
        influence: (P,) patient influences, one for every patient with rows.
        level: Nominal coverage.
        bounds: Range of the metric; limits are clipped to it.
    """
    if len(influence) < 2:
        return Estimate(value, reason="fewer than two patients")
    se = sandwich_se(influence)
    if se == 0:
        return Estimate(value, se=0.0, reason="no patient differs: the data say nothing about the error")
    df = satterthwaite(influence)
    reach = t_quantile(level, df) * se
    estimate = Estimate(value, low=value - reach, high=value + reach, se=se, df=df, method="sandwich-t")
    return clipped_to(estimate, bounds)


def fisher_z_interval(
    value: float,
    replicates: Floats,
    df: float,
    level: float = 0.95,
    *,
    clusters: int | None = None,
    least_se: float = 0.0,
) -> Estimate:
    """`t_interval` of a value from -1 to 1, such as a correlation, on Fisher's z scale.

    z is half the log odds of (1 + r) / 2, so the logit scale serves.

    Args:
        value: The metric on all rows.
        replicates: (B,) the metric in every replicate, nan where undefined.
        df: Degrees of freedom.
        level: Nominal coverage.
        clusters: As in `t_interval`.
        least_se: As in `t_interval`.
    """
    half = t_interval(
        (1 + value) / 2,
        (1 + replicates) / 2,
        df,
        "logit",
        level=level,
        clusters=clusters,
        least_se=least_se / 2,
    )

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
    """Widen an interval to the percentile limits where they lie further out.

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


def with_warnings(estimate: Estimate, positive_patients: int) -> Estimate:
    """Add warnings of few patients with a positive image and of few degrees of freedom."""
    if estimate.low is None:
        return estimate
    warnings = list(estimate.warnings)
    if positive_patients < FEW_POSITIVE_PATIENTS:
        warnings.append(
            f"{positive_patients} patients with a positive image (fewer than {FEW_POSITIVE_PATIENTS})"
        )
    if estimate.df is not None and estimate.df < FEW_DF:
        warnings.append(f"{estimate.df:.1f} degrees of freedom (fewer than {FEW_DF:g})")
    return replace(estimate, warnings=tuple(warnings)) if warnings else estimate
