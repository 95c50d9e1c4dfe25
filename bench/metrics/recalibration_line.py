"""Cox's recalibration line: logit P(y = 1) = intercept + slope · logit(p).

Slope 1 and intercept 0 are perfect; a slope below 1 means predictions are too extreme. Cox 1958, "Two further
applications of a model for binary regression".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.calibration import logit
from bench.metrics.validation import Bools, Floats, Ints, inner, predicted

CLOSE = 1e-6
"""Newton stops after a step this small relative to 1 + the coefficient, which leaves about its square."""

STEPS = 100
"""Most steps of Newton, and most halvings of one step; not reached where a finite fit exists."""

FAR = 700.0
"""Log odds beyond which the exponential would overflow."""


class Line(NamedTuple):
    """A fitted line: `(slope, intercept)` of the joint fit."""

    slope: float
    intercept: float


IDEAL = Line(1.0, 0.0)
"""The line of predictions that are calibrated."""


def expit(x: Floats) -> Floats:
    """Compute 1 / (1 + exp(-x)) without overflow.

    `scipy.special.expit` differs in the last bit of one number in four, which would change stored scores.
    """
    shrunk = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, shrunk) / (1 + shrunk))


def separated(positive: Bools, x: Floats) -> bool:
    """Return whether a threshold on x separates the classes: no finite maximum-likelihood slope exists."""
    low, high = x[positive], x[~positive]
    return bool(low.min() >= high.max() or low.max() <= high.min())


def fit_line(positive: Bools, x: Floats, weight: Floats | None = None, start: Line = IDEAL) -> Line | None:
    """Maximum likelihood of `positive` on `x` (log odds), by damped Newton steps from `start`.

    Returns:
        The line; None with one class, a constant x or separated classes (no finite fit).
    """
    if not len(x) or positive.all() or not positive.any() or separated(positive, x):
        return None
    centre = float(np.average(x, weights=weight))
    middle = start.intercept + start.slope * centre
    intercept, slope = _newton(positive, x - centre, weight, middle, start.slope, joint=True)
    return Line(slope, intercept - slope * centre)


def fit_shift(positive: Bools, x: Floats, weight: Floats | None = None) -> float | None:
    """Maximum likelihood of the intercept with the slope fixed at 1; None with one class only."""
    if not len(x) or positive.all() or not positive.any():
        return None
    return _newton(positive, x, weight, 0.0, 1.0, joint=False)[0]


def _newton(
    positive: Bools, x: Floats, weight: Floats | None, intercept: float, slope: float, *, joint: bool
) -> tuple[float, float]:
    """Minimise the logistic loss over the intercept, with `joint` over the slope too.

    A step that would raise the loss is halved.
    """
    # Towards the wrong class: the loss of an image is log(1 + exp(side · log odds)).
    side = np.where(positive, -1.0, 1.0)
    square = x**2

    def weighted(values: Floats) -> Floats:
        return values if weight is None else weight * values

    wayward = weighted(-side)

    def at(a: float, b: float) -> tuple[float, Floats]:
        odds = np.exp(np.minimum(side * (a + b * x), FAR))
        whole = 1 + odds
        return float(np.sum(weighted(np.log(whole)))), odds / whole

    loss, miss = at(intercept, slope)
    for _ in range(STEPS):
        influences, hold = wayward * miss, weighted(miss) * (1 - miss)
        g0, h00 = float(np.sum(influences)), float(np.sum(hold))
        step, turn = g0 / h00, 0.0
        if joint:
            g1, h01, h11 = inner(influences, x), inner(hold, x), inner(hold, square)
            area = h00 * h11 - h01**2
            step, turn = (h11 * g0 - h01 * g1) / area, (h00 * g1 - h01 * g0) / area
        for _ in range(STEPS):
            trial, miss = at(intercept + step, slope + turn)
            if trial <= loss * (1 + 1e-14):
                break
            step, turn = step / 2, turn / 2
        intercept, slope, loss = intercept + step, slope + turn, trial
        if max(abs(step), abs(turn)) <= CLOSE * (1 + max(abs(intercept), abs(slope))):
            break
    return intercept, slope


def calibration_line(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> Line | None:
    """Slope and intercept of the joint logistic fit of y on logit(p), probabilities clipped at 1e-6.

    Returns:
        `(slope, intercept)`, or None without a finite maximum-likelihood fit: one class, constant
        predictions, or classes that a threshold separates.

    Raises:
        ValueError: Lengths differ, NaN, labels other than 0/1, probabilities outside [0, 1], negative
            weights.
    """
    positive, probability, row = predicted(y, p, weight)
    return fit_line(positive, logit(probability), row)


def calibration_in_the_large(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> float | None:
    """The shift of all log odds that makes observed and expected equal; None with one class.

    Raises:
        ValueError: As `calibration_line`.
    """
    positive, probability, row = predicted(y, p, weight)
    return fit_shift(positive, logit(probability), row)


def recalibrated(p: ArrayLike, line: Line) -> Floats:
    """(n,) probabilities moved along a line that was fitted elsewhere, for example on val."""
    x = logit(np.asarray(p, dtype=np.float64))
    return expit(line.intercept + line.slope * x)


def line_deletions(
    positive: Bools, x: Floats, line: Line, patient: Ints, weight: Floats | None = None
) -> Floats:
    """Calibration line without each patient, as changes from the line of all images.

    One Newton step from the line of all images, with the information of the images that are left.

    Args:
        positive: (n,) labels.
        x: (n,) log odds of the probabilities.
        line: The line of all images.
        patient: (n,) whole numbers from 0 without gaps.
        weight: (n,) row weights, ones where None.

    Returns:
        (2, P) changes of slope and intercept; nan where the remaining images fix no line.
    """
    unit = np.ones(len(x)) if weight is None else weight
    centre = float(np.average(x, weights=unit))
    far = x - centre
    guess = expit(line.intercept + line.slope * x)
    hold = unit * guess * (1 - guess)
    residual = unit * (positive - guess)
    columns = (residual, residual * far, hold, hold * far, hold * far**2)
    g0, g1, h00, h01, h11 = (np.bincount(patient, column) for column in columns)
    a00, a01, a11 = h00.sum() - h00, h01.sum() - h01, h11.sum() - h11
    with np.errstate(divide="ignore", invalid="ignore"):
        determinant = a00 * a11 - a01**2
        turn = -(a00 * g1 - a01 * g0) / determinant
        step = -(a11 * g0 - a01 * g1) / determinant
    return np.stack([turn, step - turn * centre])


def shift_deletions(
    positive: Bools, x: Floats, shift: float, patient: Ints, weight: Floats | None = None
) -> Floats:
    """(P,) changes of the calibration in the large without each patient; see `line_deletions`."""
    unit = np.ones(len(x)) if weight is None else weight
    guess = expit(shift + x)
    gradient = np.bincount(patient, unit * (positive - guess))
    hold = np.bincount(patient, unit * guess * (1 - guess))
    with np.errstate(divide="ignore", invalid="ignore"):
        changes: Floats = -gradient / (hold.sum() - hold)
    return changes
