"""Published part of a scorecard where the labels of a cohort are not public.

Every figure is an equation in the labels, so that figures of many entries can be solved for them. Where
labels are shared, a fixed set of figures is published with few digits; where they are private, the AUROC to
three decimals. ``make label-recovery`` measures how many entries an attacker needs in each case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from bench.choices import PUBLISHED_DIGITS, LabelMode
from bench.errors import BenchError, Problem
from bench.files import canonical_json, round_significant
from bench.metrics.results import Estimate
from bench.sandbox.reader import read_document
from bench.scoring.scorecard import (
    ContinuousScore,
    Point,
    RankInputs,
    Runs,
    Scorecard,
    SubgroupScore,
    TargetScore,
    require_scoring_version,
    sha256_or_empty,
)
from bench.submission.sealed import read_seal
from bench.submission.store import Submission
from bench.workspace import PUBLISHED

DECIMALS = 3
"""Decimals of the AUROC where labels are private."""
METRICS = ("auroc", "auprc", "brier", "calibration_slope", "calibration_intercept", "mae", "pearson")
"""Metrics that are published with their CI where labels are shared."""
CURVE_POINTS = 11
"""Points of a published curve at most, both ends included."""

C = TypeVar("C", bound=RankInputs)


def published_file(card: Scorecard, labels: LabelMode) -> bytes:
    """Return the content of ``published.json`` for a whole scorecard."""
    return canonical_json(published_card(card, labels).plain())


def published_card(card: Scorecard, labels: LabelMode) -> Scorecard:
    """Reduce a whole scorecard to what may be published.

    Args:
        card: The scorecard, with all digits.
        labels: Who has the labels.

    Returns:
        A scorecard in which withheld metrics are undefined, with the reason, and other parts are empty.
    """
    if labels is LabelMode.PUBLIC:
        return card
    shared = labels is LabelMode.SHARED
    return card.model_copy(
        update={
            "targets": tuple(_target(target, labels) for target in card.targets),
            "macro": _rounded(card.macro) if shared and card.macro else None,
            "continuous": tuple(map(_continuous, card.continuous)) if shared else (),
            "subgroups": tuple(_subgroup(s) for s in card.subgroups if s.target == card.headline)
            if shared
            else (),
            "sliding": (),
            "flags": card.flags if shared else (),
        }
    )


def figure_count(card: Scorecard) -> int:
    """Count the figures of a published scorecard that depend on labels and predictions."""
    estimates = [e for t in card.targets for e in (*t.metrics.values(), *t.estimands.values())]
    estimates += [e for measure in card.continuous for e in measure.metrics.values()]
    estimates += [e for subgroup in card.subgroups for e in subgroup.metrics.values()]
    estimates += [card.macro] if card.macro else []
    stated = sum(v is not None for e in estimates for v in (e.value, e.low, e.high))
    stated += sum(t.runs is not None and t.runs.sd is not None for t in card.targets)
    return stated + 2 * sum(max(len(c) - 2, 0) for t in card.targets for c in (t.roc, t.precision_recall))


def read_published(entry: Submission, model: type[C]) -> tuple[C, str]:
    """Read the published part of an entry's scorecard and the SHA-256 of its file.

    It must be of the entry's sealed predictions, and of the predictions themselves where they are there.

    Args:
        entry: The entry.
        model: `Scorecard`, or a model with a part of its fields.

    Raises:
        BenchError: Not scored yet (``not-scored``), damaged, or of other predictions (``scorecard-stale``).
    """
    path = entry.folder / PUBLISHED
    if not path.exists():
        raise BenchError(Problem("not-scored", f"Entry {entry.slug!r} has no {PUBLISHED}.", str(path)))
    card, sha256 = read_document(model, path, "scorecard-invalid")
    manifest, sealed = entry.manifest, read_seal(entry)
    stated = card.predictions_sha256, card.val_predictions_sha256
    known = [(sealed.predictions_sha256, sealed.val_predictions_sha256)] if sealed else []
    if entry.predictions.exists():
        known.append((sha256_or_empty(entry.predictions), sha256_or_empty(entry.val_predictions)))
    if (card.slug, card.track, card.scores) != (entry.slug, manifest.track, manifest.scores):
        message = f"{PUBLISHED} is of entry {card.slug!r}, {card.track}, {card.scores}."
    elif any(hashes != stated for hashes in known):
        message = (
            f"{PUBLISHED} of {entry.slug!r} was computed from other predictions than those that are stored."
        )
    else:
        require_scoring_version(card, path)
        return card, sha256
    raise BenchError(Problem("scorecard-stale", message, str(path)))


def _target(score: TargetScore, labels: LabelMode) -> TargetScore:
    shared = labels is LabelMode.SHARED
    ranked = {key: e for key, e in score.estimands.items() if e is score.ranked}
    return TargetScore(
        **{name: getattr(score, name) for name in _COUNTS},
        metrics=_metrics(score.metrics, labels, one_run=score.runs is None),
        estimands={key: _rounded(e) if shared else _decimals(e) for key, e in ranked.items()},
        roc=_coarse(score.roc) if shared else (),
        precision_recall=_coarse(score.precision_recall) if shared else (),
        runs=_runs(score.runs, labels) if score.runs else None,
    )


def _runs(runs: Runs, labels: LabelMode) -> Runs:
    """The number of runs, and where labels are shared the spread of their AUROCs; none of a single run."""
    shown = runs.sd if labels is LabelMode.SHARED else None
    return Runs(count=runs.count, auroc=(), sd=None if shown is None else round_significant(shown, 2))


_COUNTS = (
    "target",
    "label",
    "images",
    "excluded",
    "patients",
    "positives",
    "positive_patients",
    "prevalence",
)


def _metrics(
    metrics: Mapping[str, Estimate], labels: LabelMode, *, one_run: bool = True
) -> dict[str, Estimate]:
    """Metrics as published; of several runs the mean AUROC is published, and that of none where private."""
    withheld = Estimate(value=None, reason=f"withheld: the labels are {labels}")
    if labels is LabelMode.PRIVATE:
        shown = ("auroc",) if one_run else ()
        return {key: _decimals(e) if key in shown else withheld for key, e in metrics.items()}
    return {key: _rounded(e) if key in METRICS else withheld for key, e in metrics.items()}


def _continuous(score: ContinuousScore) -> ContinuousScore:
    return score.model_copy(update={"metrics": _metrics(score.metrics, LabelMode.SHARED)})


def _subgroup(score: SubgroupScore) -> SubgroupScore:
    metrics = {key: _rounded(e) for key, e in score.metrics.items() if key == "auroc"}
    return score.model_copy(update={"metrics": metrics, "decisions": {}, "gaps": {}})


def _rounded(estimate: Estimate) -> Estimate:
    """Value and interval with few digits, nothing else but words."""
    value, low, high = (
        None if v is None else round_significant(v, PUBLISHED_DIGITS) for v in _limits(estimate)
    )
    method, reason, warnings = estimate.method, estimate.reason, estimate.warnings
    return Estimate(value, low, high, method=method, reason=reason, warnings=warnings)


def _decimals(estimate: Estimate) -> Estimate:
    if estimate.value is None:
        return Estimate(value=None, reason="undefined")
    return replace(
        Estimate(round(estimate.value, DECIMALS)), reason="interval withheld: the labels are private"
    )


def _limits(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    return estimate.value, estimate.low, estimate.high


def _coarse(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """At most `CURVE_POINTS` of the points, evenly spread, with few digits."""
    last, count = len(points) - 1, min(len(points), CURVE_POINTS)
    places = [round(i * last / (count - 1)) for i in range(count)] if count > 1 else list(range(count))
    return tuple(_rounded_point(points[place]) for place in places)


def _rounded_point(point: Point) -> Point:
    return Point(
        x=round_significant(point.x, PUBLISHED_DIGITS), y=round_significant(point.y, PUBLISHED_DIGITS)
    )


def rounded_numbers(fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the named numbers of a document with few digits."""
    return {n: None if fields[n] is None else round_significant(fields[n], PUBLISHED_DIGITS) for n in names}
