"""The board of the cv5 track: out-of-fold predictions, ranked by the fold-averaged AUROC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.board.columns import rank_text
from bench.board.format import decimal, estimate, interval, p_text
from bench.board.model import LoadedBoard, Standing, TargetBoard


@dataclass(frozen=True, slots=True)
class FoldRow:
    """One entry for one target, as text."""

    rank: str
    slug: str
    name: str
    auroc: str
    difference: str
    p: str
    reason: str
    tied: bool


@dataclass(frozen=True, slots=True)
class FoldTable:
    """All entries of the track for one target."""

    target: str
    label: str
    not_told_apart: int
    rows: tuple[FoldRow, ...]


def cv5_view(loaded: LoadedBoard) -> dict[str, Any]:
    """The template's values."""
    boards = loaded.board.cv5 if loaded.board else ()
    tables = [
        FoldTable(b.target, b.label, b.not_told_apart, tuple(_row(loaded, b, s) for s in b.standings))
        for b in boards
    ]
    return {"tables": tables, "entries": len({row.slug for table in tables for row in table.rows})}


def _row(loaded: LoadedBoard, board: TargetBoard, standing: Standing) -> FoldRow:
    entry = loaded.entries[standing.slug]
    found = entry.scorecard.target(board.target) if entry.scorecard else None
    limits = interval(standing.difference_low, standing.difference_high)
    return FoldRow(
        rank=rank_text(standing),
        slug=standing.slug,
        name=entry.manifest.name,
        auroc=estimate(found.ranked if found else None),
        difference=f"{decimal(standing.difference)} ({limits})" if limits else "–",
        p=p_text(standing.p_value) or "–",
        reason=standing.unranked_reason,
        tied=standing.with_leader or standing.slug == board.leader,
    )
