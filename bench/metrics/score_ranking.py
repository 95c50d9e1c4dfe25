"""Images sorted by score once, for everything that depends on their order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.metrics.validation import Bools, Floats, Ints


@dataclass(frozen=True)
class Ladder:
    """Rungs of equal score, the highest first.

    Scores are compared as float64 and exactly: two values one ulp apart stand on different rungs.

    Attributes:
        order: (n,) rows by falling score.
        rung: (n,) the rung of every row.
        threshold: (k,) the score of every rung.
        positive: (n,) labels.
        unit: (n,) row weights, ones where none were given.
    """

    order: Ints
    rung: Ints
    threshold: Floats
    positive: Bools
    unit: Floats

    @classmethod
    def of(cls, positive: Bools, score: Floats, weight: Floats | None = None) -> Ladder:
        """Sorts rows whose labels, scores and weights were checked already."""
        order = np.argsort(-score)
        ranked = score[order]
        fresh = np.empty(len(score), np.bool_)
        fresh[:1] = True
        np.not_equal(ranked[1:], ranked[:-1], out=fresh[1:])
        rung = np.empty(len(score), np.int64)
        rung[order] = np.cumsum(fresh) - 1
        unit = np.ones(len(score)) if weight is None else weight
        return cls(order, rung, ranked[fresh], positive, unit)

    def _sum(self, values: Floats) -> Floats:
        return np.bincount(self.rung, values, minlength=len(self.threshold)).astype(np.float64)

    @cached_property
    def gain(self) -> Floats:
        """(k,) weight of the positives on every rung."""
        return self._sum(self.unit * self.positive)

    @cached_property
    def fault(self) -> Floats:
        """(k,) weight of the negatives on every rung."""
        return self._sum(self.unit * ~self.positive)

    @cached_property
    def true(self) -> Floats:
        """(k,) weight of the positives on this rung or above: true positives with its score as threshold."""
        return np.cumsum(self.gain)

    @cached_property
    def false(self) -> Floats:
        """(k,) weight of the negatives on this rung or above: false positives with its score as threshold."""
        return np.cumsum(self.fault)

    @cached_property
    def positives(self) -> float:
        """Weight of all positives."""
        return float(self.true[-1]) if len(self.threshold) else 0.0

    @cached_property
    def negatives(self) -> float:
        """Weight of all negatives."""
        return float(self.false[-1]) if len(self.threshold) else 0.0

    @property
    def both(self) -> bool:
        """Whether both classes are there."""
        return bool(self.positive.any() and not self.positive.all())

    @cached_property
    def placement(self) -> Floats:
        """(n,) for a positive the share of negatives below it, for a negative that of positives above it.

        Ties count one half. The mean over either class is the AUROC; Hanley & Hajian-Tilaki 1997, "Sampling
        variability of nonparametric estimates of the areas under receiver operating characteristic curves".
        """
        below = 1 - (self.false - self.fault / 2) / self.negatives
        above = (self.true - self.gain / 2) / self.positives
        return np.where(self.positive, below[self.rung], above[self.rung])
