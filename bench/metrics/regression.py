"""Agreement of predicted and measured continuous values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.validation import Floats, finite_vector, same_length, weights

LIMIT = 1.959963984540054
"""Normal quantile of 0.975, for the limits of agreement."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of prediction and truth; units are those of the measurement.

    Attributes:
        mae: Mean absolute error.
        rmse: Root of the mean squared error.
        bias: Mean of prediction - truth.
        loa_low: Lower 95% limit of agreement (Bland & Altman 1986): bias - 1.96 SD of the differences.
        loa_high: Upper limit.
        pearson: Correlation; None where one side is constant.
        concordance: Lin's concordance correlation coefficient; None where both sides are constant.
        r2: 1 - squared error / variance of the truth; None where the truth is constant.
    """

    mae: float | None
    rmse: float | None
    bias: float | None
    loa_low: float | None
    loa_high: float | None
    pearson: float | None
    concordance: float | None
    r2: float | None


def moments(truth: Floats, prediction: Floats) -> Floats:
    """(9, n) the columns whose weighted sums fix every figure of `Agreement`; see `from_moments`."""
    error = prediction - truth
    ones = np.ones_like(error)
    return np.stack(
        [ones, error, np.abs(error), error**2, truth, prediction, truth**2, prediction**2, truth * prediction]
    )


def from_moments(sums: Floats) -> dict[str, Floats]:
    """Every figure of `Agreement` from sums (9, ...) of `moments`; nan where undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        n = sums[0]
        bias, mae, square, t, p, tt, pp, tp = sums[1:] / n
        variance_t, variance_p, covariance = tt - t**2, pp - p**2, tp - t * p
        # Differences of moments round to about 1e-16 of the moments: below that a variance is zero.
        flat_t, flat_p = variance_t <= 1e-14 * tt, variance_p <= 1e-14 * pp
        spread = np.sqrt(np.maximum(square - bias**2, 0) * n / (n - 1))
        pearson = covariance / np.sqrt(variance_t * variance_p)
        return {
            "mae": mae,
            "rmse": np.sqrt(square),
            "bias": bias,
            "loa_low": bias - LIMIT * spread,
            "loa_high": bias + LIMIT * spread,
            "pearson": np.where(flat_t | flat_p, np.nan, np.clip(pearson, -1, 1)),
            "concordance": _concordance(variance_t + variance_p, tt + pp, covariance, bias),
            "r2": np.where(flat_t, np.nan, 1 - square / variance_t),
        }


def agreement(truth: ArrayLike, prediction: ArrayLike, weight: ArrayLike | None = None) -> Agreement:
    """Every figure of agreement; None where one is undefined (no rows, one row, constant values).

    Values are centred first, so that sums of squares lose no digits.

    Raises:
        ValueError: Lengths differ, NaN or infinite values, negative weights.
    """
    measured, guessed = finite_vector(truth, "truth"), finite_vector(prediction, "prediction")
    same_length(truth=measured, prediction=guessed)
    row = weights(weight, len(measured))
    if row is not None:
        measured, guessed, row = measured[row > 0], guessed[row > 0], row[row > 0]
    if not len(measured):
        return Agreement(None, None, None, None, None, None, None, None)
    centre = float(np.mean(measured))
    columns = moments(measured - centre, guessed - centre)
    sums = columns.sum(axis=1) if row is None else (columns * row).sum(axis=1)
    figures = {name: float(value) for name, value in from_moments(sums).items()}
    return Agreement(**{name: value if np.isfinite(value) else None for name, value in figures.items()})


def _concordance(variances: Floats, squares: Floats, covariance: Floats, bias: Floats) -> Floats:
    """2 cov / (var(truth) + var(prediction) + bias²), variances over n; nan where both sides are constant.

    Lin 1989, "A concordance correlation coefficient to evaluate reproducibility": agreement with the line of
    equality. Unlike Pearson's r it falls with a bias or a wrong scale.
    """
    flat = variances <= 1e-14 * squares
    coefficient: Floats = np.where(flat, np.nan, np.clip(2 * covariance / (variances + bias**2), -1, 1))
    return coefficient
