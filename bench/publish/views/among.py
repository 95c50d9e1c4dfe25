"""An entry among the others: every target beside all entries, and pairwise on the headline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from markupsafe import Markup

from bench.board.format import (
    decimal,
    difference_interval,
    estimate,
    interval,
    plural,
    rank_text,
    sentence,
    signed,
)
from bench.board.model import Entry, LoadedBoard, Standing, TargetBoard
from bench.board.verdict import pair_verdict
from bench.metrics.results import Estimate
from bench.publish.charts.rows import axis_marks, row_axis, row_marks
from bench.publish.charts.scales import Linear, domain
from bench.publish.views.board import identical_entries
from bench.scoring.scorecard import Scorecard, TargetScore

OTHERS = 10
"""Entries in the pairwise table; all pairs are in the board's JSON."""


@dataclass(frozen=True, slots=True)
class TargetRow:
    """One target of the entry, drawn beside all others."""

    target: str
    label: str
    rank: str
    auroc: str
    reason: str
    drawing: Markup
    positives: str
    auprc: str
    expected: str


@dataclass(frozen=True, slots=True)
class OtherRow:
    """Another entry: how much higher this one is."""

    slug: str
    name: str
    repeats: str
    drawing: Markup
    difference: str
    limits: str
    verdict: str


def expected_ratio(score: TargetScore) -> float | None:
    """Ratio of expected to observed cases: 1 over observed / expected."""
    ratio = score.metrics.get("oe_ratio")
    return 1 / ratio.value if ratio is not None and ratio.value else None


def expected_text(score: TargetScore) -> str:
    """The ratio of expected to real cases; a dash where scores are not probabilities."""
    ratio = expected_ratio(score)
    return "–" if ratio is None else f"{ratio:.2f}×" if ratio < 1.95 else f"{ratio:.1f}×"


@dataclass(frozen=True)
class RankedAurocs:
    """The AUROC of every ranked entry for one target.

    Attributes:
        by_slug: Slug → AUROC, in the order of the board.
    """

    by_slug: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def values(self) -> tuple[float, ...]:
        """The AUROCs in the order of the board."""
        return tuple(self.by_slug.values())

    @cached_property
    def limits(self) -> tuple[float, ...]:
        """The lowest and the highest; empty where no entry is ranked."""
        return (min(self.values), max(self.values)) if self.values else ()


NONE_RANKED = RankedAurocs()


def ranked_aurocs(board: TargetBoard) -> RankedAurocs:
    """The AUROC of every ranked entry of a board."""
    ranked = (s for s in board.standings if s.rank is not None and s.auroc is not None)
    return RankedAurocs({s.slug: s.auroc for s in ranked if s.auroc is not None})


def among(
    loaded: LoadedBoard,
    entry: Entry,
    scores: Sequence[TargetScore],
    standings: Mapping[str, Standing],
    ranked: Mapping[str, RankedAurocs],
) -> dict[str, Any]:
    """The template's values: rows of targets and of other entries, each with its axis.

    Args:
        loaded: The board.
        entry: The entry.
        scores: Its scores, the headline first.
        standings: Target → where it stands.
        ranked: Target → `ranked_aurocs` of the entry's track.
    """
    card = entry.card(Scorecard)
    track = entry.manifest.track
    boards = (
        {t.target: t for t in (loaded.board.cv5 if track == "cv5" else loaded.board.targets)}
        if (loaded.board)
        else {}
    )
    macro = card.macro if card else None
    reported = entry.manifest.reported.metrics if entry.manifest.reported else {}
    drawn = [*(score.ranked for score in scores), *([macro] if macro else [])]
    axis = row_axis(drawn, [v for s in scores for v in ranked.get(s.target, NONE_RANKED).limits])
    return {
        "find_axis": axis_marks(axis, "ga"),
        "find_rows": [
            _target_row(
                score, standings.get(score.target), ranked.get(score.target, NONE_RANKED), entry.slug, axis
            )
            for score in scores
        ],
        "find_others": max(
            (len(aurocs.by_slug) - (entry.slug in aurocs.by_slug) for aurocs in ranked.values()), default=0
        ),
        "mean_row": _mean(macro, axis) if macro and macro.value is not None else None,
        "published_here": bool(reported),
        **_pairs(loaded, boards.get(loaded.spec.headline), entry.slug),
    }


def _target_row(
    score: TargetScore, standing: Standing | None, ranked: RankedAurocs, slug: str, axis: Linear
) -> TargetRow:
    auroc, auprc = score.ranked, score.metrics.get("auprc")
    chance = f" (chance {decimal(score.prevalence)})" if score.prevalence is not None else ""
    limits = (auroc.value, auroc.low, auroc.high)
    return TargetRow(
        target=score.target,
        label=score.label,
        rank=rank_text(standing) if standing else "–",
        auroc=estimate(auroc),
        reason=sentence(auroc.reason or "undefined") if auroc.value is None else "",
        drawing=row_marks(axis, "ga", *limits, others=ranked.values, besides=ranked.by_slug.get(slug)),
        positives=f"{score.positives:,} of {score.images:,}",
        auprc=f"{decimal(auprc.value if auprc else None)}{chance}",
        expected=expected_text(score),
    )


def _mean(macro: Estimate, axis: Linear) -> tuple[str, Markup]:
    return estimate(macro), row_marks(axis, "ga", macro.value, macro.low, macro.high)


def _pairs(loaded: LoadedBoard, board: TargetBoard | None, slug: str) -> dict[str, Any]:
    """This entry minus each of the others nearest in rank, from the pairwise matrix."""
    empty: dict[str, Any] = {"pair_rows": [], "pair_axis": "", "pair_rest": "", "pair_label": ""}
    if board is None or board.pairs is None or slug not in board.pairs.slugs:
        return empty
    repeated = identical_entries(board)
    own = {slug} | {other for group in board.same_ranking if slug in group.slugs for other in group.slugs}
    slugs = [s for s in board.pairs.slugs if s not in own and s not in repeated]
    place = board.pairs.slugs.index(slug)
    nearest = sorted(slugs, key=lambda s: abs(board.pairs.slugs.index(s) - place) if board.pairs else 0)
    shown = sorted(nearest[:OTHERS], key=board.pairs.slugs.index)
    if not shown:
        return empty
    pairs = {other: board.pairs.pair(slug, other) for other in shown}
    values = [v for pair in pairs.values() for v in (pair.difference, pair.low, pair.high)]
    axis = Linear(*domain([0.0, *values], least=0.02), 3.0, 97.0)
    rows = [
        OtherRow(
            slug=other,
            name=loaded.entries[other].manifest.name,
            repeats=_repeats(board, other),
            drawing=row_marks(axis, "gp", pair.difference, pair.low, pair.high),
            difference=signed(pair.difference),
            limits=difference_interval(pair.low, pair.high),
            verdict=pair_verdict(pair).value,
        )
        for other, pair in pairs.items()
    ]
    rest = len(slugs) - len(shown)
    return {
        "pair_rows": rows,
        "pair_axis": axis_marks(axis, "gp", [("ref", 0.0)]),
        "pair_rest": plural(rest, "further entry", "further entries") if rest else "",
        "pair_label": board.label,
    }


def _repeats(board: TargetBoard, slug: str) -> str:
    """Entries that rank the images as `slug` does."""
    same = [s for group in board.same_ranking if slug in group.slugs for s in group.slugs if s != slug]
    return f"= {', '.join(same)}" if same else ""


def calibration_verdict(score: TargetScore) -> str:
    """State how far probabilities can be read as risks; empty where they cannot be judged."""
    ratio, slope = score.metrics.get("oe_ratio"), score.metrics.get("calibration_slope")
    words = []
    if ratio is not None and ratio.value:
        if ratio.low is not None and ratio.high is not None and ratio.low <= 1 <= ratio.high:
            words.append("expects as many as there are")
        else:
            words.append(f"expects {expected_text(score)} as many as there are")
    if slope is not None and slope.value is not None and slope.low is not None and slope.high is not None:
        limits = f"slope {decimal(slope.value, 2)} ({interval(slope.low, slope.high, 2)})"
        if slope.high < 1:
            words.append(f"scores too extreme: {limits}")
        elif slope.low > 1:
            words.append(f"scores too close together: {limits}")
        else:
            words.append(limits)
    return "; ".join(words)
