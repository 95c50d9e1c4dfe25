"""Metrics in every replicate of a patient bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics import registry
from bench.metrics.calibration import bin_edges, bin_index, pointwise_log_loss
from bench.metrics.kernels import scan
from bench.metrics.metric import Engine, Metric, Needs
from bench.metrics.prepared import LabelledScores
from bench.metrics.registry import ECE_BINS
from bench.metrics.validation import Floats
from bench.uncertainty.ranking import Ranking, auroc_replicates, ranking_pass, ranking_replicates, ratio
from bench.uncertainty.refit import Refit
from bench.uncertainty.sample import Pass, Sample, run_together

Term = Callable[[LabelledScores], Floats]
"""What is summed over the images for a metric, (n,)."""


def _squared_errors(scores: LabelledScores) -> Floats:
    return scores.squared_errors


def _log_losses(scores: LabelledScores) -> Floats:
    return pointwise_log_loss(scores.positive, scores.score)


def _probabilities(scores: LabelledScores) -> Floats:
    return scores.score


TERMS: dict[str, Term] = {
    "brier": _squared_errors,
    "scaled_brier": _squared_errors,
    "log_loss": _log_losses,
    "oe_ratio": _probabilities,
}
"""Metric → the term whose sum it follows from."""


class Fit:
    """Metrics of probabilities in every replicate, (B,) each; nan where undefined.

    All follow from sums over images, which are products of the multiplicities with per-patient sums.

    Args:
        sample: Labels and draws.
        scores: The same rows with their probabilities.
        keys: Metrics that will be requested; their sums are computed together, when first needed.
    """

    def __init__(self, sample: Sample, scores: LabelledScores, keys: Iterable[str]) -> None:
        self._sample, self._scores = sample, scores
        self._hit, self._miss = sample.classes
        self._rows = self._hit + self._miss
        self._terms = list(dict.fromkeys(TERMS[key] for key in keys if key in TERMS))

    @property
    def _columns(self) -> list[Floats]:
        return [term(self._scores) for term in self._terms]

    @cached_property
    def _sums(self) -> dict[Term, Floats]:
        return dict(zip(self._terms, self._sample.totals(self._columns), strict=True))

    def sums_pass(self) -> Pass:
        """The pass over the draws that adds up the sums of the requested metrics."""
        return self._sample.totals_pass(self._columns)

    def keep_sums(self, sums: Sequence[NDArray[Any]]) -> None:
        """Keep the arrays that `sums_pass` returned for all blocks."""
        self._sums = dict(zip(self._terms, map(self._sample.trimmed, sums), strict=True))

    @property
    def brier(self) -> Floats:
        """Mean squared error."""
        return ratio(self._sums[_squared_errors], self._rows, self._rows > 0)

    @property
    def scaled_brier(self) -> Floats:
        """Brier score scaled by the prevalence of the replicate."""
        return 1 - ratio(
            self._sums[_squared_errors] * self._rows, self._hit * self._miss, self._sample.defined
        )

    @property
    def log_loss(self) -> Floats:
        """Mean -log of the probability of the true label."""
        return ratio(self._sums[_log_losses], self._rows, self._rows > 0)

    @property
    def oe_ratio(self) -> Floats:
        """Observed over expected positives."""
        expected = self._sums[_probabilities]
        return ratio(self._hit, expected, expected > 0)

    @property
    def ece(self) -> Floats:
        """Calibration error over fixed equal-width bins."""
        p = self._scores.score
        index = bin_index(p, bin_edges(p, ECE_BINS, "uniform"))
        gaps = self._sample.group_totals(p - self._sample.positive, index, ECE_BINS)
        return ratio(np.abs(gaps).sum(axis=0), self._rows, self._rows > 0)


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
        return ranking_pass(self.sample, self._scores.ranking, self._depth)

    def keep_ranking(self, totals: Sequence[NDArray[Any]]) -> None:
        """Keep what `ranking_pass` counted in all blocks."""
        self._ranking = Ranking(self.sample, totals)

    @cached_property
    def sums(self) -> Fit:
        """Metrics that follow from sums over images."""
        return Fit(self.sample, self._scores, self._keys)

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
