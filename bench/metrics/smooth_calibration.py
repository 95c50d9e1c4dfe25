"""A smooth calibration curve, and how far it lies from the diagonal.

The probability of the label is fitted by logistic regression on a natural cubic spline of logit(p), as in
Austin, Harrell & van Klaveren 2020, "Graphical calibration curves and the integrated calibration index (ICI)
for survival models". A spline of few knots needs no choice of a bandwidth and, unlike loess, keeps its shape
where predictions are sparse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.calibration import logit
from bench.metrics.recalibration_line import expit
from bench.metrics.validation import Bools, Floats, predicted

KNOT_SHARES = (0.05, 0.35, 0.65, 0.95)
"""Quantiles of logit(p) at the knots (Harrell 2015, Regression Modeling Strategies, table 2.3)."""

RIDGE = 1e-3
"""Penalty on the coefficients of the standardised spline; it keeps them finite if classes are separated."""

STEPS = 60
"""Most steps of Newton."""


@dataclass(frozen=True, slots=True)
class SmoothCalibration:
    """Distances between prediction and smoothly observed risk over the images.

    Attributes:
        ici: Integrated calibration index: their mean (Austin & Steyerberg 2019).
        e50: Their median.
        e90: Their 90% quantile.
        emax: The largest one.
        predicted: (k,) probabilities at which the curve is drawn, rising.
        observed: (k,) the curve.
    """

    ici: float
    e50: float
    e90: float
    emax: float
    predicted: Floats
    observed: Floats


def _quantiles(values: Floats, shares: Floats | tuple[float, ...], weight: Floats) -> Floats:
    """Quantiles by the inverse distribution function, selected without sorting where all rows weigh 1."""
    if np.any(weight != 1):
        return np.asarray(np.quantile(values, np.array(shares), method="inverted_cdf", weights=weight))
    ranks = np.searchsorted(np.arange(1, len(values) + 1) / len(values), shares)
    quantiles: Floats = np.partition(values, ranks)[ranks]
    return quantiles


def natural_spline(x: Floats, knots: Floats) -> Floats:
    """(len(knots) - 1, n) basis of a natural cubic spline, linear beyond the outer knots, without a constant.

    Truncated cubes after Harrell 2015, section 2.4.5; the first column is x.
    """
    last, before = knots[-1], knots[-2]
    scale = (last - knots[0]) ** 2
    *cubes, cube_before, cube_last = (np.maximum(x - knot, 0.0) ** 3 for knot in knots)
    bends = [
        (cube - cube_before * (last - knot) / (last - before) + cube_last * (before - knot) / (last - before))
        / scale
        for cube, knot in zip(cubes, knots[:-2], strict=True)
    ]
    return np.stack([x, *bends])


@dataclass(frozen=True, slots=True)
class _Design:
    """Standardised columns of a spline at the knots of one set of predictions."""

    knots: Floats
    middle: Floats
    spread: Floats

    @classmethod
    def of(cls, x: Floats, weight: Floats) -> tuple[_Design, Floats]:
        """The design of some predictions, and their `columns`."""
        knots = np.unique(_quantiles(x, KNOT_SHARES, weight))
        raw = _raw_columns(x, knots)
        middle = np.average(raw, axis=1, weights=weight)
        spread = np.sqrt(np.average((raw - middle[:, None]) ** 2, axis=1, weights=weight))
        design = cls(knots, middle, np.where(spread > 1e-12, spread, np.inf))
        return design, design._standardised(raw)

    def columns(self, x: Floats) -> Floats:
        """(1 + k, n) constant and standardised columns; one that does not vary is 0."""
        return self._standardised(_raw_columns(x, self.knots))

    def _standardised(self, raw: Floats) -> Floats:
        standard = (raw - self.middle[:, None]) / self.spread[:, None]
        return np.concatenate([np.ones((1, raw.shape[1])), standard])


def _raw_columns(x: Floats, knots: Floats) -> Floats:
    """(k, n) the spline at these knots; x alone where there are too few of them."""
    return natural_spline(x, knots) if len(knots) >= 3 else x[None]


def _fit(columns: Floats, positive: Bools, weight: Floats) -> Floats:
    """Coefficients of a logistic regression with a ridge on all but the constant, by damped Newton steps."""
    penalty = np.full(len(columns), RIDGE)
    penalty[0] = 0.0
    side = np.where(positive, -1.0, 1.0)
    share = float(np.average(positive, weights=weight))
    beta = np.zeros(len(columns))
    beta[0] = np.log(share / (1 - share))

    def loss(at: Floats) -> float:
        odds = side * (at[:, None] * columns).sum(axis=0)
        return float(np.sum(weight * np.logaddexp(0.0, odds)) + np.sum(penalty * at**2) / 2)

    now = loss(beta)
    for _ in range(STEPS):
        guess = expit((beta[:, None] * columns).sum(axis=0))
        gradient = (columns * (weight * (positive - guess))).sum(axis=1) - penalty * beta
        hold = weight * guess * (1 - guess)
        information = np.array([[np.sum(held * b) for b in columns] for held in hold * columns])
        step = np.linalg.solve(information + np.diag(np.maximum(penalty, 1e-12)), gradient)
        while True:
            trial = loss(beta + step)
            if trial <= now * (1 + 1e-14) or np.abs(step).max() < 1e-12:
                break
            step = step / 2
        beta, now = beta + step, trial
        if np.abs(step).max() <= 1e-9 * (1 + np.abs(beta).max()):
            break
    return beta


def smooth_calibration(
    y: ArrayLike, p: ArrayLike, points: int = 100, weight: ArrayLike | None = None
) -> SmoothCalibration | None:
    """The smooth calibration curve with ICI, E50, E90 and Emax.

    Like every calibration error these are above 0 for a calibrated model too, and describe rather than rank.

    Args:
        y: (n,) 0/1 labels.
        p: (n,) probabilities.
        points: Number of places, at equally spaced quantiles of p, at which the curve is returned.
        weight: (n,) non-negative row weights; they are scaled to mean 1.

    Returns:
        The curve; None with one class only.

    Raises:
        ValueError: As `bench.metrics.calibration.brier`.
    """
    positive, probability, row = predicted(y, p, weight)
    if not len(positive) or positive.all() or not positive.any():
        return None
    unit = np.ones(len(positive)) if row is None else row * len(row) / row.sum()
    x = logit(probability)
    design, columns = _Design.of(x, unit)
    beta = _fit(columns, positive, unit)
    distance = np.abs(_curve(columns, beta) - probability)
    median, ninth = _quantiles(distance, (0.5, 0.9), unit)
    shares = np.linspace(0, 1, points)
    places = np.unique(_quantiles(probability, shares, unit))
    return SmoothCalibration(
        ici=float(np.average(distance, weights=unit)),
        e50=float(median),
        e90=float(ninth),
        emax=float(distance.max()),
        predicted=places,
        observed=_curve(design.columns(logit(places)), beta),
    )


def _curve(columns: Floats, beta: Floats) -> Floats:
    return expit((beta[:, None] * columns).sum(axis=0))
