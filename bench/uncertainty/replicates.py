"""Metrics in every replicate of a patient bootstrap at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import kernels
from bench.metrics.calibration import bin_edges, bin_index, surprise
from bench.metrics.checks import Bools, Floats, Ints, finite_vector, labels, weights
from bench.metrics.discrimination import ROUNDING

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
        patient: (n,) place of every row's patient; rows of weight 0 are dropped here and below.
        weight: (n,) row weights, or None.
        keep: (rows given,) which rows count.
    """

    blocks: Blocks
    replicates: int
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
        return cls(bootstrap.blocks, bootstrap.replicates_count, bootstrap.patient_code[keep], held, keep)

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

    def by_patient(self, values: Floats) -> Floats:
        """(P,) sums of row values over each patient."""
        return np.bincount(self.patient, values, minlength=self.blocks.shape[1])

    def totals(self, *columns: Floats) -> Floats:
        """(len(columns), B) sums over the rows of each replicate, weights included.

        Args:
            *columns: (n,) row values.
        """
        return self._sums([(self.patient, self.unit * column) for column in columns])

    def binned(self, values: Floats, index: Ints, bins: int) -> Floats:
        """(bins, B) sums of row values (weights included) over the rows of each bin."""
        worth = self.unit * values
        return self._sums([(self.patient[index == k], worth[index == k]) for k in range(bins)])

    def _sums(self, columns: list[tuple[Ints, Floats]]) -> Floats:
        patients = self.blocks.shape[1]
        start, entries, values = [0], [], []
        for patient, worth in columns:
            held = np.flatnonzero(np.bincount(patient, minlength=patients))
            entries.append(held)
            values.append(np.bincount(patient, worth, minlength=patients)[held])
            start.append(start[-1] + len(held))
        sums = kernels.weighted_sums(
            self.blocks, np.array(start), np.concatenate(entries), np.concatenate(values)
        )
        return np.asarray(sums)[:, : self.replicates]


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
            ValueError: Labels other than 0/1, weights that are negative, lengths that differ from the bootstrap's.
        """
        positive = labels(y)
        if len(positive) != bootstrap.images:
            raise ValueError(f"y has {len(positive)} rows, the bootstrap {bootstrap.images}")
        rows = Rows.of(bootstrap, weight)
        return cls(rows.blocks, rows.replicates, rows.patient, rows.weight, rows.keep, positive[rows.keep])

    @cached_property
    def classes(self) -> tuple[Floats, Floats]:
        """(B,) weight of the positive and of the negative rows in every replicate."""
        positive = self.positive.astype(np.float64)
        hit, miss = self.totals(positive, 1 - positive)
        return hit, miss

    @cached_property
    def defined(self) -> Bools:
        """(B,) whether the replicate holds both classes."""
        hit, miss = self.classes
        return (hit > 0) & (miss > 0)


@dataclass(frozen=True, slots=True)
class Order:
    """Images by falling score, as the kernels walk them; see `kernels.scan_auroc`."""

    negative: Ints
    positive: Ints
    first: Ints
    above: Ints
    level: Ints
    negative_weight: Floats | None
    positive_weight: Floats | None


def order(sample: Sample, score: Floats) -> Order:
    """Sorts both classes; equal scores are put in the order of patient and weight, so row order never matters."""
    sides = []
    for side in (~sample.positive, sample.positive):
        rows = np.flatnonzero(side)
        if sample.weight is None:
            place = rows[np.argsort(-score[rows], kind="stable")]
        else:
            place = rows[np.lexsort((sample.weight[rows], sample.patient[rows], -score[rows]))]
        sides.append(place)
    below, hit = sides
    falling = -score[hit]
    first = (
        np.flatnonzero(np.append(True, falling[1:] != falling[:-1])) if len(hit) else np.zeros(0, np.int64)
    )
    ranked = -score[below]
    return Order(
        negative=sample.patient[below],
        positive=sample.patient[hit],
        first=np.append(first, len(hit)),
        above=np.searchsorted(ranked, falling[first], side="left"),
        level=np.searchsorted(ranked, falling[first], side="right"),
        negative_weight=None if sample.weight is None else sample.weight[below],
        positive_weight=None if sample.weight is None else sample.weight[hit],
    )


@dataclass(frozen=True, slots=True)
class Ranking:
    """Metrics of order in every replicate, (B,) each; nan where a replicate holds one class only."""

    auroc: Floats
    auprc: Floats
    sensitivity_at_90_specificity: Floats
    specificity_at_90_sensitivity: Floats


def auroc_replicates(sample: Sample, score: Floats) -> Floats:
    """(B,) AUROC by the scan that counts nothing else; exact where there are no weights."""
    if sample.weight is not None:
        return ranking_replicates(sample, score).auroc
    by = order(sample, score)
    doubled = kernels.scan_auroc(sample.blocks, by.negative, by.positive, by.first, by.above, by.level)
    return _area(doubled.ravel()[: sample.replicates].astype(np.float64), sample)


def _area(doubled: Floats, sample: Sample) -> Floats:
    hit, miss = sample.classes
    pairs = 2 * hit * miss
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sample.defined, (pairs - doubled) / pairs, np.nan)


def ranking_replicates(sample: Sample, score: Floats) -> Ranking:
    """AUROC, AUPRC and both operating points from one walk over the sorted images."""
    by = order(sample, score)
    hit, miss = sample.classes
    most = miss - SPECIFICITY * (1 - ROUNDING) * miss
    least = SENSITIVITY * (1 - ROUNDING) * hit
    walk = (sample.blocks, by.negative, by.positive, by.first, by.above, by.level)
    if by.negative_weight is None:
        limits = _lanes(np.floor(most), sample), _lanes(np.ceil(least), sample)
        found = kernels.scan_joint(*walk, *(limit.astype(np.int64) for limit in limits))
    else:
        shares = np.stack([_lanes(most, sample), _lanes(least, sample)])
        found = kernels.scan_weighted(*walk, by.negative_weight, by.positive_weight, shares)
    doubled, precision, hits, alarms = (
        part.ravel()[: sample.replicates].astype(np.float64) for part in found
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        shares_of = (precision / hit, hits / hit, (miss - alarms) / miss)
    return Ranking(_area(doubled, sample), *(np.where(sample.defined, part, np.nan) for part in shares_of))


def _lanes(values: Floats, sample: Sample) -> Floats:
    """(B,) as (k, LANES), padded with zeros."""
    padded = np.zeros(sample.blocks.shape[0] * kernels.LANES)
    padded[: len(values)] = values
    return padded.reshape(-1, kernels.LANES)


def brier_replicates(sample: Sample, p: Floats) -> Floats:
    """(B,) Brier score."""
    loss, rows = sample.totals((p - sample.positive) ** 2, np.ones(len(p)))
    return _ratio(loss, rows)


def scaled_brier_replicates(sample: Sample, p: Floats) -> Floats:
    """(B,) Brier score scaled by the prevalence of the replicate."""
    hit, miss = sample.classes
    return 1 - _ratio(brier_replicates(sample, p) * (hit + miss) ** 2, hit * miss)


def log_loss_replicates(sample: Sample, p: Floats) -> Floats:
    """(B,) log loss."""
    loss, rows = sample.totals(surprise(sample.positive, p), np.ones(len(p)))
    return _ratio(loss, rows)


def oe_ratio_replicates(sample: Sample, p: Floats) -> Floats:
    """(B,) observed over expected positives."""
    (expected,) = sample.totals(p)
    return _ratio(sample.classes[0], expected)


def ece_replicates(sample: Sample, p: Floats) -> Floats:
    """(B,) calibration error over fixed equal-width bins."""
    index = bin_index(p, bin_edges(p, ECE_BINS, "uniform"))
    gap = np.abs(sample.binned(p - sample.positive, index, ECE_BINS)).sum(axis=0)
    return _ratio(gap, sum(sample.classes))


def _ratio(above: Floats, below: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, above / below, np.nan)


def _ranking(name: str) -> Callable[[Sample, Floats], Floats]:
    return lambda sample, score: getattr(ranking_replicates(sample, score), name)  # type: ignore[no-any-return]


RANKING: dict[str, Callable[[Sample, Floats], Floats]] = {
    "auroc": auroc_replicates,
    "auprc": _ranking("auprc"),
    "average_precision": _ranking("auprc"),
    "sensitivity_at_90_specificity": _ranking("sensitivity_at_90_specificity"),
    "specificity_at_90_sensitivity": _ranking("specificity_at_90_sensitivity"),
}
PROBABILITY: dict[str, Callable[[Sample, Floats], Floats]] = {
    "brier": brier_replicates,
    "scaled_brier": scaled_brier_replicates,
    "log_loss": log_loss_replicates,
    "oe_ratio": oe_ratio_replicates,
    "ece": ece_replicates,
}
METRICS = (*RANKING, *PROBABILITY)
"""Names that `replicate` knows."""


def replicate(sample: Sample, score: ArrayLike, metric: str) -> Floats:
    """(B,) one metric in every replicate; nan where undefined.

    Raises:
        ValueError: An unknown metric, or scores that do not fit.
    """
    if metric in RANKING:
        return RANKING[metric](sample, sample.scores(score))
    if metric in PROBABILITY:
        return PROBABILITY[metric](sample, sample.probabilities(score))
    raise ValueError(f"unknown metric {metric!r}; one of {', '.join(METRICS)}")
