"""Smooth calibration error: no bins, one bandwidth, chosen so that it equals the error it measures.

Błasiok & Nakkiran 2023, "Smooth ECE: principled reliability diagrams via kernel smoothing".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.checks import Floats, predicted

MESH = 2000
"""Intervals of the mesh on [0, 1] on which residuals are smoothed."""

HALVINGS = 10
"""Steps of the search for the bandwidth, which is thus found to one part in 2**10."""


def smooth_calibration_error(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> float | None:
    """smECE: the smoothed residual's mean size at the bandwidth σ where it equals σ.

    Residuals are spread over a mesh by linear interpolation, smoothed with a Gaussian kernel reflected at 0
    and 1, and integrated in absolute value.

    Returns:
        The error, 0 is best; None without rows.

    Raises:
        ValueError: Lengths differ, NaN, labels other than 0/1, probabilities outside [0, 1], negative
            weights.
    """
    positive, probability, row = predicted(y, p, weight)
    if not len(positive):
        return None
    unit = np.ones(len(positive)) if row is None else row
    spectrum = _spectrum(probability, unit * (positive - probability) / unit.sum())
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        sigma = (low + high) / 2
        if _error_at(sigma, spectrum) < sigma:
            high = sigma
        else:
            low = sigma
    return _error_at(high, spectrum)


def _spectrum(p: Floats, residual: Floats) -> Floats:
    """Cosine transform of the residuals on the mesh, whose even extension is the reflection at 0 and 1."""
    from scipy.fft import dct

    place = p * MESH
    left = np.minimum(place.astype(np.int64), MESH - 1)
    right_share = place - left
    mass = np.bincount(left, residual * (1 - right_share), minlength=MESH + 1)
    mass += np.bincount(left + 1, residual * right_share, minlength=MESH + 1)
    mass[[0, -1]] *= 2
    return np.asarray(dct(mass, type=1))


def _error_at(sigma: float, spectrum: Floats) -> float:
    """Integral of the absolute smoothed residual."""
    from scipy.fft import idct

    frequency = np.pi * np.arange(MESH + 1)
    density = np.asarray(idct(spectrum * np.exp(-0.5 * (sigma * frequency) ** 2), type=1))
    size = np.abs(density)
    return float(size.sum() - (size[0] + size[-1]) / 2)
