"""What the subgroups page shows: every entry in every subgroup, suppressed cells with their reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.board.columns import Row
from bench.board.format import NOT_AVAILABLE, decimal, interval, sentence
from bench.board.table import BoardTable
from bench.publish.urls import Place
from bench.publish.views.board import PAGE_ROWS
from bench.scoring.scorecard import BoardInputs, SubgroupScore

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class GroupCell:
    """AUROC of one entry in one subgroup; without a value, `reason` says why."""

    text: str
    limits: str
    value: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class GroupTable:
    """One target: `divisions` are (label, number of levels), `levels` the columns."""

    target: str
    label: str
    divisions: tuple[tuple[str, int], ...]
    levels: tuple[str, ...]
    rows: tuple[tuple[Row, GroupCell, tuple[GroupCell, ...]], ...]
    left_out: int


def subgroup_view(place: Place, tables: tuple[BoardTable, ...]) -> dict[str, Any]:
    """The template's values of the subgroups page; numbered reasons stand below the tables."""
    groups = tuple(_table(table) for table in tables)
    cells = (cell for group in groups for _, _, row in group.rows for cell in row)
    reasons = tuple(dict.fromkeys(cell.reason for cell in cells if cell.reason))
    return {
        "groups": [group for group in groups if group.levels],
        "reasons": reasons,
        "numbers": {reason: number for number, reason in enumerate(reasons, 1)},
        "audited": [division.label for division in place.loaded.spec.subgroups],
    }


def _table(table: BoardTable) -> GroupTable:
    found: dict[str, dict[Key, SubgroupScore]] = {}
    columns: dict[Key, SubgroupScore] = {}
    for row in table.rows:
        card = row.entry.card(BoardInputs)
        groups = [g for g in card.subgroups if g.target == table.target] if card else []
        found[row.slug] = {(g.division, g.level): g for g in groups}
        columns |= {key: g for key, g in found[row.slug].items() if key not in columns}
    labels = dict.fromkeys(g.division for g in columns.values())
    ordered = sorted(columns, key=lambda key: list(labels).index(key[0]))
    shown = table.rows[:PAGE_ROWS]
    return GroupTable(
        target=table.target,
        label=table.label,
        divisions=tuple(
            (
                next(g.division_label for g in columns.values() if g.division == d),
                sum(k[0] == d for k in ordered),
            )
            for d in labels
        ),
        levels=tuple(columns[key].level for key in ordered),
        rows=tuple(
            (row, _overall(row), tuple(_cell(found[row.slug].get(key)) for key in ordered)) for row in shown
        ),
        left_out=len(table.rows) - len(shown),
    )


def _overall(row: Row) -> GroupCell:
    auroc = row.auroc
    if auroc is None or auroc.value is None:
        return GroupCell(NOT_AVAILABLE, "", None, sentence(auroc.reason if auroc else "not scored"))
    return GroupCell(decimal(auroc.value), interval(auroc.low, auroc.high), auroc.value, "")


def _cell(group: SubgroupScore | None) -> GroupCell:
    if group is None:
        return GroupCell(NOT_AVAILABLE, "", None, "Not scored for this entry.")
    if group.suppressed:
        return GroupCell("suppressed", "", None, sentence(group.reason or "too few patients to publish"))
    auroc = group.metrics.get("auroc")
    if auroc is None or auroc.value is None:
        return GroupCell(NOT_AVAILABLE, "", None, sentence(auroc.reason if auroc else "not scored"))
    return GroupCell(decimal(auroc.value), interval(auroc.low, auroc.high), auroc.value, "")
