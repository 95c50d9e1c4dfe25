"""The board of the cv5 track: out-of-fold predictions, ranked by the fold-averaged AUROC."""

from __future__ import annotations

from typing import Any

from bench.board.model import LoadedBoard
from bench.board.table import board_table
from bench.choices import Track

COLUMNS = ("rank", "entry", "auroc", "difference", "p_value")


def cv5_view(loaded: LoadedBoard) -> dict[str, Any]:
    """The template's values: a table for each target, and its columns."""
    boards = loaded.board.cv5 if loaded.board else ()
    tables = [board_table(loaded, board.target, Track.CV5) for board in boards]
    return {
        "tables": [(table, table.choose(COLUMNS)) for table in tables],
        "entries": len({row.slug for table in tables for row in table.rows}),
    }
