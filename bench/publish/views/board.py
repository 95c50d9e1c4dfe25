"""What a board page shows: the sentences, the table, the charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from bench.board.columns import Group, Row, rank_text, speed_cell
from bench.board.format import decimal, interval
from bench.board.model import TestSet
from bench.board.speed_words import record_at, setting_words
from bench.board.table import BoardTable
from bench.publish.charts.cells import interval_axis, interval_cell
from bench.publish.charts.forest import ForestRow, forest
from bench.publish.charts.scales import tick_texts
from bench.publish.charts.tradeoff import tradeoff
from bench.publish.exports import reported_entries
from bench.publish.urls import Place
from bench.publish.views.speed import Timed, speed_points

FOREST_ROWS = 60
"""Rows of the forest plot; the table has the numbers of all."""

PAGE_ROWS = 200
"""Rows of one page: a longer table is slow on a phone. The rest stands on a page of its own."""


def board_view(place: Place, table: BoardTable, path: str, *, every: bool = False) -> dict[str, Any]:
    """The template's values for one target's board: the first rows, or `every` one of a long board."""
    loaded = place.loaded
    board = loaded.board
    if board is None:
        raise ValueError(f"cohort {loaded.spec.id} has no board")
    home = place.home(path)
    rows = table.rows if every else table.rows[:PAGE_ROWS]
    axis = interval_axis([row.auroc for row in rows if row.standing.rank is not None])
    return {
        "heading": board.title,
        "board": board,
        "test": board.test_set,
        "table": table,
        "level": f"{100 * board.level:g}%",
        "resolution": resolution_sentence(board.test_set, table),
        "tabs": _tabs(place, table.target, home),
        "axis": tick_texts((axis.low, axis.high)),
        "bars": {row.slug: interval_cell(row.auroc, axis) for row in rows},
        "bodies": [
            ("", [row for row in rows if row.standing.rank is not None]),
            ("Not ranked", [row for row in rows if row.standing.rank is None]),
        ],
        "shown": len(rows),
        "rest": ""
        if every or len(rows) == len(table.rows)
        else f"{home}{place.folders[table.target]}all/index.html",
        "columns": table.page_columns,
        "reasons": table.reasons(table.page_columns),
        "spans": _spans(table),
        "width": sum(span for _, span in _spans(table)),
        "facets": _facets(table, rows),
        **_forest(table, home),
        "tradeoff": _tradeoff(table, rows, home),
        "setting_words": setting_words(table.setting) if table.setting else "",
        "reported": len(reported_entries(loaded)),
    }


def resolution_sentence(test: TestSet, table: BoardTable) -> str:
    """What the test set can tell apart, as a sentence; empty where it is not known."""
    found = next((t for t in test.targets if t.target == table.target), None)
    if found is None or found.half_width_low is None or found.paired_difference_low is None:
        return ""
    half = interval(found.half_width_low, found.half_width_high)
    difference = interval(found.paired_difference_low, found.paired_difference_high)
    return (
        f"Resolution: with {found.positives:,} positive images of {found.positive_patients:,} patients, "
        f"an interval at AUROC 0.80 reaches ±{half}, and a difference is seen with 80% power "
        f"from {difference} on."
    )


def _tabs(place: Place, current: str, home: str) -> list[dict[str, Any]]:
    board = place.loaded.board
    labels = {t.target: t.label for t in board.targets} if board else {}
    return [
        {"href": f"{home}{place.folders[t]}index.html", "label": labels[t], "current": t == current}
        for t in place.targets
        if t in labels
    ]


def _spans(table: BoardTable) -> list[tuple[Group, int]]:
    """Groups of the page's columns with the number of cells of each; a drawn interval takes one more."""
    groups = dict.fromkeys(column.group for column in table.page_columns)
    return [(g, sum(1 + c.bar for c in table.page_columns if c.group == g)) for g in groups]


def _facets(table: BoardTable, rows: Sequence[Row]) -> list[tuple[str, str, list[str]]]:
    """Columns to filter by, with their texts; those with one text only are left out."""
    columns = [column for column in table.page_columns if column.facet]
    found = [(c, {table.cell(row, c).text for row in rows}) for c in columns]
    return [(column.key, column.label, sorted(texts)) for column, texts in found if len(texts) > 1]


def _forest(table: BoardTable, home: str) -> dict[str, Any]:
    drawn = [row for row in table.ranked if row.auroc is not None and row.auroc.value is not None]
    shown = drawn[:FOREST_ROWS]
    chart = forest(
        [_forest_row(row, home) for row in shown],
        title=f"AUROC, {table.label}",
        axis_label="AUROC (95% interval)",
    )
    return {
        "forest": chart if shown else "",
        "forest_shown": len(shown),
        "forest_rest": len(drawn) - len(shown),
    }


def _forest_row(row: Row, home: str) -> ForestRow:
    auroc = row.auroc
    return ForestRow(
        label=row.entry.manifest.name,
        value=auroc.value if auroc else None,
        low=auroc.low if auroc else None,
        high=auroc.high if auroc else None,
        note=f"rank {rank_text(row.standing)}",
        href=f"{home}e/{row.slug}/index.html",
        slug=row.slug,
        marked=row.may_be_first,
    )


def _tradeoff(table: BoardTable, rows: Sequence[Row], home: str) -> Markup | str:
    if table.setting is None:
        return ""
    cells = [(row, speed_cell(row)) for row in rows if row.standing.rank is not None]
    timed = [
        Timed(row.entry, record, cell.value, not cell.note)
        for row, cell in cells
        if isinstance(cell.value, float) and (record := record_at(row.entry, table.setting))
    ]
    points = speed_points(timed, table.target, home)
    return tradeoff(points, setting_words(table.setting)) if len(points) > 1 else ""


def describe(table: BoardTable) -> str:
    """A page's description in one line."""
    first = table.ranked[0] if table.ranked else None
    if first is None or first.auroc is None:
        return f"{table.label}: no entry is ranked."
    return f"{table.label}: {first.entry.manifest.name} leads with AUROC {decimal(first.auroc.value)}."
