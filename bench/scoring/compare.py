"""Two entries or files on the same images: paired differences, calibration and calls, target by target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.studies import combine_views
from bench.documents import Document
from bench.errors import BenchError, Problem
from bench.metrics import registry
from bench.metrics.metric import Needs
from bench.metrics.results import Estimate
from bench.metrics.validation import Floats
from bench.scoring.plan import Plan, TargetPlan, make_plan
from bench.scoring.score import ranked_auroc
from bench.submission.check_predictions import (
    Predictions,
    check_predictions,
    covered_rows,
    load_predictions,
)
from bench.submission.manifest import SLUG_PATTERN
from bench.submission.packed import read_runs, read_units
from bench.submission.store import find_submission
from bench.submission.tables import PredictionTable
from bench.uncertainty.compare import SE_TOLERANCE, compare, p_value
from bench.uncertainty.curves import net_benefit_difference
from bench.uncertainty.evaluate import evaluate
from bench.uncertainty.family import compare_all_pairs
from bench.uncertainty.folds import compare_fold_averaged, fold_averaged_auroc


class Disagreement(Document):
    """Images that one side calls positive and the other does not.

    Each side calls as many images positive as there are positives.
    """

    positives_only_a: int
    positives_only_b: int
    negatives_only_a: int
    negatives_only_b: int

    @property
    def images(self) -> int:
        """Images on which the two differ."""
        return self.positives_only_a + self.positives_only_b + self.negatives_only_a + self.negatives_only_b


class MetricComparison(Document):
    """A paired difference A − B of one metric; null with a reason where undefined."""

    metric: str
    a: Estimate
    b: Estimate
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    reason: str = ""
    warnings: tuple[str, ...] = ()


class BenefitComparison(Document):
    """Net benefit of A minus that of B at one threshold; no limits where both act on the same images."""

    threshold: float
    difference: float
    low: float | None
    high: float | None


class TargetComparison(Document):
    """One target: every metric of both sides, net benefit at thresholds, and where they disagree.

    Attributes:
        identical: Whether both sides predict the same value for every image, in every run.
    """

    target: str
    label: str
    identical: bool = False
    metrics: tuple[MetricComparison, ...]
    net_benefit: tuple[BenefitComparison, ...] = ()
    net_benefit_warning: str = ""
    disagreement: Disagreement

    def metric(self, name: str) -> MetricComparison:
        """The comparison of one metric."""
        return next(m for m in self.metrics if m.metric == name)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    Attributes:
        values: Target → predictions in canonical order of the track's images.
        track: Which images they are.
        probabilities: Whether calibration can be requested.
        unrecorded: SHA-256 of predictions that are no entry; empty for an entry, which the ledger counts.
        further_runs: The values of the further runs of an entry of several; `values` are those of the first.
    """

    values: dict[str, Floats]
    track: Track
    probabilities: bool
    unrecorded: str = ""
    further_runs: tuple[dict[str, Floats], ...] = ()

    def runs(self, target: TargetPlan) -> list[Floats]:
        """The predictions of the target's images by each run, (n,) each."""
        return [values[target.target.name][target.rows] for values in (self.values, *self.further_runs)]

    def scores(self, target: TargetPlan) -> Floats:
        """(n,) predictions of the target's images."""
        return self.values[target.target.name][target.rows]


def names_entry(name: str) -> bool:
    """Return whether a side is an entry by its slug, rather than a file."""
    return re.fullmatch(SLUG_PATTERN, name) is not None and not Path(name).is_file()


def read_either(name: str, folder: Path, cohort: Cohort) -> Side:
    """The predictions of a stored entry (by slug) or of a file; scores need not be probabilities.

    Raises:
        BenchError: Neither an entry nor a valid file.
    """
    if not names_entry(name):
        predictions = load_predictions(Path(name), cohort, scores="uncalibrated")
        return _side(predictions, cohort, predictions.source_sha256)
    entry = find_submission(folder, name)
    if entry.manifest.kind == "reported":
        message = f"{name!r} holds published numbers only, no predictions."
        raise BenchError(Problem("compare-impossible", message))
    manifest = entry.manifest
    first = read_units(entry.predictions, cohort, manifest.track)
    further = read_runs(entry.runs, first, cohort, manifest.track)
    return Side(first.values, manifest.track, manifest.scores == "probability", further_runs=further)


def side_of_table(table: PredictionTable, cohort: Cohort) -> Side:
    """Predictions of the test images in memory; scores need not be probabilities.

    Raises:
        BenchError: Every fault of the predictions.
    """
    return _side(check_predictions(table.raw, table.where, cohort, "uncalibrated"), cohort, table.sha256)


def _side(predictions: Predictions, cohort: Cohort, sha256: str) -> Side:
    """Predictions of the test images; they count as probabilities where all binary targets lie in [0, 1]."""
    binary = [predictions.values[t.name] for t in cohort.spec.binary_targets if t.name in predictions.values]
    values = combine_views(cohort, covered_rows(cohort, Track.HOLDOUT), predictions.values)
    probabilities = all((v.min() >= 0) and (v.max() <= 1) for v in binary)
    return Side(values, Track.HOLDOUT, probabilities, sha256)


def compare_predictions(
    cohort: Cohort, a: Side, b: Side, *, replicates: int = 2000, seed: int = 0
) -> list[TargetComparison]:
    """Compare two sides on every binary target that both predict.

    Raises:
        BenchError: The sides are of different tracks, or share no target (``compare-impossible``).
    """
    if a.track != b.track:
        message = f"A is of the {a.track} track, B of the {b.track} track: they predict different images."
        raise BenchError(Problem("compare-impossible", message))
    plan = make_plan(cohort, track=a.track, replicates=replicates, seed=seed)
    probabilities = a.probabilities and b.probabilities
    comparisons = [
        _compare(plan, target, a, b, probabilities)
        for target in plan.targets
        if target.target.name in a.values and target.target.name in b.values
    ]
    if not comparisons:
        raise BenchError(Problem("compare-impossible", "The two share no target."))
    return comparisons


def _compare(plan: Plan, target: TargetPlan, a: Side, b: Side, probabilities: bool) -> TargetComparison:
    """Compare one target; of out-of-fold scores, which share no scale, only the fold-averaged AUROC."""
    y, boot, averaged = target.labels, target.bootstrap, plan.track == "cv5"
    p_a, p_b = a.scores(target), b.scores(target)
    shown = {key: m for key, m in registry.metrics(*registry.BINARY).items() if m.summary}
    both = [evaluate(y, p, bootstrap=boot, probabilities=probabilities, metrics=shown) for p in (p_a, p_b)]
    metrics = [_mean_of_runs(plan, target, a, b)] if a.further_runs or b.further_runs else []
    metrics += [_fold_averaged(target, p_a, p_b)] if averaged else []
    for name, declared in shown.items():
        line = MetricComparison(metric=name, a=both[0][name], b=both[1][name])
        defined = probabilities or declared.needs is not Needs.PROBABILITIES
        if declared.comparable and defined and not averaged:
            pair = compare(y, p_a, p_b, metric=name, bootstrap=boot)
            line = line.model_copy(
                update={
                    "difference": pair.difference,
                    "low": pair.low,
                    "high": pair.high,
                    "p_value": pair.p,
                    "reason": pair.reason,
                    "warnings": pair.warnings,
                }
            )
        metrics.append(line)
    benefit, caution = _net_benefit(target, p_a, p_b) if probabilities and not averaged else ((), "")
    return TargetComparison(
        target=target.target.name,
        label=target.target.label,
        identical=_identical(a.runs(target), b.runs(target)),
        metrics=tuple(metrics),
        net_benefit=benefit,
        net_benefit_warning=caution,
        disagreement=_disagreement(y, p_a, p_b),
    )


SHOWN_THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Thresholds at which net benefit is compared."""


def _net_benefit(target: TargetPlan, p_a: Floats, p_b: Floats) -> tuple[tuple[BenefitComparison, ...], str]:
    """Net benefit of a minus that of b at the shown thresholds, and the warnings of its intervals."""
    differences = net_benefit_difference(target.labels, p_a, p_b, target.bootstrap, SHOWN_THRESHOLDS)
    points = tuple(
        BenefitComparison(
            threshold=threshold, difference=estimate.value or 0.0, low=estimate.low, high=estimate.high
        )
        for threshold, estimate in zip(SHOWN_THRESHOLDS, differences, strict=False)
    )
    return points, "; ".join(
        dict.fromkeys(warning for estimate in differences for warning in estimate.warnings)
    )


def _identical(a: list[Floats], b: list[Floats]) -> bool:
    """Return whether two sides hold equal predictions in every run."""
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def _mean_of_runs(plan: Plan, target: TargetPlan, a: Side, b: Side) -> MetricComparison:
    """Compare what the board ranks: the mean over the runs of each side.

    The replicates of a mean hold the choice of runs besides that of patients, so interval and p-value do too.
    """
    both = [ranked_auroc(plan, target, side.runs(target)) for side in (a, b)]
    first, second = (area.estimate for area in both)
    undefined = next((e.reason for e in (first, second) if e.value is None or e.low is None), None)
    if undefined is not None:
        return MetricComparison(metric="mean_of_runs", a=first, b=second, reason=undefined)
    values = [first.value or 0.0, second.value or 0.0]
    pair = compare_all_pairs(
        [area.replicates for area in both], values, [area.influence for area in both], bounds=(0, 1)
    )
    low, high = (float(limits[0]) for limits in pair.unadjusted_interval(1))
    return MetricComparison(
        metric="mean_of_runs",
        a=first,
        b=second,
        difference=values[0] - values[1],
        low=low,
        high=high,
        p_value=float(pair.p[0, 1]),
    )


def _fold_averaged(target: TargetPlan, p_a: Floats, p_b: Floats) -> MetricComparison:
    y, fold, boot = target.labels, target.folds, target.bootstrap
    a, b = (fold_averaged_auroc(y, p, fold, boot).estimate for p in (p_a, p_b))
    pair = compare_fold_averaged(y, p_a, p_b, fold, boot)
    same = pair.se is not None and pair.se < SE_TOLERANCE
    return MetricComparison(
        metric="fold_averaged",
        a=a,
        b=b,
        difference=pair.value,
        low=pair.value if same else pair.low,
        high=pair.value if same else pair.high,
        p_value=None if pair.value is None else 1.0 if same else p_value(pair),
        reason=pair.reason,
    )


def _disagreement(y: Floats, p_a: Floats, p_b: Floats) -> Disagreement:
    positives = int(y.sum())
    calls = []
    for p in (p_a, p_b):
        call = np.zeros(len(p), bool)
        call[np.argsort(-p, kind="stable")[:positives]] = True
        calls.append(call)
    only_a, only_b = calls[0] & ~calls[1], calls[1] & ~calls[0]
    return Disagreement(
        positives_only_a=int((only_a & (y == 1)).sum()),
        positives_only_b=int((only_b & (y == 1)).sum()),
        negatives_only_a=int((only_a & (y == 0)).sum()),
        negatives_only_b=int((only_b & (y == 0)).sum()),
    )
