"""View of an entry beyond its metrics: decisions at thresholds, recalibration, gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.board.format import decimal, difference_interval, estimate, p_text, percent, sentence
from bench.board.model import Board, Standing
from bench.choices import Track
from bench.metrics import registry
from bench.metrics.metric import Metric, Needs
from bench.metrics.results import Estimate
from bench.scoring.scorecard import OperatingPoint, Scorecard, TargetScore


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its words, and its cells as text."""

    words: str
    cells: tuple[str, ...]


def audit_view(card: Scorecard | None, scores: Sequence[TargetScore], headline: str) -> dict[str, Any]:
    """The template's values; empty tables where there is nothing to show.

    Args:
        card: The entry's scorecard, None for a reported entry.
        scores: Its targets in the order of the page.
        headline: The target whose subgroups are shown.
    """
    shown = [m for m in registry.metrics().values() if m.summary and m.needs is Needs.PROBABILITIES]
    gaps = [m for m in registry.metrics().values() if m.subgroup_gap]
    rows = _gaps(card, headline, gaps)
    shares = [m for m in registry.metrics().values() if m.needs is Needs.DECISIONS]
    own_images = "all images" if card and card.track == Track.CV5 else "test images"
    recalibrated = [row for score in scores for row in _recalibrated(score, shown)]
    return {
        "points": [row for score in scores for row in _points(score, own_images, shares)],
        "chosen_on": {point.chosen_on for score in scores for point in score.operating_points},
        "own_images": own_images,
        "moved": max((p.moved for score in scores for p in score.operating_points), default=0),
        "recalibrated": recalibrated,
        "shares": [metric.short_label for metric in shares],
        "recalibrated_metrics": [metric.label for metric in shown],
        "gaps": [(division, row) for division, row, why in rows if not why],
        "no_gaps": _without_gap([(row.words, why) for _, row, why in rows if why]),
        "gap_metrics": [metric.label for metric in gaps],
    }


def reference_rows(
    board: Board | None, scores: Sequence[TargetScore], standings: Mapping[str, Standing]
) -> list[tuple[str, str, str, str]]:
    """For each target: label, difference from the baseline on age and sex, p value, that baseline's slug."""
    references = {t.target: t.reference for t in board.targets} if board else {}
    rows = []
    for score in scores:
        standing, reference = standings.get(score.target), references.get(score.target)
        if standing is None or reference is None or standing.reference_difference is None:
            continue
        limits = difference_interval(standing.reference_difference_low, standing.reference_difference_high)
        difference = decimal(standing.reference_difference) + (f" ({limits})" if limits else "")
        rows.append((score.label, difference, p_text(standing.reference_p_value), reference))
    return rows


def _points(score: TargetScore, own_images: str, shares: Sequence[Metric]) -> list[Row]:
    """Decisions at each threshold: images called positive, then the metrics of decisions."""
    return [
        Row(
            f"{score.label}, {_rule(point, own_images)}",
            (f"{point.called:,}", *(_share(getattr(point, metric.key)) for metric in shares)),
        )
        for point in score.operating_points
    ]


def _rule(point: OperatingPoint, own_images: str) -> str:
    """Rule by which the threshold was chosen, such as `90% specificity on validation images`."""
    share, _, level = point.rule.partition(" ")
    images = "validation images" if point.chosen_on == "val" else own_images
    return f"{percent(float(level), 0)} {share} on {images}"


def _share(share: Estimate) -> str:
    if share.value is None:
        return "n/a"
    if share.low is None or share.high is None:
        return percent(share.value)
    return f"{percent(share.value)} ({percent(share.low)}–{percent(share.high)})"


def _recalibrated(score: TargetScore, shown: Sequence[Metric]) -> list[Row]:
    recalibrated = score.recalibrated
    if recalibrated is None:
        return []
    raw = Row(f"{score.label}, as submitted", tuple(estimate(score.metrics.get(m.key)) for m in shown))
    if recalibrated.slope is None:
        return [raw, Row(f"{score.label}, recalibrated: {recalibrated.reason}", ("n/a",) * len(shown))]
    words = f"{score.label}, recalibrated on val (slope {decimal(recalibrated.slope, 2)}, "
    words += f"intercept {decimal(recalibrated.intercept, 2)})"
    return [raw, Row(words, tuple(estimate(recalibrated.metrics.get(m.key)) for m in shown))]


def _gaps(card: Scorecard | None, headline: str, metrics: Sequence[Metric]) -> list[tuple[str, Row, str]]:
    """Division, row, and why it is empty, of each subgroup of the headline that is shown."""
    shown = [g for g in card.subgroups if g.target == headline and not g.suppressed] if card else []
    rows = []
    for group in (g for g in shown if g.gaps):
        words = f"{group.level} (n\u00a0=\u00a0{group.images:,})" if group.images is not None else group.level
        row = Row(words, tuple(_gap(group.gaps.get(metric.key)) for metric in metrics))
        rows.append((group.division_label, row, sentence(group.gaps["auroc"].reason)))
    return rows


def _without_gap(rows: Sequence[tuple[str, str]]) -> str:
    """Sentence on the subgroups that have no gap, with the reason."""
    words: dict[str, list[str]] = {}
    for name, why in rows:
        words.setdefault(why.rstrip("."), []).append(name)
    return "; ".join(f"{', '.join(names)} ({why[0].lower()}{why[1:]})" for why, names in words.items())


def _gap(gap: Estimate | None) -> str:
    if gap is None or gap.value is None:
        return "n/a"
    signed = "+" if gap.value > 0 else ""
    return f"{signed}{estimate(gap)}"
