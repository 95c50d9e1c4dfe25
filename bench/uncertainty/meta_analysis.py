"""Random-effects meta-analysis of one metric over hospitals, with a prediction interval for a new one.

The value of hospital i is yᵢ ~ N(θᵢ, vᵢ) on a scale on which it is nearly normal, and θᵢ ~ N(μ, τ²). τ² is
estimated by restricted maximum likelihood (Viechtbauer 2005, "Bias and efficiency of meta-analytic variance
estimators in the random-effects model"); the interval of μ is that of Hartung & Knapp 2001, "A refined method
for the meta-analysis of controlled clinical trials with binary outcome". Scales of prediction models: Debray
et al. 2017, "A guide to systematic review and meta-analysis of prediction model performance".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.metric import Scale
from bench.metrics.results import PooledEstimate
from bench.metrics.validation import Floats, check_level
from bench.uncertainty.intervals import back

FEWEST_HOSPITALS = 3
"""Below this number the spread between hospitals is not estimable."""

MOST_STEPS = 10_000
"""Steps of Fisher scoring; it needs fewer than a hundred where it converges."""


@dataclass(frozen=True, slots=True)
class RandomEffects:
    """The model's estimates on the scale of pooling.

    Attributes:
        mean: μ.
        se: Its standard error by Hartung & Knapp, with k - 1 degrees of freedom.
        tau2: Variance between hospitals.
        i2: τ² / (τ² + typical variance within a hospital), Higgins & Thompson 2002.
        hospitals: Their number k.
    """

    mean: float
    se: float
    tau2: float
    i2: float
    hospitals: int


def random_effects(values: ArrayLike, variances: ArrayLike) -> RandomEffects:
    """Fit the random-effects model.

    Args:
        values: (k,) estimate of every hospital, k at least 2.
        variances: (k,) their squared standard errors.

    Raises:
        ValueError: Fewer than two hospitals, unequal lengths, or variances that are not positive.

    >>> pooled = random_effects([0.1, 0.3, 0.35], [0.01, 0.01, 0.01])
    >>> round(pooled.mean, 6), round(pooled.tau2, 6)
    (0.25, 0.0075)
    """
    y, v = np.asarray(values, np.float64), np.asarray(variances, np.float64)
    if y.ndim != 1 or y.shape != v.shape or len(y) < 2:
        raise ValueError("values and variances must be vectors of one length, at least 2")
    if not np.isfinite(y).all() or not (np.isfinite(v) & (v > 0)).all():
        raise ValueError("values must be finite, variances finite and positive")
    tau2 = _between_variance(y, v)
    weight = 1 / (v + tau2)
    mean = float(weight @ y / weight.sum())
    k = len(y)
    spread = float(weight @ (y - mean) ** 2) / (k - 1)
    inverse = 1 / v
    typical = (k - 1) * inverse.sum() / (inverse.sum() ** 2 - (inverse**2).sum())
    return RandomEffects(
        mean=mean,
        se=float(np.sqrt(spread / weight.sum())),
        tau2=tau2,
        i2=float(tau2 / (tau2 + typical)),
        hospitals=k,
    )


def _between_variance(y: Floats, v: Floats) -> float:
    """τ² by restricted maximum likelihood: Fisher scoring from the moment estimate, never below 0."""
    tau2 = max(float(np.var(y, ddof=1) - v.mean()), 0.0)
    for _ in range(MOST_STEPS):
        w = 1 / (v + tau2)
        total, squares, cubes = float(w.sum()), float((w**2).sum()), float((w**3).sum())
        mean = float(w @ y) / total
        score = float(w**2 @ (y - mean) ** 2) - total + squares / total
        information = squares - 2 * cubes / total + (squares / total) ** 2
        new = max(tau2 + score / information, 0.0)
        if abs(new - tau2) <= 1e-14 * (new + float(v.mean())):
            return new
        tau2 = new
    return tau2


def pool(
    values: Sequence[float | None],
    standard_errors: Sequence[float | None],
    scale: Scale,
    level: float = 0.95,
) -> PooledEstimate:
    """Pool a metric over hospitals, and predict its value at a new one.

    Limits of the mean: μ ± t(k - 1)·se. Limits for a new hospital: μ ± t(k - 2)·√(τ² + se²), Partlett & Riley
    2017, "Random effects meta-analysis: coverage performance of 95% confidence and prediction intervals
    following REML estimation"; Higgins, Thompson & Spiegelhalter 2009 give the degrees of freedom.

    Args:
        values: (k,) the metric at every hospital; None where it is undefined.
        standard_errors: (k,) its standard error on the metric's own scale; None where there is none.
        scale: Scale of pooling: ``logit`` of an AUROC, ``log`` of a ratio, or ``identity``.
        level: Nominal coverage of both intervals.

    Returns:
        The pooled metric. A hospital without value or standard error is left out; with fewer than three left
        nothing is estimable.
    """
    from scipy.special import stdtrit

    check_level(level, "level")
    pairs = [
        _on_scale(value, se, scale)
        for value, se in zip(values, standard_errors, strict=True)
        if value is not None and se is not None and _inside(value, scale) and se > 0
    ]
    if len(pairs) < FEWEST_HOSPITALS:
        known = "1 hospital has" if len(pairs) == 1 else f"{len(pairs)} hospitals have"
        reason = f"not estimable: {known} a value with a standard error, {FEWEST_HOSPITALS} are needed"
        return PooledEstimate(None, hospitals=len(pairs), reason=reason)
    y, se = np.array(pairs).T
    effects = random_effects(y, se**2)
    k = effects.hospitals
    tail = (1 + level) / 2
    margin = float(stdtrit(k - 1, tail)) * effects.se
    reach = float(stdtrit(k - 2, tail) * np.sqrt(effects.tau2 + effects.se**2))
    limits = [effects.mean - margin, effects.mean + margin, effects.mean - reach, effects.mean + reach]
    low, high, prediction_low, prediction_high = (float(limit) for limit in back(np.array(limits), scale))
    return PooledEstimate(
        value=float(back(np.array([effects.mean]), scale)[0]),
        low=low,
        high=high,
        prediction_low=prediction_low,
        prediction_high=prediction_high,
        se=effects.se,
        tau=float(np.sqrt(effects.tau2)),
        i2=effects.i2,
        hospitals=k,
    )


def _inside(value: float, scale: Scale) -> bool:
    """Return whether a value lies strictly inside its scale."""
    return {"logit": 0 < value < 1, "log": value > 0, "identity": True}[scale]


def _on_scale(value: float, se: float, scale: Scale) -> tuple[float, float]:
    """A value and its standard error on the scale of pooling, by the delta method."""
    if scale == "logit":
        return float(np.log(value / (1 - value))), se / (value * (1 - value))
    if scale == "log":
        return float(np.log(value)), se / value
    return value, se
