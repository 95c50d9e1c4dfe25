"""Drawings of table rows: one axis for all rows, so that the column of a table is a forest plot.

Positions are percentages, so that a drawing fills its cell whatever the width of the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from markupsafe import Markup, escape

from bench.metrics.results import Estimate
from bench.publish.charts.scales import Linear, domain, tick_texts

TICKS = 4
START, END = 3.0, 97.0
"""Where the axis begins and ends, in percent of the cell."""


def row_axis(
    estimates: Iterable[Estimate | None],
    extra: Iterable[float | None] = (),
    *,
    within: tuple[float, float] = (0, 1),
    least: float = 0.05,
) -> Linear:
    """One axis, in percent, that holds every interval and the `extra` values."""
    known = [limit for e in estimates if e is not None for limit in (e.value, e.low, e.high)]
    return Linear(*domain([*known, *extra], within=within, least=least), START, END)


def axis_marks(
    axis: Linear,
    ident: str,
    lines: Sequence[tuple[str, float | None]] = (),
    ticks: tuple[float, ...] | None = None,
) -> Markup:
    """Tick texts, and as element `ident` what every row repeats: grid and `lines` of a class and value."""
    ticks = ticks or axis.ticks(TICKS)
    texts = "".join(
        f'<text x="{_at(axis(v))}" y="11">{words}</text>'
        for v, words in zip(ticks, tick_texts(ticks), strict=True)
    )
    grid = "".join(_line("gr", axis(v)) for v in ticks)
    grid += "".join(_line(css, axis(v)) for css, v in lines if v is not None and axis.low <= v <= axis.high)
    return Markup(
        f'<svg class="axis" aria-hidden="true"><defs><g id="{escape(ident)}">{grid}</g></defs>{texts}</svg>'
    )


def row_marks(
    axis: Linear,
    ident: str,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    *,
    others: tuple[float, ...] = (),
    besides: float | None = None,
    hollow: Iterable[float] = (),
    published: bool = False,
) -> Markup:
    """A row: grid of `ident`, marks of `others`, interval, point; `hollow` marks are published values.

    Of others that are less than half a percent of the width apart one mark is drawn; `besides` is the one
    of them that is this row's own. A value off the axis is left out: the row says the numbers in any case.
    """
    counts, marks = _other_marks(axis, others)
    if besides is not None and counts[own := round(2 * axis(besides))] == 1:
        marks = marks.replace(_other_mark(own), "", 1)
    if value is not None and axis.low <= value <= axis.high:
        if low is not None and high is not None:
            marks += f'<line class="ci" x1="{_at(axis(low))}" x2="{_at(axis(high))}" y1="50%" y2="50%"/>'
        css = "pub" if published else "pt"
        marks += f'<circle class="{css}" cx="{_at(axis(value))}" cy="50%" r="4.5"/>'
    marks += "".join(
        f'<circle class="pub" cx="{_at(axis(v))}" cy="50%" r="4.5"/>'
        for v in hollow
        if axis.low <= v <= axis.high
    )
    return Markup(f'<svg class="iv" aria-hidden="true"><use href="#{escape(ident)}"/>{marks}</svg>')


@lru_cache(maxsize=64)  # most rows share one axis
def _other_marks(axis: Linear, values: tuple[float, ...]) -> tuple[Counter[int], str]:
    """Place of the values on the axis, in half percents of the width → how many; and their marks."""
    places = axis.positions([v for v in values if axis.low <= v <= axis.high])
    counts = Counter([round(2 * place) for place in places])
    return counts, "".join(map(_other_mark, counts))


def _other_mark(place: int) -> str:
    return f'<line class="og" x1="{place / 2:g}%" x2="{place / 2:g}%" y1="28%" y2="72%"/>'


def strip(values: Sequence[float], axis: Linear, label: str) -> Markup:
    """The values of all entries on one line, the highest, which is the first, marked."""
    dots = dict.fromkeys(_at(axis(v)) for v in values[:0:-1])
    marks = "".join(f'<circle class="gdot" cx="{p}" cy="50%" r="3.2"/>' for p in dots)
    if values:
        marks += f'<circle class="pt" cx="{_at(axis(values[0]))}" cy="50%" r="4.5"/>'
    line = '<line class="gr" x1="0" x2="100%" y1="50%" y2="50%"/>'
    return Markup(f'<svg class="strip" role="img" aria-label="{escape(label)}">{line}{marks}</svg>')


def _line(css: str, place: float) -> str:
    return f'<line class="{css}" x1="{_at(place)}" x2="{_at(place)}" y1="0" y2="100%"/>'


def _at(place: float) -> str:
    return f"{place:.2f}".rstrip("0").rstrip(".") + "%"
