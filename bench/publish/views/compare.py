"""What the compare page shows: every entry and its difference from the leader; the script picks some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.board.columns import Column, Group, Row
from bench.board.format import NOT_AVAILABLE, decimal, difference_interval, p_text, percent
from bench.board.model import LoadedBoard, Standing
from bench.board.table import BoardTable
from bench.publish.charts.cells import RankRow, rank_chart

CHART_ROWS = 60
MAX_PICKED = 4
FURTHER = (Group.TARGET, Group.LEADER, Group.OTHER, Group.CALIBRATION, Group.SPEED)
"""Groups whose columns follow the AUROC of all targets."""


def compare_view(loaded: LoadedBoard, tables: Sequence[BoardTable], home: str) -> dict[str, Any]:
    """The template's values of the compare page."""
    first = tables[0] if tables else None
    by_target = {t.target: {row.slug: row for row in t.rows} for t in tables}
    rows = first.rows if first else ()
    level = loaded.board.level if loaded.board else 0.95
    return {
        "board": loaded.board,
        "table": first,
        "level": f"{100 * level:g}%",
        "columns": _further(first) if first else [],
        "labels": [t.label for t in tables],
        "rows": [
            (row, [by_target[t.target].get(row.slug) for t in tables], _difference(row)) for row in rows
        ],
        "chart": _chart(first, home),
        "most": MAX_PICKED,
    }


def _further(table: BoardTable) -> list[Column]:
    """The columns beside the AUROC of each target, which the page shows with its interval."""
    return [c for c in table.page_columns if c.group in FURTHER and not c.key.startswith("auroc")]


def _difference(row: Row) -> dict[str, str]:
    standing = row.standing
    if row.leader:
        return {"value": "leader", "limits": "", "p": "", "best": percent(standing.p_best, 0)}
    if standing.difference is None:
        return {"value": NOT_AVAILABLE, "limits": "", "p": "", "best": _share(standing)}
    return {
        "value": decimal(standing.difference),
        "limits": difference_interval(standing.difference_low, standing.difference_high),
        "p": p_text(standing.p_value),
        "best": _share(standing),
    }


def _share(standing: Standing) -> str:
    return "" if standing.p_best is None else percent(standing.p_best, 0)


def _chart(table: BoardTable | None, home: str) -> Any:
    rows = [row for row in table.ranked if row.standing.rank is not None][:CHART_ROWS] if table else []
    if not rows or table is None:
        return ""
    drawn = [
        RankRow(
            label=row.entry.manifest.name,
            rank=row.standing.rank or 1,
            low=row.standing.rank_low or row.standing.rank or 1,
            high=row.standing.rank_high or row.standing.rank or 1,
            p_best=row.standing.p_best,
            href=f"{home}e/{row.slug}/index.html",
            slug=row.slug,
        )
        for row in rows
    ]
    return rank_chart(drawn, len(table.ranked), table.label)
