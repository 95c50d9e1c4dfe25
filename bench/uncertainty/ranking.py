"""Metrics of a ranking in every replicate, counted in one pass over the sorted images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.kernels import scan
from bench.metrics.score_ranking import ScoreRanking
from bench.metrics.validation import Bools, Floats, Ints
from bench.uncertainty.sample import Pass, Sample


@dataclass(frozen=True, slots=True)
class SortedOrder:
    """Images by decreasing score, in the order in which the kernels read them; see `scan.scan_auroc`.

    `misses` and `hits` are the places of the negative and of the positive images among the rows.
    """

    misses: Ints
    hits: Ints
    negative: Ints
    positive: Ints
    first: Ints
    above: Ints
    level: Ints

    @classmethod
    def of(cls, sample: Sample, order: ScoreRanking) -> SortedOrder:
        """Order the images; equal scores go by patient and weight, so that row order never matters."""
        row = order.order
        if sample.weight is not None and len(order.threshold) < len(row):
            row = np.lexsort((sample.weight, sample.patient, order.tie_group))
        hit = sample.positive[row]
        misses, hits = row[~hit], row[hit]
        tie_groups = len(order.threshold)
        true_positives = np.bincount(order.tie_group[hits], minlength=tie_groups)
        false_positives = np.bincount(order.tie_group[misses], minlength=tie_groups)
        with_positives = np.flatnonzero(true_positives)
        level = np.cumsum(false_positives)[with_positives]
        first = np.zeros(len(with_positives) + 1, np.int64)
        np.cumsum(true_positives[with_positives], out=first[1:])
        return cls(
            misses=misses,
            hits=hits,
            negative=sample.patient[misses],
            positive=sample.patient[hits],
            first=first,
            above=level - false_positives[with_positives],
            level=level,
        )


@dataclass(frozen=True)
class Ranking:
    """Metrics of the ranking in every replicate, (B,) each; nan where a replicate holds one class only.

    Attributes:
        sample: Labels and draws.
        totals: What a scan counted, see `scan.scan_joint`; what lies beyond the requested depth is 0.
    """

    sample: Sample
    totals: Sequence[NDArray[Any]]

    def _share(self, total: Floats, whole: Floats) -> Floats:
        return ratio(total, whole, self.sample.defined)

    @cached_property
    def auroc(self) -> Floats:
        """Area under the ROC curve."""
        return _area(self.sample.trimmed(self.totals[0]), self.sample)

    @cached_property
    def auprc(self) -> Floats:
        """Average precision."""
        return self._share(self.sample.trimmed(self.totals[1]), self.sample.classes[0])

    @property
    def normalised_auprc(self) -> Floats:
        """Average precision normalised by the prevalence of the replicate."""
        hit, miss = self.sample.classes
        return 1 - self._share((1 - self.auprc) * (hit + miss), miss)

    @property
    def sensitivity_at_90_specificity(self) -> Floats:
        """Sensitivity at the first operating point."""
        return self._share(self.sample.trimmed(self.totals[2]), self.sample.classes[0])

    @property
    def specificity_at_90_sensitivity(self) -> Floats:
        """Specificity at the second operating point."""
        miss = self.sample.classes[1]
        return self._share(miss - self.sample.trimmed(self.totals[3]), miss)


def auroc_replicates(sample: Sample, order: ScoreRanking) -> Floats:
    """Compute (B,) AUROCs by the scan that counts nothing else; exact without weights."""
    images = SortedOrder.of(sample, order)
    if not sample.uses_integer_counts or len(images.negative) * sample.largest**2 >= 2**31:
        return ranking_replicates(sample, order, scan.PAIRS).auroc
    doubled = scan.scan_auroc(
        sample.blocks,
        images.negative,
        images.positive,
        images.first,
        images.above,
        images.level,
        sample.largest,
    )
    return _area(sample.trimmed(doubled), sample)


def nested_auroc_replicates(samples: Sequence[Sample], order: ScoreRanking) -> list[Floats]:
    """Compute the (B,) AUROCs of one score for several labels by one scan.

    Args:
        samples: The same rows with labels of which each is a subset of the one before, such as those by
            rising thresholds on a measurement.
        order: The rows by score; its labels are not used.
    """
    first = samples[0]
    if not first.uses_integer_counts or len(first.patient) * first.largest**2 >= 2**31:
        relabelled = (replace(order, positive=sample.positive) for sample in samples)
        return [auroc_replicates(sample, own) for sample, own in zip(samples, relabelled, strict=True)]
    label = np.sum([sample.positive for sample in samples], axis=0)[order.order]
    ends = np.cumsum(np.bincount(order.tie_group))
    groups = np.unique(order.tie_group[order.order][label > 0])
    doubled = scan.scan_nested(
        first.blocks,
        first.patient[order.order],
        label,
        np.append(0, ends)[groups],
        ends[groups],
        len(samples),
        first.largest,
    )
    return [_area(s.trimmed(pairs), s) for s, pairs in zip(samples, doubled, strict=True)]


def _area(doubled: Floats, sample: Sample) -> Floats:
    pairs = sample.twice_pair_count
    undefined: Floats = np.full(len(pairs), np.nan)
    return np.divide(pairs - doubled, pairs, out=undefined, where=sample.defined)


def ranking_replicates(sample: Sample, order: ScoreRanking, depth: int = scan.POINTS) -> Ranking:
    """Count for AUROC, AUPRC and both operating points in one pass over the sorted images.

    Args:
        sample: Labels and draws.
        order: The images by score.
        depth: How much is counted, as `scan.scan_joint` says.
    """
    return Ranking(sample, tuple(ranking_pass(sample, order, depth)(slice(None))))


def ranking_pass(sample: Sample, order: ScoreRanking, depth: int) -> Pass:
    """The pass over the draws that counts the totals of a `Ranking`."""
    images = SortedOrder.of(sample, order)
    most, least = sample.limits
    path = (images.negative, images.positive, images.first, images.above, images.level)

    def count(part: slice) -> Iterable[NDArray[Any]]:
        limits, blocks = (most[part], least[part]), sample.blocks[part]
        totals: Iterable[NDArray[Any]]
        if sample.uses_integer_counts:
            whole = (limit.astype(np.int32) for limit in limits)
            totals = scan.scan_joint(blocks, *path, sample.largest, *whole, depth)
        else:
            weights_of = order.unit[images.misses], order.unit[images.hits]
            totals = scan.scan_weighted(blocks, *path, *weights_of, np.stack(limits), depth)
        return totals

    return count


def ratio(above: Floats, below: Floats, defined: Bools) -> Floats:
    """Return above / below, nan where the replicate does not define it."""
    return np.divide(above, below, out=np.full_like(below, np.nan), where=defined)
