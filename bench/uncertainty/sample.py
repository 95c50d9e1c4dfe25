"""Images on a patient bootstrap: sums over the rows of every replicate, and what labels alone fix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.discrimination import ROUNDING
from bench.metrics.influence import kish_size
from bench.metrics.kernels import scan
from bench.metrics.registry import OPERATING_POINT
from bench.metrics.validation import Bools, Floats, Ints, finite_vector, probability_vector, weights
from bench.uncertainty.draws import Blocks, Draws

Pass = Callable[[slice], Iterable[NDArray[Any]]]
"""A pass over some blocks of the draws; returns arrays whose first axis are these blocks."""


def run_together(blocks: Blocks, passes: Sequence[Pass]) -> list[list[NDArray[Any]]]:
    """Run several passes over the same draws, all of them over one block before the next.

    A block fits into the last level of the processor's cache, all blocks do not: so each block is read from
    memory once, not once for every pass, which takes up to twice the time.

    Args:
        blocks: (k, P, LANES) the draws.
        passes: Passes over these.

    Returns:
        The arrays of each pass over all blocks, with the same bits as by `slice(None)`.
    """
    parts: list[list[Iterable[NDArray[Any]]]] = [[] for _ in passes]
    for block in range(len(blocks)):
        for run, part in zip(passes, parts, strict=True):
            part.append(run(slice(block, block + 1)))
    return [[np.concatenate(arrays) for arrays in zip(*part, strict=True)] for part in parts]


@dataclass(frozen=True, eq=False)
class Rows:
    """Images on a bootstrap, labelled or not.

    Attributes:
        blocks: (k, P, LANES) multiplicities.
        replicates: Number of replicates B.
        largest: Largest multiplicity.
        patient: (n,) place of every row's patient; rows of weight 0 are dropped here and below.
        weight: (n,) row weights, or None.
        keep: (rows given,) which rows count.
    """

    blocks: Blocks
    replicates: int
    largest: int
    patient: Ints
    weight: Floats | None
    keep: Bools = field(repr=False)

    @classmethod
    def of(cls, bootstrap: Draws, weight: ArrayLike | None) -> Rows:
        """The rows of a bootstrap.

        Raises:
            ValueError: Weights that are negative or too few.
        """
        row = weights(weight, bootstrap.images, "the bootstrap")
        keep = np.ones(bootstrap.images, np.bool_) if row is None else row > 0
        kept_weight = None if row is None else row[keep]
        return cls(
            bootstrap.blocks,
            bootstrap.replicates_count,
            bootstrap.largest,
            bootstrap.patient_code[keep],
            kept_weight,
            keep,
        )

    @cached_property
    def unit(self) -> Floats:
        """(n,) row weights, ones where none were given."""
        return np.ones(len(self.patient)) if self.weight is None else self.weight

    def scores(self, score: ArrayLike, name: str = "score") -> Floats:
        """Values of the rows that count.

        Raises:
            ValueError: NaN or infinite values, or another number of rows than the bootstrap has.
        """
        return self._counted(finite_vector(score, name), name)

    def probabilities(self, p: ArrayLike, name: str = "p") -> Floats:
        """As `scores`, in [0, 1]."""
        return self._counted(probability_vector(p, name), name)

    def _counted(self, vector: Floats, name: str) -> Floats:
        if len(vector) != len(self.keep):
            raise ValueError(f"{name} has {len(vector)} rows, the bootstrap {len(self.keep)}")
        return vector[self.keep]

    @cached_property
    def present(self) -> Bools:
        """(P,) patients with a row that counts."""
        return np.bincount(self.patient, minlength=self.blocks.shape[1]) > 0

    @cached_property
    def patients(self) -> int:
        """Number of patients with a row that counts."""
        return int(np.count_nonzero(self.present))

    @cached_property
    def patient_unit(self) -> Floats:
        """(P,) weight of the rows of each patient."""
        return self.by_patient(self.unit)

    @cached_property
    def effective_rows(self) -> float:
        """Kish's effective number of rows."""
        return kish_size(self.unit)

    @cached_property
    def dense_patient(self) -> Ints:
        """(n,) patient of every row, as whole numbers without gaps."""
        return (np.cumsum(self.present) - 1)[self.patient]

    def by_patient(self, values: Floats) -> Floats:
        """(P,) sums of row values over each patient."""
        return np.asarray(np.bincount(self.patient, values, minlength=self.blocks.shape[1]), np.float64)

    def patient_weight(self, chosen: Bools) -> Floats:
        """(P,) weight of each patient's rows among those chosen, a mask (n,)."""
        weight = None if self.weight is None else self.weight[chosen]
        sums = np.bincount(self.patient[chosen], weight, minlength=self.blocks.shape[1])
        return sums.astype(np.float64)

    def resampled(self) -> Iterator[Ints]:
        """The rows of each replicate in turn, each as often as its patient was drawn."""
        every = np.arange(len(self.patient))
        for replicate in range(self.replicates):
            block, lane = divmod(replicate, scan.LANES)
            yield np.repeat(every, self.blocks[block, self.patient, lane])

    def trimmed(self, lanes: NDArray[Any]) -> Floats:
        """(B,) the lanes of a kernel that are replicates, as float64."""
        return lanes.reshape(-1)[: self.replicates].astype(np.float64)

    def totals(self, columns: Sequence[Floats]) -> Floats:
        """(len(columns), B) sums over the rows of each replicate, weights included, of row values (n,)."""
        sums = np.asarray(self.totals_pass(columns)(slice(None)))
        return sums.reshape(len(columns), -1)[:, : self.replicates]

    def totals_pass(self, columns: Sequence[Floats]) -> Pass:
        """The pass over the draws that adds up `totals`: (len(columns), blocks, LANES)."""
        worth = np.stack([self.by_patient(self.unit * column) for column in columns], axis=1)
        patients = np.flatnonzero(self.present)
        worth = worth[patients]

        def sums(part: slice) -> NDArray[np.float64]:
            blocks = self.blocks[part]
            of_columns: Floats = scan.dense_sums(blocks, patients, worth)
            return of_columns.reshape(len(columns), len(blocks), scan.LANES)

        return sums

    def group_totals(self, values: Floats, index: Ints, groups: int) -> Floats:
        """(groups, B) sums over each group's rows, weights included, of row values (n,) in every replicate.

        A row is in one group only, so this costs as much as one column of `totals`, whatever `groups` is.
        """
        patients = self.blocks.shape[1]
        cell = index * patients + self.patient
        worth = np.bincount(cell, self.unit * values, minlength=groups * patients)
        nonzero = np.flatnonzero(worth)  # what adds nothing in any replicate is left out
        worth = worth[nonzero]
        start = np.searchsorted(nonzero, np.arange(groups + 1) * patients)
        sums = scan.group_sums(self.blocks, start, nonzero % patients, worth)
        return np.asarray(sums)[:, : self.replicates]


@dataclass(frozen=True, eq=False)
class Sample(Rows):
    """Labelled images on a bootstrap: what every score on these images shares.

    Attributes:
        positive: (n,) labels.
    """

    positive: Bools

    @classmethod
    def labelled(cls, bootstrap: Draws, positive: Bools, weight: Floats | None) -> Sample:
        """The rows of a bootstrap with their labels; arrays were checked already."""
        rows = Rows.of(bootstrap, weight)
        shared = {field.name: getattr(rows, field.name) for field in fields(Rows)}
        return cls(**shared, positive=positive[rows.keep])

    @cached_property
    def positive_patients(self) -> int:
        """Number of patients with a positive row."""
        return int(np.count_nonzero(np.bincount(self.patient[self.positive])))

    @cached_property
    def negative_patients(self) -> int:
        """Number of patients with a negative row."""
        return int(np.count_nonzero(np.bincount(self.patient[~self.positive])))

    @property
    def smaller_class(self) -> int:
        """Number of patients with a row of the class that fewer of them have."""
        return min(self.positive_patients, self.negative_patients)

    @property
    def uses_integer_counts(self) -> bool:
        """Whether everything is counted in 32-bit whole numbers: no row weights, multiplicities below 256."""
        return self.weight is None and self.blocks.dtype == np.uint8

    @cached_property
    def classes(self) -> tuple[Floats, Floats]:
        """(B,) weight of the positive and of the negative rows in every replicate."""
        positive = self.positive.astype(np.float64)
        hit, miss = self.totals([positive, 1 - positive])
        return hit, miss

    @cached_property
    def limits(self) -> tuple[Floats, Floats]:
        """(k, LANES) the most false and the least true positives at the two operating points."""
        hit, miss = self.classes
        most = miss - OPERATING_POINT * (1 - ROUNDING) * miss
        least = OPERATING_POINT * (1 - ROUNDING) * hit
        if self.uses_integer_counts:
            most, least = np.floor(most), np.ceil(least)
        lanes = np.zeros((2, self.blocks.shape[0] * scan.LANES))
        lanes[:, : self.replicates] = most, least
        return tuple(lanes.reshape(2, -1, scan.LANES))  # type: ignore[return-value]

    @cached_property
    def twice_pair_count(self) -> Floats:
        """(B,) twice the pairs of a positive and a negative row, by weight, in every replicate."""
        hit, miss = self.classes
        return 2 * hit * miss

    @cached_property
    def defined(self) -> Bools:
        """(B,) whether the replicate holds both classes."""
        hit, miss = self.classes
        return (hit > 0) & (miss > 0)
