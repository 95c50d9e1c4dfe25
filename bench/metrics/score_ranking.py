"""Images sorted by score once, for everything that depends on their order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.metrics.validation import Bools, Floats, Ints

MANY = 1000
"""Rows from which the compiled sort is faster, and worth loading the compiler's library."""


def falling_order(score: Floats) -> Ints:
    """(n,) rows by falling score, equal scores in the order of the rows."""
    if len(score) < MANY:
        return np.argsort(-score, kind="stable")
    from bench.metrics.kernels import scan

    return np.asarray(scan.falling_order(score), np.int64)


@dataclass(frozen=True)
class ScoreRanking:
    """Images sorted by falling score, in tie groups of exactly equal float64 scores.

    Attributes:
        order: (n,) rows by falling score.
        tie_group: (n,) index of the tie group of every row; 0 holds the highest score.
        threshold: (k,) score of every tie group.
        positive: (n,) labels.
        unit: (n,) row weights, ones where none were given.
    """

    order: Ints
    tie_group: Ints
    threshold: Floats
    positive: Bools
    unit: Floats

    @classmethod
    def of(cls, positive: Bools, score: Floats, weight: Floats | None = None) -> ScoreRanking:
        """Sorts rows whose labels, scores and weights were checked already."""
        order = falling_order(score)
        ranked = score[order]
        fresh = np.empty(len(score), np.bool_)
        fresh[:1] = True
        np.not_equal(ranked[1:], ranked[:-1], out=fresh[1:])
        tie_group = np.empty(len(score), np.int64)
        tie_group[order] = np.cumsum(fresh) - 1
        unit = np.ones(len(score)) if weight is None else weight
        return cls(order, tie_group, ranked[fresh], positive, unit)

    def _sum(self, values: Floats) -> Floats:
        return np.bincount(self.tie_group, values, minlength=len(self.threshold)).astype(np.float64)

    @cached_property
    def group_positives(self) -> Floats:
        """(k,) weight of the positives in every tie group."""
        return self._sum(self.unit * self.positive)

    @cached_property
    def group_negatives(self) -> Floats:
        """(k,) weight of the negatives in every tie group."""
        return self._sum(self.unit * ~self.positive)

    @cached_property
    def true_positives(self) -> Floats:
        """(k,) weight of the positives at or above every threshold."""
        return np.cumsum(self.group_positives)

    @cached_property
    def false_positives(self) -> Floats:
        """(k,) weight of the negatives at or above every threshold."""
        return np.cumsum(self.group_negatives)

    @cached_property
    def positives(self) -> float:
        """Weight of all positives."""
        return float(self.true_positives[-1]) if len(self.threshold) else 0.0

    @cached_property
    def negatives(self) -> float:
        """Weight of all negatives."""
        return float(self.false_positives[-1]) if len(self.threshold) else 0.0

    @property
    def both(self) -> bool:
        """Whether both classes are present."""
        return bool(self.positive.any() and not self.positive.all())

    @cached_property
    def placement(self) -> Floats:
        """(n,) for a positive the share of negatives below it, for a negative that of positives above it.

        Ties count one half. The mean over either class is the AUROC; Hanley & Hajian-Tilaki 1997, "Sampling
        variability of nonparametric estimates of the areas under receiver operating characteristic curves".
        """
        below = 1 - (self.false_positives - self.group_negatives / 2) / self.negatives
        above = (self.true_positives - self.group_positives / 2) / self.positives
        return np.where(self.positive, below[self.tie_group], above[self.tie_group])
