"""Forest plots: one row for each entry or subgroup, with its interval and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bench.board.format import decimal as number
from bench.board.format import fitting, interval, plural
from bench.publish.charts.scales import Linear, domain, tick_texts
from bench.publish.charts.svg import at, attributes, chart, link, path, square, text, tooltip

WIDTH, LEFT, RIGHT, ROW, TOP = 760, 210, 470, 20, 8
LABEL = 30


@dataclass(frozen=True, slots=True)
class ForestRow:
    """One row.

    Attributes:
        label: Name of the entry or subgroup.
        value: None where it is undefined; then `note` says why.
        low: Lower limit of the interval.
        high: Upper limit.
        note: Words at the end of the row, such as the number of images.
        href: Where a click leads.
        slug: Entry that other charts highlight together with this row.
        marked: May be first.
    """

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    href: str = ""
    slug: str = ""
    marked: bool = False


def forest(
    rows: Sequence[ForestRow],
    *,
    title: str,
    axis_label: str,
    reference: float | None = None,
    within: tuple[float, float] = (0.0, 1.0),
) -> Markup:
    """The plot; `reference` draws a dashed line, such as the value in all images."""
    values = [limit for row in rows for limit in (row.value, row.low, row.high)]
    axis = Linear(*domain([*values, reference], within=within), LEFT + 12, RIGHT)
    bottom = TOP + ROW * len(rows)
    ticks = axis.ticks(6)
    body = [path("".join(f"M{at(axis(v))} {TOP}V{bottom + 4}" for v in ticks), "grid")]
    body += [text(axis(v), bottom + 18, t, "tick mid") for v, t in zip(ticks, tick_texts(ticks), strict=True)]
    body.append(text((LEFT + RIGHT) / 2, bottom + 36, axis_label, "name mid"))
    if reference is not None:
        body.append(path(f"M{at(axis(reference))} {TOP}V{bottom + 4}", "ref"))
    body += [_row(row, axis, TOP + ROW * (index + 0.5)) for index, row in enumerate(rows)]
    drawn = sum(row.value is not None for row in rows)
    name = f"{title}: {plural(drawn, 'row')} with interval"
    linked = any(row.href for row in rows)
    return chart(WIDTH, bottom + 44, "".join(body), title=name, css="wide", linked=linked)


def _row(row: ForestRow, axis: Linear, y: float) -> str:
    numbers = number(row.value)
    limits = interval(row.low, row.high)
    if limits:
        numbers += f" ({limits})"
    name = text(LEFT, y + 4, fitting(row.label, LABEL), "end")
    ends = " " + text(RIGHT + 16, y + 4, numbers, "num")  # the blank parts the words for those who hear them
    ends += f" {text(RIGHT + 166, y + 4, row.note, 'dim')}" if row.note else ""
    marks = ""
    if row.value is not None:
        if row.low is not None and row.high is not None:
            marks = path(f"M{at(axis(row.low))} {at(y)}H{at(axis(row.high))}", "ci")
        marks += path(square(axis(row.value), y, 4), "dot")
    group = attributes({"class": "row tied" if row.marked else "row", "data-e": row.slug})
    content = tooltip(f"{row.label}: {numbers}") + name + marks + ends
    if row.href:
        seen = f"{fitting(row.label, LABEL)}: {numbers}{f', {row.note}' if row.note else ''}"
        return f"<g{group}>{link(content, row.href, seen)}</g>"
    return f"<g{group}>{content}</g>"
