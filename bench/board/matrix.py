"""The pairwise comparisons of a board as they are stored and published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from bench.documents import Document
from bench.files import round_significant

if TYPE_CHECKING:
    from bench.uncertainty.family import EntryComparisons

MATRIX_ENTRIES = 200
"""Entries whose pairwise comparisons are stored: the first ones, by rank. They make 19,900 pairs."""

DIGITS = 6
"""Significant digits of the stored numbers."""


@dataclass(frozen=True, slots=True)
class PairComparison:
    """One entry minus another.

    Attributes:
        difference: Difference in AUROC.
        low: Lower limit of the interval adjusted for all pairs of the board; None where there is none.
        high: Upper limit.
        p_adjusted: p-value adjusted for all pairs of the board.
        p: p-value of this pair alone, by t: that of `bench compare`.
    """

    difference: float
    low: float | None
    high: float | None
    p_adjusted: float
    p: float


class PairMatrix(Document):
    """Pairwise comparisons of the first entries of a board, as columns of the upper triangle.

    With n slugs each column has n(n - 1)/2 numbers, row by row: the pairs (0, 1), (0, 2), ..., (0, n - 1),
    (1, 2), ..., (n - 2, n - 1). Pair (i, j) is entry i minus entry j. Adjusted figures take all pairs of the
    whole board into account, also those of entries that are not listed here.
    """

    slugs: tuple[str, ...] = Field(description=f"The entries by rank; at most {MATRIX_ENTRIES}.")
    difference: tuple[float, ...] = Field(description="Difference in AUROC.")
    low: tuple[float | None, ...] = Field(
        description="Lower limit of the interval of the difference, adjusted for all pairs. It is null where "
        "the replicates are too few for an interval."
    )
    high: tuple[float | None, ...] = Field(description="Upper limit.")
    p_adjusted: tuple[float, ...] = Field(description="p-value adjusted for all pairs.")
    p: tuple[float, ...] = Field(description="p-value of the pair alone, by t.")

    @model_validator(mode="after")
    def _all_pairs(self) -> Self:
        pairs = len(self.slugs) * (len(self.slugs) - 1) // 2
        columns = {"difference": self.difference, "low": self.low, "high": self.high}
        columns |= {"p_adjusted": self.p_adjusted, "p": self.p}
        for name, column in columns.items():
            if len(column) != pairs:
                raise ValueError(f"{name} has {len(column)} numbers, {len(self.slugs)} entries {pairs} pairs")
        return self

    @classmethod
    def of(cls, slugs: Sequence[str], family: EntryComparisons, most: int = MATRIX_ENTRIES) -> Self:
        """The comparisons of the first `most` entries; `slugs` are all entries, by rank."""
        import numpy as np

        shown = min(len(slugs), most)
        i, j = np.triu_indices(shown, 1)

        def column(matrix: Any) -> tuple[Any, ...]:
            return tuple(
                round_significant(number, DIGITS) if isfinite(number) else None
                for number in matrix[i, j].tolist()
            )

        return cls(
            slugs=tuple(slugs[:shown]),
            difference=column(family.difference),
            low=column(family.low),
            high=column(family.high),
            p_adjusted=column(family.p_adjusted),
            p=column(family.p),
        )

    @cached_property
    def _places(self) -> dict[str, int]:
        return {slug: place for place, slug in enumerate(self.slugs)}

    def pair(self, a: str, b: str) -> PairComparison:
        """Entry `a` minus entry `b`.

        Raises:
            KeyError: One of them is not listed.
            ValueError: Both are the same entry.
        """
        i, j = self._places[a], self._places[b]
        if i == j:
            raise ValueError(f"{a!r} is compared with itself")
        first, second = min(i, j), max(i, j)
        k = first * (2 * len(self.slugs) - first - 1) // 2 + second - first - 1
        d, low, high = self.difference[k], self.low[k], self.high[k]
        if i > j:
            d, low, high = 0.0 - d, _negated(high), _negated(low)
        return PairComparison(d, low, high, self.p_adjusted[k], self.p[k])


def _negated(limit: float | None) -> float | None:
    return None if limit is None else 0.0 - limit
