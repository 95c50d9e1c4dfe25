"""Similarity of predictions with those of stored entries: near copies, combinations, rounded copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.metrics.discrimination import mean_rank
from bench.metrics.validation import Floats

RANK_CORRELATION = 0.995
R_SQUARED = 0.99
COMBINED = 10
"""Stored entries of which a combination is tried: those with the highest correlation."""
_SAMPLE = 512
_CANDIDATE = 0.97
"""Rank correlation on a sample above which it is computed on all images."""
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Similarity:
    """Predictions that are too similar to have been computed independently.

    Attributes:
        entries: Indices of the stored entries that they are similar to.
        rank_correlation: Spearman's rank correlation; NaN for a combination.
        r_squared: Share of their variance that a linear function of these entries explains.
    """

    entries: tuple[int, ...]
    rank_correlation: float
    r_squared: float


def find_similar(predicted: Floats, stored: Floats) -> list[Similarity]:
    """Find the stored entries that predictions are a near copy of, or a combination of.

    Reported are a rank correlation above 0.995 or an R² above 0.99 with one entry; without any, an R² above
    0.99 of the linear combination of the ten entries with the highest correlation.

    Args:
        predicted: (n,) predictions of one target.
        stored: (S, n) predictions of the stored entries for the same images.
    """
    if not len(stored) or np.ptp(predicted) == 0:
        return []
    correlation = _correlations(predicted, stored)
    places = np.linspace(0, len(predicted) - 1, min(_SAMPLE, len(predicted))).astype(np.intp)
    on_sample = _correlations(_ranks(predicted[None, places])[0], _ranks(stored[:, places]))
    ranks, similar = mean_rank(predicted), []
    for i in np.flatnonzero((on_sample > _CANDIDATE) | (correlation**2 > R_SQUARED)):
        of_ranks = float(_correlations(ranks, mean_rank(stored[i])[None])[0])
        if of_ranks > RANK_CORRELATION or correlation[i] ** 2 > R_SQUARED:
            similar.append(Similarity((int(i),), of_ranks, float(correlation[i] ** 2)))
    return similar or _combination(predicted, stored, correlation)


def _combination(predicted: Floats, stored: Floats, correlation: Floats) -> list[Similarity]:
    nearest = np.argsort(-np.abs(correlation), kind="stable")[:COMBINED]
    if len(nearest) < 2 or len(predicted) < 10 * len(nearest):
        return []
    columns = np.column_stack([stored[nearest].T, np.ones(len(predicted))])
    weights = np.linalg.lstsq(columns, predicted, rcond=None)[0]
    r_squared = 1 - float(np.var(predicted - columns @ weights) / np.var(predicted))
    return [Similarity(tuple(nearest.tolist()), float("nan"), r_squared)] if r_squared > R_SQUARED else []


def _ranks(rows: Floats) -> Floats:
    """(S, n) ranks within each row, ties in the order of the images: a sample needs no more."""
    order = np.argsort(rows, axis=1, kind="stable")
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, np.arange(rows.shape[1], dtype=np.float64)[None], axis=1)
    return ranks


def _correlations(values: Floats, rows: Floats) -> Floats:
    """(S,) Pearson correlation of one vector with each row; 0 with constant rows."""
    centred = values - values.mean()
    centred /= np.linalg.norm(centred) or 1.0
    correlations = np.zeros(len(rows))
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        block = block - block.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(block, axis=1)
        # einsum: BLAS would start threads, which wait for each other on a busy machine
        product = np.einsum("si,i->s", block, centred)
        correlations[start : start + _BLOCK] = np.divide(
            product, norm, out=np.zeros(len(norm)), where=norm > 0
        )
    return correlations
