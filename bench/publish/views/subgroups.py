"""What the subgroups page shows: the first entries in every subgroup, and a sentence on what is not shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from bench.board.columns import Row
from bench.board.format import NOT_AVAILABLE, decimal, interval, sentence
from bench.board.table import BoardTable
from bench.metrics.results import Estimate
from bench.publish.charts.rows import axis_marks, row_axis, row_marks
from bench.publish.charts.scales import Linear
from bench.publish.urls import Place
from bench.scoring.scorecard import BoardInputs, SubgroupScore

Key = tuple[str, str]
NO_DRAWING = Markup("")


@dataclass(frozen=True, slots=True)
class GroupCell:
    """AUROC of one entry in one subgroup; without a value, `reason` says why."""

    text: str
    limits: str
    value: float | None
    reason: str
    drawing: Markup = NO_DRAWING


@dataclass(frozen=True, slots=True)
class GroupTable:
    """One target.

    Attributes:
        target: The target.
        label: The target as shown.
        divisions: (label, number of levels) over the columns.
        levels: The columns: subgroups in which at least one entry has an AUROC.
        rows: The first entries: all images, then each subgroup.
        left_out: Entries that follow.
        axis: What all drawings of the table share.
        not_shown: Sentence on the subgroups in which no entry has an AUROC; empty where there are none.
    """

    target: str
    label: str
    divisions: tuple[tuple[str, int], ...]
    levels: tuple[str, ...]
    rows: tuple[tuple[Row, GroupCell, tuple[GroupCell, ...]], ...]
    left_out: int
    axis: Markup
    not_shown: str


ENTRIES = 25
"""Rows of a table; all entries are in the CSV."""


def subgroup_view(place: Place, tables: tuple[BoardTable, ...]) -> dict[str, Any]:
    """The template's values of the subgroups page; numbered reasons stand below the tables."""
    groups = tuple(_table(table) for table in tables)
    cells = (cell for group in groups for _, overall, row in group.rows for cell in (overall, *row))
    reasons = tuple(dict.fromkeys(cell.reason for cell in cells if cell.reason))
    return {
        "groups": [group for group in groups if group.levels or group.not_shown],
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
    shown = table.rows[:ENTRIES]
    known = {key for groups in found.values() for key, g in groups.items() if _auroc(g) is not None}
    labels = dict.fromkeys(g.division for key, g in columns.items() if key in known)
    ordered = sorted((k for k in columns if k in known), key=lambda key: list(labels).index(key[0]))
    drawn = [_auroc(found[row.slug].get(key)) for row in shown for key in ordered]
    axis = row_axis([*drawn, *(row.auroc for row in shown)])
    ident = f"g-{table.target}"
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
            (
                row,
                _drawn(_overall(row), row.auroc, axis, ident),
                tuple(
                    _drawn(_cell(group), _auroc(group), axis, ident)
                    for group in (found[row.slug].get(key) for key in ordered)
                ),
            )
            for row in shown
        ),
        left_out=len(table.rows) - len(shown),
        axis=axis_marks(axis, ident),
        not_shown=_not_shown([g for key, g in columns.items() if key not in known]),
    )


def _auroc(group: SubgroupScore | None) -> Estimate | None:
    """The AUROC of a subgroup, None where it is not published or undefined."""
    found = group.metrics.get("auroc") if group is not None and not group.suppressed else None
    return found if found is not None and found.value is not None else None


def _drawn(cell: GroupCell, auroc: Estimate | None, axis: Linear, ident: str) -> GroupCell:
    if auroc is None or auroc.value is None:
        return cell
    return replace(cell, drawing=row_marks(axis, ident, auroc.value, auroc.low, auroc.high))


def _not_shown(groups: list[SubgroupScore]) -> str:
    """Which subgroups have no column, and why, as one sentence."""
    if not groups:
        return ""
    levels = ", ".join(f"{g.level} ({g.division_label})" for g in groups)
    reasons = "; ".join(dict.fromkeys((g.reason or "too few patients").rstrip(".") for g in groups))
    return f"Not shown for any entry: {levels}. Reason: {reasons}."


def _overall(row: Row) -> GroupCell:
    auroc = row.auroc
    if auroc is None or auroc.value is None:
        return GroupCell(NOT_AVAILABLE, "", None, sentence(auroc.reason if auroc else "not scored"))
    return GroupCell(decimal(auroc.value), interval(auroc.low, auroc.high), auroc.value, "")


def _cell(group: SubgroupScore | None) -> GroupCell:
    if group is None:
        return GroupCell(NOT_AVAILABLE, "", None, "Not scored for this entry.")
    if group.suppressed:
        return GroupCell(
            "too few patients", "", None, sentence(group.reason or "too few patients to publish")
        )
    auroc = group.metrics.get("auroc")
    if auroc is None or auroc.value is None:
        return GroupCell(NOT_AVAILABLE, "", None, sentence(auroc.reason if auroc else "not scored"))
    return GroupCell(decimal(auroc.value), interval(auroc.low, auroc.high), auroc.value, "")
