"""Metrics in every replicate of a patient bootstrap at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics import kernels
from bench.metrics.calibration import bin_edges, bin_index, surprise
from bench.metrics.checks import Bools, Floats, Ints, finite_vector, labels, weights
from bench.metrics.discrimination import ROUNDING
from bench.metrics.ladder import Ladder

if TYPE_CHECKING:
    from bench.uncertainty.bootstrap import Blocks, PatientBootstrap

SPECIFICITY = 0.9
SENSITIVITY = 0.9
ECE_BINS = 15


@dataclass(frozen=True)
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
    def of(cls, bootstrap: PatientBootstrap, weight: ArrayLike | None) -> Rows:
        """The rows of a bootstrap.

        Raises:
            ValueError: Weights that are negative or too few.
        """
        row = weights(weight, bootstrap.images)
        keep = np.ones(bootstrap.images, np.bool_) if row is None else row > 0
        held = None if row is None else row[keep]
        return cls(
            bootstrap.blocks,
            bootstrap.replicates_count,
            bootstrap.largest,
            bootstrap.patient_code[keep],
            held,
            keep,
        )

    @property
    def unit(self) -> Floats:
        """(n,) row weights, ones where none were given."""
        return np.ones(len(self.patient)) if self.weight is None else self.weight

    def scores(self, score: ArrayLike, name: str = "score") -> Floats:
        """Values of the rows that count.

        Raises:
            ValueError: NaN or infinite values, or another number of rows than the bootstrap has.
        """
        vector = finite_vector(score, name)
        if len(vector) != len(self.keep):
            raise ValueError(f"{name} has {len(vector)} rows, the bootstrap {len(self.keep)}")
        return vector[self.keep]

    def probabilities(self, p: ArrayLike) -> Floats:
        """As `scores`, in [0, 1]."""
        vector = self.scores(p, "p")
        bad = int(np.count_nonzero((vector < 0) | (vector > 1)))
        if bad:
            raise ValueError(f"p must lie in [0, 1]; {bad} values do not")
        return vector

    @cached_property
    def present(self) -> Bools:
        """(P,) patients with a row that counts."""
        return np.bincount(self.patient, minlength=self.blocks.shape[1]) > 0

    def by_patient(self, values: Floats) -> Floats:
        """(P,) sums of row values over each patient."""
        return np.bincount(self.patient, values, minlength=self.blocks.shape[1]).astype(np.float64)

    def trimmed(self, lanes: NDArray[Any]) -> Floats:
        """(B,) the lanes of a kernel that are replicates, as float64."""
        return lanes.reshape(-1)[: self.replicates].astype(np.float64)

    def totals(self, columns: Sequence[Floats]) -> Floats:
        """(len(columns), B) sums over the rows of each replicate, weights included, of row values (n,)."""
        worth = np.stack([self.by_patient(self.unit * column) for column in columns], axis=1)
        held = np.flatnonzero(self.present)
        sums = kernels.dense_sums(self.blocks, held, worth[held])
        return np.asarray(sums)[:, : self.replicates]

    def gaps(self, values: Floats, index: Ints, bins: int) -> Floats:
        """(B,) sum over bins of the absolute sum of row values (weights included) in the bin."""
        patients = self.blocks.shape[1]
        cell = index * patients + self.patient
        held = np.flatnonzero(np.bincount(cell, minlength=bins * patients))
        worth = np.bincount(cell, self.unit * values, minlength=bins * patients)[held]
        start = np.searchsorted(held, np.arange(bins + 1) * patients)
        return self.trimmed(kernels.absolute_sums(self.blocks, start, held % patients, worth))


@dataclass(frozen=True)
class Sample(Rows):
    """Labelled images on a bootstrap: what every score on these images shares.

    Attributes:
        positive: (n,) labels.
    """

    positive: Bools

    @classmethod
    def labelled(cls, bootstrap: PatientBootstrap, y: ArrayLike, weight: ArrayLike | None) -> Sample:
        """The rows of a bootstrap with their labels.

        Raises:
            ValueError: Labels other than 0/1, weights that are negative, lengths that differ from the
                bootstrap's.
        """
        positive = labels(y)
        if len(positive) != bootstrap.images:
            raise ValueError(f"y has {len(positive)} rows, the bootstrap {bootstrap.images}")
        rows = Rows.of(bootstrap, weight)
        held = {field.name: getattr(rows, field.name) for field in fields(Rows)}
        return cls(**held, positive=positive[rows.keep])

    @cached_property
    def positive_patients(self) -> int:
        """Number of patients with a positive row."""
        return int(np.count_nonzero(np.bincount(self.patient[self.positive])))

    @cached_property
    def negative_patients(self) -> int:
        """Number of patients with a negative row."""
        return int(np.count_nonzero(np.bincount(self.patient[~self.positive])))

    @property
    def whole(self) -> bool:
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
        most = miss - SPECIFICITY * (1 - ROUNDING) * miss
        least = SENSITIVITY * (1 - ROUNDING) * hit
        if self.whole:
            most, least = np.floor(most), np.ceil(least)
        lanes = np.zeros((2, self.blocks.shape[0] * kernels.LANES))
        lanes[:, : self.replicates] = most, least
        return tuple(lanes.reshape(2, -1, kernels.LANES))  # type: ignore[return-value]

    @cached_property
    def defined(self) -> Bools:
        """(B,) whether the replicate holds both classes."""
        hit, miss = self.classes
        return (hit > 0) & (miss > 0)


@dataclass(frozen=True, slots=True)
class Walk:
    """Images by falling score, as the kernels walk them; see `kernels.scan_auroc`."""

    negative: Ints
    positive: Ints
    first: Ints
    above: Ints
    level: Ints
    negative_weight: Floats
    positive_weight: Floats

    @classmethod
    def of(cls, sample: Sample, ladder: Ladder) -> Walk:
        """The walk over a ladder; equal scores go by patient and weight, so that row order never matters."""
        row = ladder.order
        if sample.weight is not None:
            row = np.lexsort((sample.weight, sample.patient, ladder.rung))
        hit = sample.positive[row]
        rungs = len(ladder.threshold)
        gain = np.bincount(ladder.rung, sample.positive, minlength=rungs).astype(np.int64)
        level = np.cumsum(np.bincount(ladder.rung, minlength=rungs) - gain)
        held = gain > 0
        level_held = level[held]
        fault = np.diff(level, prepend=0)[held]
        return cls(
            negative=sample.patient[row[~hit]],
            positive=sample.patient[row[hit]],
            first=np.append(0, np.cumsum(gain[held])),
            above=level_held - fault,
            level=level_held,
            negative_weight=ladder.unit[row[~hit]],
            positive_weight=ladder.unit[row[hit]],
        )


@dataclass(frozen=True, slots=True)
class Ranking:
    """Metrics of order in every replicate, (B,) each; nan where a replicate holds one class only."""

    auroc: Floats
    auprc: Floats
    sensitivity_at_90_specificity: Floats
    specificity_at_90_sensitivity: Floats


def auroc_replicates(sample: Sample, ladder: Ladder) -> Floats:
    """(B,) AUROC by the scan that counts nothing else; exact where there are no weights."""
    walk = Walk.of(sample, ladder)
    if not sample.whole or len(walk.negative) * sample.largest**2 >= 2**31:
        return ranking_replicates(sample, ladder).auroc
    doubled = kernels.scan_auroc(
        sample.blocks, walk.negative, walk.positive, walk.first, walk.above, walk.level, sample.largest
    )
    return _area(sample.trimmed(doubled), sample)


def _area(doubled: Floats, sample: Sample) -> Floats:
    hit, miss = sample.classes
    pairs = 2 * hit * miss
    return np.divide(pairs - doubled, pairs, out=np.full_like(pairs, np.nan), where=sample.defined)


def ranking_replicates(sample: Sample, ladder: Ladder) -> Ranking:
    """AUROC, AUPRC and both operating points from one walk over the sorted images."""
    walk = Walk.of(sample, ladder)
    hit, miss = sample.classes
    most, least = sample.limits
    path = (sample.blocks, walk.negative, walk.positive, walk.first, walk.above, walk.level)
    if sample.whole:
        found = kernels.scan_joint(*path, most.astype(np.int32), least.astype(np.int32))
    else:
        weights_of = walk.negative_weight, walk.positive_weight
        found = kernels.scan_weighted(*path, *weights_of, np.stack([most, least]))
    doubled, precision, hits, alarms = (sample.trimmed(part) for part in found)
    return Ranking(
        _area(doubled, sample),
        _ratio(precision, hit, sample.defined),
        _ratio(hits, hit, sample.defined),
        _ratio(miss - alarms, miss, sample.defined),
    )


def _ratio(above: Floats, below: Floats, defined: Bools) -> Floats:
    return np.divide(above, below, out=np.full_like(below, np.nan), where=defined)


class Fit:
    """Metrics of probabilities in every replicate, (B,) each; nan where undefined.

    Sums over images fix them all: one product of the multiplicities with per-patient sums, and another one
    for the bins of the calibration error when that is asked for.
    """

    def __init__(self, sample: Sample, p: Floats) -> None:
        self._sample, self._p = sample, p
        self._loss, self._nats, self._expected = sample.totals(
            [(p - sample.positive) ** 2, surprise(sample.positive, p), p]
        )
        self._hit, self._miss = sample.classes
        self._rows = self._hit + self._miss

    @property
    def brier(self) -> Floats:
        """Mean squared error."""
        return _ratio(self._loss, self._rows, self._rows > 0)

    @property
    def scaled_brier(self) -> Floats:
        """Brier score scaled by the prevalence of the replicate."""
        return 1 - _ratio(self._loss * self._rows, self._hit * self._miss, self._sample.defined)

    @property
    def log_loss(self) -> Floats:
        """Mean -log probability of what came true."""
        return _ratio(self._nats, self._rows, self._rows > 0)

    @property
    def oe_ratio(self) -> Floats:
        """Observed over expected positives."""
        return _ratio(self._hit, self._expected, self._expected > 0)

    @property
    def ece(self) -> Floats:
        """Calibration error over fixed equal-width bins."""
        index = bin_index(self._p, bin_edges(self._p, ECE_BINS, "uniform"))
        gap = self._sample.gaps(self._p - self._sample.positive, index, ECE_BINS)
        return _ratio(gap, self._rows, self._rows > 0)


RANKING = tuple(field.name for field in fields(Ranking))
FIT = ("brier", "scaled_brier", "log_loss", "oe_ratio", "ece")
LINES = ("calibration_slope", "calibration_intercept", "calibration_in_the_large")
METRICS = (*RANKING, *FIT, *LINES)
"""Names that `replicate` knows; ``"average_precision"`` is another name of ``"auprc"``."""


def replicate(sample: Sample, score: ArrayLike, metric: str) -> Floats:
    """(B,) one metric in every replicate; nan where undefined.

    Raises:
        ValueError: An unknown metric, or scores that do not fit.
    """
    name = "auprc" if metric == "average_precision" else metric
    if name in LINES:
        from bench.uncertainty.lines import line_replicates, shift_replicates

        p = sample.probabilities(score)
        if name == "calibration_in_the_large":
            return shift_replicates(sample, p)
        line: Floats = getattr(line_replicates(sample, p), name)
        return line
    if name in FIT:
        found: Floats = getattr(Fit(sample, sample.probabilities(score)), name)
        return found
    if name not in RANKING:
        raise ValueError(f"unknown metric {metric!r}; one of {', '.join(METRICS)}")
    ladder = Ladder.of(sample.positive, sample.scores(score), sample.weight)
    if name == "auroc":
        return auroc_replicates(sample, ladder)
    ranked: Floats = getattr(ranking_replicates(sample, ladder), name)
    return ranked
