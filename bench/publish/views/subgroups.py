"""View of subgroups: the first entries in every subgroup, and a sentence on what is not shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from markupsafe import Markup

from bench.board.column import Row
from bench.board.format import NOT_AVAILABLE, decimal, interval, metric_label, sentence
from bench.board.table import BoardTable
from bench.metrics.results import Estimate
from bench.publish.charts.rows import axis_marks, row_axis, row_marks
from bench.publish.charts.scales import Linear
from bench.publish.urls import Place
from bench.scoring.scorecard import BoardInputs, SubgroupInputs

Key = tuple[str, str]
NO_DRAWING = Markup("")


@dataclass(frozen=True, slots=True)
class GroupCell:
    """A metric of one entry in one subgroup; without a value, `reason` says why."""

    text: str
    limits: str
    value: float | None
    reason: str
    drawing: Markup = NO_DRAWING


@dataclass(frozen=True, slots=True)
class GroupTable:
    """One metric of one target.

    Attributes:
        ident: Id of the table's heading.
        label: The target as shown.
        metric: The metric, which every cell holds.
        divisions: (label, number of levels) over the columns.
        levels: The columns: subgroups in which at least one entry has a value.
        rows: The first entries: all images, then each subgroup.
        left_out: Entries that follow.
        axis: What all drawings of the table share.
        not_shown: Sentence on the subgroups in which no entry has a value; empty where there are none.
    """

    ident: str
    label: str
    metric: str
    divisions: tuple[tuple[str, int], ...]
    levels: tuple[str, ...]
    rows: tuple[tuple[Row, GroupCell, tuple[GroupCell, ...]], ...]
    left_out: int
    axis: Markup
    not_shown: str


MOST_ENTRIES, CALIBRATION_ENTRIES, CELLS = 25, 10, 600
"""Rows of a table, rows of the table on calibration, and cells of the page; all entries are in the CSV."""

CALIBRATION = "calibration_in_the_large"


def subgroup_view(place: Place, tables: tuple[BoardTable, ...]) -> dict[str, Any]:
    """The template's values of the subgroups page; numbered reasons stand below the tables."""
    columns = sum(1 + len(_known(table, "auroc")) for table in tables)
    entries = max(5, min(MOST_ENTRIES, CELLS // max(columns, 1)))
    groups = tuple(_table(table, "auroc", entries) for table in tables)
    calibration = _table(tables[0], CALIBRATION, CALIBRATION_ENTRIES) if tables else None
    shown = [table for table in (*groups, calibration) if table and table.levels]
    cells = (cell for group in shown for _, overall, row in group.rows for cell in (overall, *row))
    reasons = tuple(dict.fromkeys(cell.reason for cell in cells if cell.reason))
    return {
        "groups": [group for group in groups if group.levels or group.not_shown],
        "calibration": calibration if calibration and calibration.levels else None,
        "reasons": reasons,
        "numbers": {reason: number for number, reason in enumerate(reasons, 1)},
        "level": f"{100 * place.loaded.board.level:g}%" if place.loaded.board else "",
        "audited": [division.label for division in place.loaded.spec.subgroups],
    }


def _groups(row: Row, target: str) -> dict[Key, SubgroupInputs]:
    """The subgroups of an entry for a target, by division and level."""
    card = row.entry.card(BoardInputs)
    return {(g.division, g.level): g for g in (card.subgroups if card else ()) if g.target == target}


def _known(table: BoardTable, metric: str) -> dict[Key, SubgroupInputs]:
    """The subgroups in which at least one entry has a value, those of one division together."""
    groups_of: dict[Key, SubgroupInputs] = {}
    for row in table.rows:
        groups = _groups(row, table.target).items()
        groups_of |= {k: g for k, g in groups if k not in groups_of and _metric(g, metric) is not None}
    divisions = list(dict.fromkeys(division for division, _ in groups_of))
    return dict(sorted(groups_of.items(), key=lambda item: divisions.index(item[0][0])))


def _table(table: BoardTable, metric: str, entries: int) -> GroupTable:
    known = _known(table, metric)
    shown = [(row, _groups(row, table.target)) for row in table.rows[:entries]]
    drawn = [_metric(groups.get(key), metric) for _, groups in shown for key in known]
    overall = [_overall(row, metric) for row, _ in shown]
    ident = f"{metric[0]}-{table.target}"
    signed = metric == CALIBRATION
    axis = row_axis([*drawn, *overall], [0.0] if signed else [], within=(-inf, inf) if signed else (0, 1))
    others = {k: g for row in table.rows for k, g in _groups(row, table.target).items() if k not in known}
    return GroupTable(
        ident=ident,
        label=table.label,
        metric=metric_label(metric),
        divisions=tuple(
            (next(g.division_label for k, g in known.items() if k[0] == d), count)
            for d, count in Counter(division for division, _ in known).items()
        ),
        levels=tuple(level for _, level in known),
        rows=tuple(
            (
                row,
                _drawn(_cell(overall_estimate), overall_estimate, axis, ident),
                tuple(
                    _drawn(_group_cell(group, metric), _metric(group, metric), axis, ident)
                    for group in (groups.get(key) for key in known)
                ),
            )
            for (row, groups), overall_estimate in zip(shown, overall, strict=True)
        ),
        left_out=len(table.rows) - len(shown),
        axis=axis_marks(axis, ident, [("ref", 0.0)] if signed else []),
        not_shown=_not_shown(list(others.values())),
    )


def _metric(group: SubgroupInputs | None, metric: str) -> Estimate | None:
    """The metric of a subgroup, None where it is not published or undefined."""
    value = group.metrics.get(metric) if group is not None and not group.suppressed else None
    return value if value is not None and value.value is not None else None


def _overall(row: Row, metric: str) -> Estimate | None:
    """The metric on all images."""
    if metric == "auroc":
        return row.auroc
    return row.score.metrics.get(metric) if row.score else None


def _drawn(cell: GroupCell, shown: Estimate | None, axis: Linear, ident: str) -> GroupCell:
    if shown is None or shown.value is None:
        return cell
    return replace(cell, drawing=row_marks(axis, ident, shown.value, shown.low, shown.high))


def _not_shown(groups: list[SubgroupInputs]) -> str:
    """Sentence on the subgroups that have no column, with the reason."""
    if not groups:
        return ""
    levels: dict[str, list[str]] = {}
    for group in groups:
        name = group.level
        if group.level != group.division_label:
            name = f"{group.level} ({group.division_label})"
        levels.setdefault((group.reason or "too few patients").rstrip("."), []).append(name)
    parts = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in levels.items())
    return f"Not shown for any entry: {parts}."


def _cell(shown: Estimate | None) -> GroupCell:
    if shown is None or shown.value is None:
        return GroupCell(NOT_AVAILABLE, "", None, sentence(shown.reason if shown else "not scored"))
    return GroupCell(decimal(shown.value), interval(shown.low, shown.high), shown.value, "")


def _group_cell(group: SubgroupInputs | None, metric: str) -> GroupCell:
    if group is None:
        return GroupCell(NOT_AVAILABLE, "", None, "Not scored for this entry.")
    if group.suppressed:
        return GroupCell(
            "too few patients", "", None, sentence(group.reason or "too few patients to publish")
        )
    return _cell(group.metrics.get(metric))
