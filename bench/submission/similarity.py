"""Similarity of predictions with those of stored entries: near copies, combinations, rounded copies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import sqrt

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


class SimilaritySearch:
    """Search among stored entries that are read one after another, so that few of them are in memory.

    Found are a rank correlation above 0.995 or an R² above 0.99 with one entry; without any, an R² above 0.99
    of the linear combination of the ten entries with the highest correlation.
    """

    def __init__(self, predicted: Floats) -> None:
        """Begin a search for what is similar to `predicted`, (n,) predictions of one target."""
        self._predicted = predicted
        self._constant = np.ptp(predicted) == 0
        self._places = np.linspace(0, len(predicted) - 1, min(_SAMPLE, len(predicted))).astype(np.intp)
        self._unit = _unit(predicted)
        self._sample_ranks = _unit(_sample_ranks(predicted[self._places]))
        self._found: list[Similarity] = []
        self._nearest: list[tuple[float, int, Floats]] = []

    def add(self, entry: int, stored: Floats) -> None:
        """Compare with the predictions of a stored entry.

        Args:
            entry: Its index.
            stored: (n,) its predictions for the same images.
        """
        if self._constant:
            return
        unit = _unit(stored)
        correlation = _product(unit, self._unit)
        on_sample = _product(_unit(_sample_ranks(stored[self._places])), self._sample_ranks)
        if on_sample > _CANDIDATE or correlation**2 > R_SQUARED:
            of_ranks = _product(_unit(mean_rank(stored)), self._ranks)
            if of_ranks > RANK_CORRELATION or correlation**2 > R_SQUARED:
                self._found.append(Similarity((entry,), of_ranks, correlation**2))
        self._nearest.append((-abs(correlation), entry, unit))
        if len(self._nearest) > 2 * COMBINED:
            self._nearest = self._most_correlated()

    def result(self) -> list[Similarity]:
        """Return what was found, ascending by entry."""
        return sorted(self._found, key=lambda found: found.entries) or self._combination()

    @cached_property
    def _ranks(self) -> Floats:
        return _unit(mean_rank(self._predicted))

    def _most_correlated(self) -> list[tuple[float, int, Floats]]:
        return sorted(self._nearest, key=lambda entry: entry[:2])[:COMBINED]

    def _combination(self) -> list[Similarity]:
        nearest = self._most_correlated()
        if len(nearest) < 2 or len(self._predicted) < 10 * len(nearest):
            return []
        columns = np.column_stack([unit for _, _, unit in nearest])
        weights = np.linalg.lstsq(columns, self._unit, rcond=None)[0]
        rest = self._unit - columns @ weights
        r_squared = 1 - _product(rest, rest)
        entries = tuple(entry for _, entry, _ in nearest)
        return [Similarity(entries, float("nan"), r_squared)] if r_squared > R_SQUARED else []


def find_similar(predicted: Floats, stored: Floats) -> list[Similarity]:
    """Find the stored entries that predictions nearly copy or combine, as `SimilaritySearch` says.

    Args:
        predicted: (n,) predictions of one target.
        stored: (S, n) predictions of the stored entries for the same images.
    """
    search = SimilaritySearch(predicted)
    for entry, values in enumerate(stored):
        search.add(entry, values)
    return search.result()


def _sample_ranks(values: Floats) -> Floats:
    """Return the ranks of (m,) values, ties in the order of the images: a sample needs no more."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values), dtype=np.float64)
    return ranks


def _unit(values: Floats) -> Floats:
    """Return (n,) values less their mean, scaled to length 1; zeros where they are constant."""
    centred: Floats = values - values.mean()
    length = sqrt(_product(centred, centred))
    if length > 0:
        centred /= length
    return centred


def _product(first: Floats, second: Floats) -> float:
    """Return the inner product; by einsum, since BLAS would start threads, which wait for each other."""
    return float(np.einsum("n,n->", first, second))
