"""Calibration of predicted probabilities. Never rank entries by a binned calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.results import BrierParts
from bench.metrics.validation import Bools, Floats, Ints, inner, predicted, whole_number

CLIP = 1e-6
"""A probability of 0 or 1 is moved this far inwards where its logarithm or logit is taken."""

Strategy = Literal["uniform", "quantile"]


def weighted_mean(values: Floats, weight: Floats | None) -> float | None:
    """Weighted mean, or None without rows."""
    if not len(values):
        return None
    return float(np.mean(values)) if weight is None else inner(values, weight) / float(np.sum(weight))


def clipped(p: Floats) -> Floats:
    """Probabilities moved into [`CLIP`, 1 - `CLIP`]."""
    return np.clip(p, CLIP, 1 - CLIP)


def logit(p: Floats) -> Floats:
    """Log odds of probabilities, clipped as in `clipped`."""
    inside = clipped(p)
    return np.log(inside / (1 - inside))


def brier(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> float | None:
    """Mean squared distance of probability and label (Brier 1950).

    Returns:
        The score, 0 is best; None without rows.

    Raises:
        ValueError: Lengths differ, NaN, labels other than 0/1, probabilities outside [0, 1], negative
            weights.

    >>> round(brier([0, 1, 1], [0.1, 0.8, 0.6]), 9)
    0.07
    """
    positive, probability, row = predicted(y, p, weight)
    return weighted_mean((probability - positive) ** 2, row)


def scaled_brier(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> float | None:
    """1 - Brier / (π(1 - π)): the share of the outcome's variance that is explained (π is the prevalence).

    Returns:
        At most 1; 0 for a constant prediction of the prevalence; None with one class only.
    """
    positive, probability, row = predicted(y, p, weight)
    prevalence = weighted_mean(positive.astype(np.float64), row)
    if prevalence is None or not 0 < prevalence < 1:
        return None
    score = weighted_mean((probability - positive) ** 2, row)
    return None if score is None else 1 - score / (prevalence * (1 - prevalence))


def brier_skill(
    y: ArrayLike, p: ArrayLike, reference: ArrayLike | float, weight: ArrayLike | None = None
) -> float | None:
    """1 - Brier / Brier of a reference forecast (Brier skill score).

    With the prevalence of the same rows as reference it is `scaled_brier`; with that of the training data it
    is what a forecaster could have known.

    Args:
        y: (n,) 0/1 labels.
        p: (n,) probabilities.
        reference: (n,) probabilities of the reference, or one probability for all rows.
        weight: (n,) non-negative row weights.

    Returns:
        At most 1; 0 for the reference itself; None without rows, or where the reference is never wrong.

    Raises:
        ValueError: As `brier`.
    """
    other = np.full(len(np.asarray(p)), reference) if np.ndim(reference) == 0 else reference
    positive, probability, row = predicted(y, p, weight)
    _, expected, _ = predicted(y, other, weight, "reference")
    score = weighted_mean((probability - positive) ** 2, row)
    worst = weighted_mean((expected - positive) ** 2, row)
    return None if score is None or not worst else 1 - score / worst


def pointwise_log_loss(positive: Bools, p: Floats) -> Floats:
    """-log of the probability given to what came true, clipped as in `clipped`; its mean is the log loss."""
    inside = clipped(p)
    return -np.log(np.where(positive, inside, 1 - inside))


def log_loss(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> float | None:
    """Mean of -log(probability of what came true), in nats, probabilities clipped at `CLIP`."""
    positive, probability, row = predicted(y, p, weight)
    return weighted_mean(pointwise_log_loss(positive, probability), row)


def observed_expected(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> float | None:
    """Observed number of positives divided by the number that the probabilities promise.

    Returns:
        The ratio, 1 is best, above 1 means risks are underestimated; None where nothing is expected.
    """
    positive, probability, row = predicted(y, p, weight)
    observed, expected = weighted_mean(positive.astype(np.float64), row), weighted_mean(probability, row)
    return None if observed is None or not expected else observed / expected


@dataclass(frozen=True, slots=True)
class Bins:
    """A reliability diagram.

    Attributes:
        edges: (bins + 1,) bin k is [edges[k], edges[k + 1]), the last one closed.
        weight: (bins,) weight of the rows in each bin.
        predicted: (bins,) mean probability; nan in an empty bin.
        observed: (bins,) share of positives; nan in an empty bin.
    """

    edges: Floats
    weight: Floats
    predicted: Floats
    observed: Floats

    @property
    def error(self) -> float:
        """Weighted mean distance of observed and predicted."""
        filled = self.weight > 0
        gap = np.abs(self.observed[filled] - self.predicted[filled])
        return inner(gap, self.weight[filled]) / float(np.sum(self.weight))


def bin_edges(p: Floats, bins: int, strategy: Strategy, weight: Floats | None = None) -> Floats:
    """Edges of equal width, or at quantiles of `p` (inverse distribution function, repeated edges merged).

    Raises:
        ValueError: Fewer than one bin, or an unknown strategy.
    """
    bins = whole_number(bins, "bins", 1)
    if strategy == "uniform":
        return np.arange(bins + 1) / bins
    if strategy == "quantile":
        shares = np.arange(1, bins) / bins
        inner = np.quantile(p, shares, method="inverted_cdf", weights=weight)
        return np.concatenate([[0.0], np.unique(inner[(inner > 0) & (inner < 1)]), [1.0]])
    raise ValueError(f"strategy must be 'uniform' or 'quantile', not {strategy!r}")


def bin_index(p: Floats, edges: Floats) -> Ints:
    """(n,) the bin of every probability; comparisons with the edges are exact."""
    return np.searchsorted(edges[1:-1], p, side="right").astype(np.int64)


def reliability(
    y: ArrayLike,
    p: ArrayLike,
    bins: int = 15,
    strategy: Strategy = "uniform",
    weight: ArrayLike | None = None,
) -> Bins | None:
    """Mean probability and observed share of positives per bin; None without rows.

    Raises:
        TypeError: As `brier`, or a number of bins that is not whole.
        ValueError: As `brier`; fewer than one bin or an unknown strategy.
    """
    positive, probability, row = predicted(y, p, weight)
    if not len(positive):
        return None
    edges = bin_edges(probability, bins, strategy, row)
    index = bin_index(probability, edges)
    unit = np.ones(len(positive)) if row is None else row
    bin_weight = np.bincount(index, unit, minlength=len(edges) - 1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, unit * probability, minlength=len(bin_weight)) / bin_weight
        hit = np.bincount(index, unit * positive, minlength=len(bin_weight)) / bin_weight
    return Bins(edges, bin_weight, mean, hit)


def calibration_error(
    y: ArrayLike,
    p: ArrayLike,
    bins: int = 15,
    strategy: Strategy = "uniform",
    weight: ArrayLike | None = None,
) -> float | None:
    """Expected calibration error of the positive class: mean distance of observed and predicted over bins.

    Bins are [k/bins, (k+1)/bins), the last one closed. The figure depends on the bins and is biased upwards
    in small samples, so it describes and never ranks.

    Returns:
        The error, 0 is best; None without rows.

    Raises:
        ValueError: As `reliability`.

    >>> round(calibration_error([0, 1, 1, 0], [0.2, 0.9, 0.7, 0.2]), 9)
    0.2
    """
    curve = reliability(y, p, bins, strategy, weight)
    return None if curve is None else curve.error


def brier_parts(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> BrierParts | None:
    """Decompose the Brier score with isotonic regression instead of bins.

    Dimitriadis, Gneiting & Jordan 2021, "Stable reliability diagrams for probabilistic classifiers".

    Returns:
        The three parts, or None without rows.

    Raises:
        ValueError: As `brier`.
    """
    positive, probability, row = predicted(y, p, weight)
    if not len(positive):
        return None
    outcome = positive.astype(np.float64)
    recalibrated = isotonic(outcome, probability, row)
    prevalence = np.average(outcome, weights=row)
    raw, fitted, constant = (
        float(np.average((guess - outcome) ** 2, weights=row))
        for guess in (probability, recalibrated, np.full_like(outcome, prevalence))
    )
    return BrierParts(raw - fitted, constant - fitted, constant)


def isotonic(outcome: Floats, score: Floats, weight: Floats | None = None) -> Floats:
    """(n,) the non-decreasing function of `score` nearest to `outcome` in (weighted) squares; ties pooled."""
    from scipy.optimize import isotonic_regression

    _, place = np.unique(score, return_inverse=True)
    unit = np.ones_like(outcome) if weight is None else weight
    tie_weight = np.bincount(place, unit)
    mean = np.bincount(place, unit * outcome) / tie_weight
    return np.asarray(isotonic_regression(mean, weights=tie_weight).x)[place]


SMALLEST_ERROR = 1e-9
"""Smooth calibration errors below this one are given as 0."""

MESH = 2000
"""Intervals of the mesh on [0, 1] on which residuals are smoothed."""

SECANTS = 5
"""Steps in which the bandwidths of many sets of residuals are searched at once; they leave about 0.1%."""


def smooth_calibration_error(y: ArrayLike, p: ArrayLike, weight: ArrayLike | None = None) -> float | None:
    """smECE: the smoothed residual's mean size at the bandwidth σ where it equals σ.

    Residuals are spread over a mesh by linear interpolation, smoothed with a Gaussian kernel reflected at 0
    and 1, and integrated in absolute value (Błasiok & Nakkiran 2023, "Smooth ECE: principled reliability
    diagrams via kernel smoothing"). The error falls as the bandwidth grows, so there is one such σ; Brent's
    method finds it.

    Returns:
        The error, 0 is best; None without rows.

    Raises:
        ValueError: Lengths differ, NaN, labels other than 0/1, probabilities outside [0, 1], negative
            weights.
    """
    from scipy.optimize import brentq

    positive, probability, row = predicted(y, p, weight)
    if not len(positive):
        return None
    unit = np.ones(len(positive)) if row is None else row
    residual = unit * (positive - probability) / unit.sum()
    left, right_share = mesh_shares(probability, MESH)
    mass = np.bincount(left, residual * (1 - right_share), minlength=MESH + 1).astype(np.float64)
    mass += np.bincount(left + 1, residual * right_share, minlength=MESH + 1)
    spectrum = _spectra(mass[None])

    def excess(log_sigma: float) -> float:  # nearly a straight line, so that few steps suffice
        error = float(_errors_at(np.exp([log_sigma]), spectrum)[0])
        return float(np.log(max(error, SMALLEST_ERROR))) - log_sigma

    if excess(0.0) >= 0:
        return 1.0
    least = np.log(SMALLEST_ERROR)
    return float(np.exp(brentq(excess, least, 0.0, xtol=1e-10))) if excess(least) > 0 else 0.0


def mesh_shares(p: Floats, mesh: int) -> tuple[Ints, Floats]:
    """Node of a mesh of `mesh` intervals left of each probability, and the share that the next node gets."""
    place = p * mesh
    left = np.minimum(place.astype(np.int64), mesh - 1)
    return left, place - left


def smooth_errors(masses: Floats) -> Floats:
    """Smooth calibration errors (k,) of k sets of residuals on the nodes of a mesh (k, nodes)."""
    spectra = _spectra(masses)
    nothing = ~masses.any(axis=1)
    place = np.full(len(masses), np.log(0.05))
    drop = np.full(len(masses), 1.5)  # of log error - log σ by log σ, for noise: the error falls as 1 / √σ
    last_place, last = place, np.zeros(len(masses))
    for step in range(SECANTS):
        error = _errors_at(np.exp(place), spectra)
        excess = np.log(np.where(nothing, np.exp(place), error)) - place
        moved = place - last_place
        if step:
            slope = np.divide(last - excess, moved, out=drop.copy(), where=np.abs(moved) > 1e-9)
            drop = np.clip(slope, 1.0, 4.0)
        last_place, last = place, excess
        place = np.minimum(place + excess / drop, 0.0)
    errors: Floats = np.where(nothing, 0.0, np.exp(place))
    return errors


def _spectra(masses: Floats) -> Floats:
    """Cosine transforms of residuals on the mesh, whose even extension is the reflection at 0 and 1."""
    from scipy.fft import dct

    doubled = masses.copy()
    doubled[:, [0, -1]] *= 2
    return np.asarray(dct(doubled, type=1, axis=1))


def _errors_at(sigma: Floats, spectra: Floats) -> Floats:
    """(k,) integrals of the absolute smoothed residuals, each with its own bandwidth (k,)."""
    from scipy.fft import idct

    frequency = np.pi * np.arange(spectra.shape[1])
    damped = spectra * np.exp(-0.5 * (sigma[:, None] * frequency) ** 2)
    size = np.abs(np.asarray(idct(damped, type=1, axis=1)))
    whole: Floats = size.sum(axis=1) - (size[:, 0] + size[:, -1]) / 2
    return whole
