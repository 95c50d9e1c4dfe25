"""Recalibration lines with one patient left out, as changes from the line of all images."""

from __future__ import annotations

import numpy as np

from bench.metrics.recalibration_line import Line, expit
from bench.metrics.validation import Bools, Floats, Ints


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
