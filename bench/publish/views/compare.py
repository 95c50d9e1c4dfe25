"""View of a comparison: the first two entries against each other, and a table to tick others in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bench.board.column import Cell, Column, Group, Row
from bench.board.format import difference_interval, percent, signed
from bench.board.matrix import PairComparison
from bench.board.model import LoadedBoard
from bench.board.table import BoardTable
from bench.board.verdict import pair_verdict
from bench.publish.charts.rows import END, START, axis_marks, row_marks
from bench.publish.charts.scales import Linear, domain
from bench.publish.views.board import PAGE_ROWS, identical_entries

PAIR_ENTRIES = 30
"""Entries whose pairwise comparisons the page carries; those of 200 are in the JSON."""

FURTHER = (Group.TARGET, Group.OTHER, Group.CALIBRATION, Group.SPEED, Group.SOURCE)
"""Groups whose columns follow the AUROC of all targets."""

LEFT_OUT = ("false_alarms", "date", "kind", "team")
"""Columns of these groups that are read on the board."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A column of the page: a column of one target's board under a heading of its own."""

    table: BoardTable
    column: Column
    words: str

    def cell(self, row: Row) -> Cell | None:
        """The cell of an entry; None where the board of the target does not have the entry."""
        return self.table.cells.get(row.slug, {}).get(self.column.key)


@dataclass(frozen=True, slots=True)
class PairRow:
    """One target: how much higher the first of two entries is."""

    label: str
    drawing: Markup
    difference: str
    limits: str
    verdict: str


def compare_view(loaded: LoadedBoard, tables: Sequence[BoardTable]) -> dict[str, Any]:
    """The template's values of the compare page."""
    first = tables[0] if tables else None
    rows = first.rows[:PAGE_ROWS] if first else ()
    level = loaded.board.level if loaded.board else 0.95
    ranks = _rank_axis(first)
    return {
        "board": loaded.board,
        "table": first,
        "level": f"{100 * level:g}%",
        "shown": list(_columns(tables)),
        "rank_axis": axis_marks(ranks, "gk", ticks=_rank_ticks(ranks)),
        "rows": [(row, _rank_drawing(ranks, row), _share(row)) for row in rows],
        "left_out": len(first.rows) - len(rows) if first else 0,
        **_first_two(loaded, tables),
        "pairs": json.dumps([_pairs(t) for t in tables if t.pairs], separators=(",", ":")),
    }


def _columns(tables: Sequence[BoardTable]) -> Iterator[Shown]:
    """AUROC of every target, the difference from the headline's leader, then what else the board shows."""
    for table in tables:
        (column,) = table.choose(["auroc"])
        yield Shown(table, column, table.label)
    if tables:
        for column in tables[0].choose(["difference", "p_value"] if tables[0].compared else []):
            yield Shown(tables[0], column, column.label)
        for column in tables[0].page_columns:
            known = column.key.startswith("auroc") or column.key in LEFT_OUT
            if column.group in FURTHER and not known:
                yield Shown(tables[0], column, column.label)


def _rank_axis(table: BoardTable | None) -> Linear:
    return Linear(1, max(len(table.ranked) if table else 0, 2), START, END)


def _rank_ticks(axis: Linear) -> tuple[float, ...]:
    """Whole ranks: the first, the last, and round ones between that are not near either."""
    room = (axis.high - axis.low) / 8
    between = [t for t in axis.ticks(4) if t == int(t) and room < t - axis.low and room < axis.high - t]
    return (axis.low, *between, axis.high)


def _rank_drawing(axis: Linear, row: Row) -> Markup:
    standing = row.standing
    if standing.rank is None:
        return Markup("")
    return row_marks(axis, "gk", standing.rank, standing.rank_low, standing.rank_high)


def _share(row: Row) -> str:
    """Share of the replicates in which an entry comes first."""
    return "–" if row.standing.p_best is None else percent(row.standing.p_best, 0)


def _first_two(loaded: LoadedBoard, tables: Sequence[BoardTable]) -> dict[str, Any]:
    """The leader against the next entry that ranks the images otherwise, on every target."""
    pairs = tables[0].pairs if tables else None
    board = loaded.board
    if pairs is None or board is None:
        return {"against": [], "against_axis": ""}
    repeated = identical_entries(board.target(tables[0].target))
    slugs = [slug for slug in pairs.slugs if slug not in repeated][:2]
    if len(slugs) < 2:
        return {"against": [], "against_axis": ""}
    a, b = slugs
    compared = [(t.label, t.pairs.pair(a, b)) for t in tables if t.pairs and {a, b} <= set(t.pairs.slugs)]
    axis = Linear(*_symmetric(pair for _, pair in compared), START, END)
    return {
        "against": [_pair_row(label, pair, axis) for label, pair in compared],
        "against_axis": axis_marks(axis, "gd", [("ref", 0.0)]),
        "first_two": [loaded.entries[slug].manifest.name for slug in slugs],
    }


def _symmetric(pairs: Iterator[PairComparison]) -> tuple[float, float]:
    """Limits that hold every interval, with 0 in the middle."""
    values = [v for pair in pairs for v in (pair.difference, pair.low, pair.high) if v is not None]
    return domain([*values, *(-v for v in values)], least=0.02)


def _pair_row(label: str, pair: PairComparison, axis: Linear) -> PairRow:
    return PairRow(
        label=label,
        drawing=row_marks(axis, "gd", pair.difference, pair.low, pair.high),
        difference=signed(pair.difference),
        limits=difference_interval(pair.low, pair.high),
        verdict=pair_verdict(pair).value,
    )


def _pairs(table: BoardTable) -> dict[str, Any]:
    """The pairwise comparisons of the first entries of a target, as the script reads them."""
    assert table.pairs is not None
    slugs = table.pairs.slugs[:PAIR_ENTRIES]
    pairs = [table.pairs.pair(a, b) for i, a in enumerate(slugs) for b in slugs[i + 1 :]]
    return {
        "target": table.target,
        "label": table.label,
        "slugs": slugs,
        "difference": [round(pair.difference, 5) for pair in pairs],
        "low": [None if pair.low is None else rounded_limit(pair.low) for pair in pairs],
        "high": [None if pair.high is None else rounded_limit(pair.high) for pair in pairs],
        "p": [float(f"{pair.p:.3g}") for pair in pairs],
    }


def rounded_limit(limit: float) -> float:
    """A limit with five decimals that stays on its side of 0."""
    rounded = round(limit, 5)
    if rounded == 0 and limit != 0:
        return 1e-5 if limit > 0 else -1e-5
    return rounded
