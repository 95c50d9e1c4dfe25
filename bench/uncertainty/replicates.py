"""Metrics in every replicate of a patient bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics import registry
from bench.metrics.calibration import bin_edges, bin_index, logit, pointwise_log_loss
from bench.metrics.kernels import scan
from bench.metrics.metric import Engine, Metric, Needs
from bench.metrics.prepared import LabelledScores
from bench.metrics.recalibration_line import expit, fit_line, fit_shift
from bench.metrics.registry import ECE_BINS
from bench.metrics.score_ranking import ScoreRanking
from bench.metrics.validation import Bools, Floats, Ints
from bench.uncertainty.sample import Pass, Sample, run_together


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
        return _ratio(total, whole, self.sample.defined)

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
    return Ranking(sample, tuple(_ranking_pass(sample, order, depth)(slice(None))))


def _ranking_pass(sample: Sample, order: ScoreRanking, depth: int) -> Pass:
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


def _ratio(above: Floats, below: Floats, defined: Bools) -> Floats:
    return np.divide(above, below, out=np.full_like(below, np.nan), where=defined)


SUMS: dict[str, Callable[[Floats, Bools], Floats]] = {
    "loss": lambda p, positive: (p - positive) ** 2,
    "nats": lambda p, positive: pointwise_log_loss(positive, p),
    "expected": lambda p, _: p,
}
"""Sum over images → its terms, (n,) from probabilities and labels."""

SUM_OF = {"brier": "loss", "scaled_brier": "loss", "log_loss": "nats", "oe_ratio": "expected"}
"""Metric → the sum that it follows from."""


class Fit:
    """Metrics of probabilities in every replicate, (B,) each; nan where undefined.

    All follow from sums over images, which are products of the multiplicities with per-patient sums.

    Args:
        sample: Labels and draws.
        p: (n,) probabilities.
        keys: Metrics that will be requested; their sums are computed together, when first needed.
    """

    def __init__(self, sample: Sample, p: Floats, keys: Iterable[str]) -> None:
        self._sample, self._p = sample, p
        self._hit, self._miss = sample.classes
        self._rows = self._hit + self._miss
        wanted = {SUM_OF.get(key) for key in keys}
        self._names = [name for name in SUMS if name in wanted]

    @property
    def _terms(self) -> list[Floats]:
        return [SUMS[name](self._p, self._sample.positive) for name in self._names]

    @cached_property
    def _sums(self) -> dict[str, Floats]:
        return dict(zip(self._names, self._sample.totals(self._terms), strict=True))

    def sums_pass(self) -> Pass:
        """The pass over the draws that adds up the sums of the requested metrics."""
        return self._sample.totals_pass(self._terms)

    def keep_sums(self, sums: Sequence[NDArray[Any]]) -> None:
        """Keep the arrays that `sums_pass` returned for all blocks."""
        self._sums = dict(zip(self._names, map(self._sample.trimmed, sums), strict=True))

    @property
    def brier(self) -> Floats:
        """Mean squared error."""
        return _ratio(self._sums["loss"], self._rows, self._rows > 0)

    @property
    def scaled_brier(self) -> Floats:
        """Brier score scaled by the prevalence of the replicate."""
        return 1 - _ratio(self._sums["loss"] * self._rows, self._hit * self._miss, self._sample.defined)

    @property
    def log_loss(self) -> Floats:
        """Mean -log of the probability of the true label."""
        return _ratio(self._sums["nats"], self._rows, self._rows > 0)

    @property
    def oe_ratio(self) -> Floats:
        """Observed over expected positives."""
        expected = self._sums["expected"]
        return _ratio(self._hit, expected, expected > 0)

    @property
    def ece(self) -> Floats:
        """Calibration error over fixed equal-width bins."""
        index = bin_index(self._p, bin_edges(self._p, ECE_BINS, "uniform"))
        gaps = self._sample.group_totals(self._p - self._sample.positive, index, ECE_BINS)
        return _ratio(np.abs(gaps).sum(axis=0), self._rows, self._rows > 0)


class Refit:
    """The calibration line refitted in every replicate, (B,) each; nan where undefined."""

    def __init__(self, sample: Sample, p: Floats) -> None:
        self._sample, self._p = sample, p

    @cached_property
    def _lines(self) -> Lines:
        return line_replicates(self._sample, self._p)

    @property
    def calibration_slope(self) -> Floats:
        """Slope of the joint fit."""
        return self._lines.calibration_slope

    @property
    def calibration_intercept(self) -> Floats:
        """Intercept of the joint fit."""
        return self._lines.calibration_intercept

    @property
    def calibration_in_the_large(self) -> Floats:
        """Intercept with the slope fixed at 1."""
        return shift_replicates(self._sample, self._p)


DEPTH = {Engine.PAIRS: scan.PAIRS, Engine.PRECISION: scan.PRECISION, Engine.POINTS: scan.POINTS}
"""What the pass over the sorted images counts for an engine."""


def scan_depth(metrics: Iterable[Metric]) -> int:
    """Return what the pass over the sorted images must count for these metrics."""
    return max((DEPTH[m.replicates] for m in metrics if m.replicates in DEPTH), default=scan.PAIRS)


class Replicates:
    """Metrics of one score in every replicate, each by the engine that it declares.

    What several metrics share is computed once, when first needed.

    Args:
        sample: Labels and draws.
        scores: The same rows as the metrics take them.
        metrics: The metrics that will be requested.
        auroc: (B,) the AUROC in every replicate, where it was computed for several labels together.
    """

    def __init__(
        self,
        sample: Sample,
        scores: LabelledScores,
        metrics: Collection[Metric],
        auroc: Floats | None = None,
    ) -> None:
        self.sample, self._scores, self._depth = sample, scores, scan_depth(metrics)
        self._keys = [metric.key for metric in metrics]
        if auroc is not None:
            self.auroc = auroc

    @cached_property
    def _ranking(self) -> Ranking:
        return ranking_replicates(self.sample, self._scores.ranking, self._depth)

    def ranking_pass(self) -> Pass:
        """The pass over the draws that counts the ranking."""
        return _ranking_pass(self.sample, self._scores.ranking, self._depth)

    def keep_ranking(self, totals: Sequence[NDArray[Any]]) -> None:
        """Keep what `ranking_pass` counted in all blocks."""
        self._ranking = Ranking(self.sample, totals)

    @cached_property
    def sums(self) -> Fit:
        """Metrics that follow from sums over images."""
        return Fit(self.sample, self._scores.score, self._keys)

    @cached_property
    def _refit(self) -> Refit:
        return Refit(self.sample, self._scores.score)

    @cached_property
    def auroc(self) -> Floats:
        """(B,) AUROC."""
        if self._depth == scan.PAIRS:
            return auroc_replicates(self.sample, self._scores.ranking)
        return self._ranking.auroc

    def of(self, metric: Metric) -> Floats:
        """(B,) a metric in every replicate; nan where undefined."""
        values: Floats
        match metric.replicates:
            case Engine.PAIRS:
                return self.auroc
            case Engine.PRECISION | Engine.POINTS:
                values = getattr(self._ranking, metric.key)
            case Engine.SUMS:
                values = getattr(self.sums, metric.key)
            case Engine.REFIT:
                values = getattr(self._refit, metric.key)
            case _:
                values = self._loop(metric)
        return values

    def _loop(self, metric: Metric) -> Floats:
        """The metric of the rows of each replicate, repeated as often as their patient was drawn."""
        assert metric.value is not None
        sample, values = self.sample, np.full(self.sample.replicates, np.nan)
        for b, rows in enumerate(sample.resampled()):
            weight = None if sample.weight is None else sample.weight[rows]
            scores = LabelledScores(sample.positive[rows], self._scores.score[rows], weight)
            if len(rows) and not (metric.both_classes and scores.missing):
                value = metric.value(scores)
                values[b] = np.nan if value is None else value
        return values


def replicate_together(many: Sequence[Replicates], probabilities: bool) -> None:
    """Count the rankings of several scores on the same draws in one pass, and add up their sums over images.

    Their metrics then have the same bits as if each were computed when first needed, but the draws are read
    from memory once.

    Args:
        many: Replicates on the same draws.
        probabilities: Whether scores are probabilities, so that sums are needed.
    """
    if not many:
        return
    passes = [replicates.ranking_pass() for replicates in many]
    if probabilities:
        passes += [replicates.sums.sums_pass() for replicates in many]
    results = run_together(many[0].sample.blocks, passes)
    for replicates, totals in zip(many, results[: len(many)], strict=True):
        replicates.keep_ranking(totals)
    if probabilities:
        for replicates, sums in zip(many, results[len(many) :], strict=True):
            replicates.sums.keep_sums(sums)


def replicate(sample: Sample, score: ArrayLike, key: str) -> Floats:
    """Compute (B,) one metric in every replicate; nan where undefined.

    Raises:
        ValueError: An unknown metric, or scores that do not fit.
    """
    metric = registry.metric(key, registry.keys(*registry.BINARY))
    read = sample.probabilities if metric.needs is Needs.PROBABILITIES else sample.scores
    scores = LabelledScores(sample.positive, read(score), sample.weight)
    return Replicates(sample, scores, [metric]).of(metric)


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of all replicates, (B,) each; nan without a finite maximum-likelihood fit."""

    calibration_slope: Floats
    calibration_intercept: Floats


def line_replicates(sample: Sample, p: Floats) -> Lines:
    """Fit y on logit(p) in every replicate, each started from the line of all images."""
    x = logit(p)
    nothing = np.full(sample.replicates, np.nan)
    line = fit_line(sample.positive, x, sample.weight)
    if line is None:
        return Lines(nothing, nothing)
    centre = float(np.average(x, weights=sample.weight))
    width = float(np.sqrt(np.average((x - centre) ** 2, weights=sample.weight)))
    start = line.intercept + line.slope * centre, line.slope * width
    intercept, slope, done = _refined(sample, (x - centre) / width, *start, joint=True)
    slope /= width
    intercept -= slope * centre
    return Lines(np.where(done, slope, np.nan), np.where(done, intercept, np.nan))


def shift_replicates(sample: Sample, p: Floats) -> Floats:
    """(B,) calibration in the large; nan where a replicate holds one class only."""
    x = logit(p)
    shift = fit_shift(sample.positive, x, sample.weight)
    if shift is None:
        return np.full(sample.replicates, np.nan)
    intercept, _, done = _refined(sample, x, shift, 1.0, joint=False)
    return np.where(done, intercept, np.nan)


def _refined(
    sample: Sample, x: Floats, intercept: float, slope: float, *, joint: bool
) -> tuple[Floats, Floats, Bools]:
    """Intercepts, slopes and whether they converged, (B,) each.

    The first step needs no exponentials: at the common start gradient and information are sums over patients.
    """
    from bench.metrics.kernels.newton import newton_lines

    guess = expit(intercept + slope * x)
    influences, hold = sample.positive - guess, guess * (1 - guess)
    g0, g1, h00, h01, h11 = sample.totals([influences, influences * x, hold, hold * x, hold * x**2])
    with np.errstate(invalid="ignore", divide="ignore"):
        area = h00 * h11 - h01**2
        step = (h11 * g0 - h01 * g1) / area if joint else g0 / h00
        turn = (h00 * g1 - h01 * g0) / area if joint else np.zeros_like(g0)
    lanes = np.zeros((3, len(sample.blocks) * scan.LANES))
    lanes[0, : sample.replicates] = intercept + _short(step)
    lanes[1, : sample.replicates] = slope + _short(turn)
    lanes[2, : sample.replicates] = sample.defined
    starts, slopes, still_open = lanes.reshape(3, -1, scan.LANES)
    running = still_open > 0
    newton_lines(
        sample.blocks, sample.patient, x, sample.positive.astype(np.float64), sample.unit,
        starts, slopes, joint, running,
    )  # fmt: skip
    done = sample.defined & ~running.reshape(-1)[: sample.replicates]
    return sample.trimmed(starts), sample.trimmed(slopes), done


def _short(step: Floats) -> Floats:
    """Steps that are finite and at most 1."""
    return np.clip(np.nan_to_num(step, nan=0.0), -1, 1)
