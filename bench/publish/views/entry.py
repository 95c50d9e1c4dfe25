"""View of an entry: status words, tables, charts, provenance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from markupsafe import Markup

from bench.board.format import decimal, estimate, interval, metric_label, percent, plural, rank_text, sentence
from bench.board.model import Entry, LoadedBoard, SameRanking, Standing
from bench.board.speed_words import share_of_limit, verdict, work_cells
from bench.choices import LabelMode, Track
from bench.metrics import registry
from bench.metrics.results import Estimate
from bench.publish.charts.calibration import distribution, reliability, small_reliability
from bench.publish.charts.curves import Curve, decision, precision_recall, roc
from bench.publish.charts.forest import ForestRow, forest
from bench.publish.charts.icons import MASK
from bench.publish.exports import bibtex
from bench.publish.views.among import (
    NONE_RANKED,
    RankedAurocs,
    among,
    calibration_verdict,
    expected_ratio,
    expected_text,
)
from bench.publish.views.audit import audit_view, reference_rows
from bench.publish.views.board import Fact
from bench.publish.views.clinical import clinical_view
from bench.publish.views.patients import CHOSEN, Frequencies, frequencies
from bench.scoring.scorecard import Point, Scorecard, SubgroupScore, TargetScore
from bench.submission.manifest import NOT_STATED, Manifest
from bench.timing.record import TimingRecord
from bench.workspace import SITE_TITLE

CHART_TARGETS = 6
"""Targets drawn on an entry's page, the headline first; the curves of all are in the entry's JSON."""

T = TypeVar("T")
Charts = list[tuple[str, Markup]]

_xy = attrgetter("x", "y")


def entry_view(
    loaded: LoadedBoard,
    entry: Entry,
    standings: dict[str, Standing],
    same_ranking: Sequence[tuple[str, SameRanking]],
    ranked: Mapping[str, RankedAurocs],
    address: str = "",
    site: str = SITE_TITLE,
) -> dict[str, Any]:
    """The template's values for one entry.

    Args:
        loaded: The board.
        entry: The entry, its scorecard whole.
        standings: Target → where it stands.
        same_ranking: Label of the target and group, for each group that the entry is in.
        ranked: Target → `ranked_aurocs` of the entry's track.
        address: Where the page will stand; empty where that is not known.
        site: Name of the site.
    """
    card = entry.card(Scorecard)
    scores = _headline_first(card, loaded.spec.headline) if card else ()
    labels = {t.name: t.label for t in loaded.spec.targets}
    thousand = frequencies(scores[0] if scores else None)
    count = len(ranked.get(loaded.spec.headline, NONE_RANKED).values)
    headline = standings.get(loaded.spec.headline)
    return {
        "slug": entry.slug,
        "manifest": entry.manifest,
        "retraction": entry.retraction,
        "card": card,
        "stamp": card.stamp if card else None,
        "cohort_id": loaded.spec.id,
        "labels": {**labels, "macro": "Mean of the findings"},
        "headline_label": labels[loaded.spec.headline],
        "status": _status(entry, headline),
        "is_leader": headline is not None and headline.rank == 1,
        "rank_sentence": "" if entry.retraction else _rank_sentence(headline, count),
        "flags": _by_findings(
            ((flag.label[0].upper() + flag.label[1:], flag.message), labels.get(flag.target, flag.target))
            for flag in (*(card.flags if card else ()), *(f for s in standings.values() for f in s.flags))
        ),
        "ranked_at_all": loaded.spec.headline in standings,
        "same_ranking": _by_findings(
            ((group.identical, tuple(s for s in group.slugs if s != entry.slug)), label)
            for label, group in same_ranking
        ),
        "metrics": [
            key
            for key, metric in registry.metrics().items()
            if metric.summary and any(key in score.metrics for score in scores)
        ],
        "scores": [(score, _rank(standings.get(score.target))) for score in scores],
        "every_metric": _every_metric(scores),
        "level": f"{100 * card.level:g}%" if card else "",
        "on_all": entry.manifest.track == Track.CV5,
        "charts": _charts(scores, pooled=entry.manifest.track == Track.CV5),
        "left_out": max(len(scores) - CHART_TARGETS, 0),
        "facts": _facts(loaded, scores, standings, card, count, thousand),
        "answer": _answer(scores, standings),
        "thousand": thousand,
        "thousand_mask": MASK,
        "calibrations": _calibrations(scores),
        "reason_uncalibrated": _uncalibrated(scores, loaded.spec.labels),
        **among(loaded, entry, scores, standings, ranked),
        "model_card": _model_card(entry),
        "continuous_metrics": _ordered({m for c in card.continuous for m in c.metrics}) if card else [],
        **_subgroups(card, loaded.spec.headline),
        "reference_rows": reference_rows(loaded.board, scores, standings),
        **audit_view(card, scores, loaded.spec.headline),
        **clinical_view(card, scores, loaded.spec.headline),
        "timings": [
            (record, row, *verdict(row), *share_of_limit(record, row))
            for record in entry.timings
            for row in record.batches
        ],
        "work": [words for record in entry.timings for words in _work(record, labels)],
        "provenance": _provenance(entry),
        "bibtex": bibtex(entry, loaded.spec, address, site),
    }


def _by_findings(said: Iterable[tuple[T, str]]) -> list[tuple[T, str]]:
    """What is said, once each, with the findings that it is said of."""
    findings: dict[T, list[str]] = {}
    for what, finding in said:
        findings.setdefault(what, []).append(finding)
    return [(what, ", ".join(filter(None, of))) for what, of in findings.items()]


def _facts(
    loaded: LoadedBoard,
    scores: Sequence[TargetScore],
    standings: Mapping[str, Standing],
    card: Scorecard | None,
    ranked: int,
    thousand: Sequence[Frequencies],
) -> list[Fact]:
    """Rank, patients found at 90% sensitivity, mean AUROC, cases expected: those that are known."""
    if card is None or not scores:
        return []
    first, facts = scores[0], []
    standing = standings.get(loaded.spec.headline)
    if standing is not None and standing.rank is not None:
        more = f"could be {rank_text(standing)}" if standing.rank_low is not None else "by rounded AUROC"
        facts.append(Fact(f"Rank, {first.label}", f"{standing.rank} of {ranked}", more))
    at_90 = next((f for f in thousand if f.wanted == percent(CHOSEN, 0)), None)
    if at_90 is not None:
        figure = f"{at_90.found} of {at_90.found + at_90.missed}"
        facts.append(
            Fact("Found at 90% sensitivity", figure, f"per 1,000 patients, with {at_90.alarms} false alarms")
        )
    if card.macro is not None and card.macro.value is not None:
        limits = interval(card.macro.low, card.macro.high)
        more = f"{100 * card.level:g}% CI {limits}" if limits else "no interval"
        facts.append(Fact("Mean AUROC of the findings", decimal(card.macro.value), more))
    if expected_ratio(first) is not None:
        facts.append(
            Fact("Cases expected", f"{expected_text(first)} the real number", _expected_words(first))
        )
    return facts


def _expected_words(score: TargetScore) -> str:
    ratio = score.metrics["oe_ratio"]
    fits = ratio.low is not None and ratio.high is not None and ratio.low <= 1 <= ratio.high
    return "agrees with the real number" if fits else "recalibrate before reading as risk"


def _answer(scores: Sequence[TargetScore], standings: Mapping[str, Standing]) -> str:
    """On how many targets the entry has the highest AUROC."""
    best = [s.label for s in scores if (standing := standings.get(s.target)) and standing.rank == 1]
    if not best or len(scores) < 2:
        return ""
    if len(best) == len(scores):
        return "Highest AUROC on every finding."
    return f"Highest AUROC on {len(best)} of {len(scores)} findings: {', '.join(best)}."


def _calibrations(scores: Sequence[TargetScore]) -> list[tuple[str, str, Markup]]:
    """Label, verdict in words, and drawing of every target with a calibration curve."""
    judged = [(score, calibration_verdict(score)) for score in scores if score.reliability]
    return [(s.label, words, small_reliability(s.reliability, s.label, words)) for s, words in judged]


def _uncalibrated(scores: Sequence[TargetScore], labels: LabelMode) -> str:
    """Reason why calibration cannot be judged."""
    if labels is not LabelMode.PUBLIC:
        return f"Calibration curves are withheld: the labels are {labels}."
    reasons = (
        s.metrics["brier"].reason for s in scores if "brier" in s.metrics and s.metrics["brier"].reason
    )
    return sentence(next(reasons, ""))


def _model_card(entry: Entry) -> list[tuple[str, str]]:
    """Statements of the authors about the model; `not stated` where they say nothing."""
    manifest = entry.manifest
    return [
        ("Kind", manifest.kind),
        ("Score type", manifest.scores),
        ("Team", manifest.team),
        ("Inputs", ", ".join(manifest.inputs)),
        ("Trained on", manifest.training_data),
        ("Other data", manifest.external_data),
        ("Pretrained weights", manifest.pretrained_weights),
        ("Parameters", NOT_STATED if manifest.parameters is None else f"{manifest.parameters:,}"),
        ("Licence", manifest.licence),
        *_further_declarations(manifest),
    ]


def _further_declarations(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Declarations that only some entries make; left out elsewhere."""
    if manifest.image_size is not None:
        source = manifest.upsampled_from
        enlarged = f", upsampled from {source:,}" if source is not None else ""
        yield "Image size", f"{manifest.image_size:,} pixels{enlarged}"
    if manifest.zero_shot is not None:
        yield "Zero-shot", "yes" if manifest.zero_shot else "no"
    if record := manifest.embeddings:
        yield "Embeddings", f"{record.dimension:,} features, {record.dtype}; head fitted here"


def _headline_first(card: Scorecard, headline: str) -> tuple[TargetScore, ...]:
    return tuple(sorted(card.targets, key=lambda score: score.target != headline))


def _every_metric(scores: Sequence[TargetScore]) -> list[tuple[str, list[tuple[str, str]]]]:
    """All metrics, then the other two views of AUROC: (words, one value and reason for each label)."""
    names = _ordered({name for score in scores for name in score.metrics})
    rows = [(metric_label(name), [_value(score.metrics.get(name)) for score in scores]) for name in names]
    views = _ordered({name for score in scores for name in score.estimands})
    return rows + [(metric_label(v), [_value(score.estimands.get(v)) for score in scores]) for v in views]


def _ordered(keys: set[str]) -> list[str]:
    """Metrics and views in the order of the registry, those it does not know last."""
    known = [key for key in registry.described() if key in keys]
    return [*known, *sorted(keys.difference(known))]


def _value(shown: Estimate | None) -> tuple[str, str]:
    """A metric with its interval, and why it is undefined."""
    undefined = shown is not None and shown.value is None
    return estimate(shown), sentence(shown.reason or "undefined") if undefined and shown else ""


def _rank(standing: Standing | None) -> str:
    return rank_text(standing) if standing else "–"


def _rank_sentence(standing: Standing | None, ranked: int) -> str:
    if standing is None:
        return "Not on the board."
    if standing.rank is None:
        return f"Not ranked: {standing.unranked_reason or 'no reason given'}.".replace("..", ".")
    low, high = standing.rank_low or standing.rank, standing.rank_high or standing.rank
    words = f"Rank {low}" if low == high else f"Rank {low} to {high}"
    return f"{words} of {ranked}{', may be first' if standing.may_be_first and low < high else ''}."


def _status(entry: Entry, standing: Standing | None) -> list[str]:
    words = ["Predictions re-scored here" if entry.scorecard else "Reported, not re-scored"]
    if entry.timings:
        ranked = any(row.ranked for record in entry.timings for row in record.batches)
        words.append("Speed measured here" if ranked else "Speed measured here, not ranked")
    if entry.registered is not None:
        words.append(f"Pre-registered {entry.registered.isoformat()}")
    if standing is not None and standing.rank is None:
        words.append("Not ranked")
    if entry.manifest.scores == "uncalibrated":
        words.append("Uncalibrated scores")
    if entry.manifest.track == Track.CV5:
        words.append("Five-fold track")
    return words


def _charts(scores: Sequence[TargetScore], *, pooled: bool) -> Charts:
    shown = scores[:CHART_TARGETS]
    charts: Charts = []
    curves = [_curve(s, s.roc, "auroc") for s in shown if s.roc]
    if curves:
        caption = f"ROC, {plural(len(curves), 'finding')}"
        if pooled:
            caption += ", over all folds together; the ranked AUROC is the average over the folds"
        charts.append((caption, roc(curves)))
    recall = [s for s in shown if s.precision_recall]
    if recall:
        drawing = precision_recall(
            [_curve(s, s.precision_recall, "auprc") for s in recall], [s.prevalence for s in recall]
        )
        charts.append(("Precision-recall; dashed lines are the prevalences", drawing))
    for score in shown[:1]:
        if score.reliability:
            caption = f"{score.label}: reliability with 95% intervals, images per bin below"
            charts.append((caption, reliability(score.reliability, score.label)))
    for score in shown[:1]:
        if score.distribution:
            charts.append((f"{score.label}: scores by class", distribution(score.distribution, score.label)))
    if shown and shown[0].decision:
        caption = f"{shown[0].label}: decision curve with 95% intervals"
        if shown[0].decision_warning:
            caption += f"; warning: {shown[0].decision_warning}"
        charts.append((caption, decision(shown[0].decision, shown[0].label)))
    return charts


def _curve(score: TargetScore, points: Sequence[Point], metric: str) -> Curve:
    summary = score.metrics.get(metric)
    return Curve(score.label, tuple(map(_xy, points)), summary.value if summary else None)


def _subgroups(card: Scorecard | None, headline: str) -> dict[str, Any]:
    groups = [g for g in card.subgroups if g.target == headline] if card else []
    shown = [g for g in groups if not g.suppressed and "auroc" in g.metrics]
    overall = card.target(headline) if card else None
    auroc = overall.metrics.get("auroc") if overall else None
    chart = forest(
        [_subgroup_row(group) for group in shown],
        title=f"AUROC by subgroup, {overall.label if overall else headline}",
        axis_label="AUROC (95% CI); the dashed line is all images",
        reference=auroc.value if auroc else None,
    )
    return {
        "subgroups": groups,
        "subgroup_chart": chart if shown else "",
        "suppressed": _suppressed([g for g in groups if g not in shown]),
    }


def _suppressed(groups: Sequence[SubgroupScore]) -> list[str]:
    """The levels that are not shown, those with one reason together."""
    levels: dict[str, list[str]] = {}
    for group in groups:
        levels.setdefault(group.reason.rstrip(".") or "not scored", []).append(group.level)
    return [f"{', '.join(names)} ({reason})" for reason, names in levels.items()]


def _subgroup_row(group: SubgroupScore) -> ForestRow:
    auroc = group.metrics["auroc"]
    note = f"n = {group.images:,}" if group.images is not None else ""
    return ForestRow(
        group.level,
        auroc.value,
        auroc.low,
        auroc.high,
        note=note if auroc.value is not None else auroc.reason,
    )


def _work(record: TimingRecord, labels: dict[str, str]) -> Iterator[str]:
    """Cost of an image at one setting and what limits it; the AUROC of a precision scored by itself."""
    setting = f"{record.backend_label}, {record.precision}, {record.device}"
    if cells := work_cells(record.roofline):
        mflop, image, weights, _, gflop_per_s, gb_per_s = cells
        yield (
            f"{setting}: {mflop} MFLOP and {image} MB an image, {weights} MB of weights a batch; the device "
            f"was seen to reach {gflop_per_s} GFLOP/s and {gb_per_s} GB/s."
        )
    if record.own_auroc:
        values = (f"{labels.get(t, t)} {decimal(value)}" for t, value in record.own_auroc.items())
        yield f"{setting}: AUROC of its own predictions {', '.join(values)}."


def _provenance(entry: Entry) -> list[tuple[str, str]]:
    manifest, card = entry.manifest, entry.scorecard
    rows: list[tuple[str, str]] = []
    if manifest.recalibration is not None:
        rows.append(("Recalibration", f"{manifest.recalibration}, fitted on val"))
    if card is not None:
        rows += [
            ("Predictions", f"sha256:{card.predictions_sha256}"),
            (
                "Scored by",
                f"chexchobench {card.harness_version}, scoring version {card.scoring_version}, "
                f"seed {card.seed}, {card.replicates:,} replicates",
            ),
        ]
    if entry.attempts:
        days = ", ".join(attempt.date.isoformat() for attempt in entry.attempts[-5:])
        rows.append(
            (
                "Scored attempts",
                f"{len(entry.attempts)} of this entry ({days}), {len(entry.team_attempts)} of the team",
            )
        )
    for record in entry.timings:
        rows.append(
            (
                "Timed",
                f"{record.measured_on.isoformat()}, {record.backend_label}, {record.device}, "
                f"{record.protocol.name} protocol, model sha256:{record.model_sha256}",
            )
        )
    return rows
