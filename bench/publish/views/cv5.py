"""The board of the cv5 track: out-of-fold predictions, ranked by the fold-averaged AUROC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.board.columns import rank_text
from bench.board.format import decimal, difference_interval, estimate, p_text
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
    may_be_first: bool


@dataclass(frozen=True, slots=True)
class FoldTable:
    """All entries of the track for one target."""

    target: str
    label: str
    sentence: str
    rows: tuple[FoldRow, ...]


def cv5_view(loaded: LoadedBoard) -> dict[str, Any]:
    """The template's values."""
    board = loaded.board
    tables = [
        FoldTable(
            target=b.target,
            label=b.label,
            sentence=board_sentence(b, board.level),
            rows=tuple(_row(loaded, b, s) for s in b.standings),
        )
        for b in (board.cv5 if board else ())
        if board
    ]
    return {"tables": tables, "entries": len({row.slug for table in tables for row in table.rows})}


def _row(loaded: LoadedBoard, board: TargetBoard, standing: Standing) -> FoldRow:
    entry = loaded.entries[standing.slug]
    found = entry.scorecard.target(board.target) if entry.scorecard else None
    limits = difference_interval(standing.difference_low, standing.difference_high)
    return FoldRow(
        rank=rank_text(standing),
        slug=standing.slug,
        name=entry.manifest.name,
        auroc=estimate(found.ranked if found else None),
        difference=f"{decimal(standing.difference)} ({limits})" if limits else "–",
        p=p_text(standing.p_value) or "–",
        reason=standing.unranked_reason,
        may_be_first=standing.may_be_first,
    )
