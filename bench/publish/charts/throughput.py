"""The latency-throughput curve: images per second against median latency, on two log axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from markupsafe import Markup

from bench.board.format import fitting, significant
from bench.publish.charts.scales import Log, log_domain
from bench.publish.charts.svg import Plot, at, attributes, chart, link, path, polyline, text, tooltip

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 620, 66, 600, 26, 300
NAMED = 6
"""Curves with a colour and a name of their own; those after them are grey."""

FIRST_NAME, NAME_HEIGHT, NAME_COLUMNS, NAME = 352, 18, 2, 32
"""Of the names below the plot: height of the first line, of each, how many side by side, letters of each."""


@dataclass(frozen=True, slots=True)
class LoadMark:
    """One batch size with a number of batches in flight; both figures are above 0."""

    in_flight: int
    latency_ms: float
    images_per_s: float


@dataclass(frozen=True, slots=True)
class BatchMarks:
    """One batch size: its marks from the fewest batches in flight on, and whether its latency is ranked."""

    batch: int
    ranked: bool
    marks: tuple[LoadMark, ...]


@dataclass(frozen=True, slots=True)
class LoadCurve:
    """One entry: its batch sizes, smallest first, each with at least one mark."""

    name: str
    slug: str
    href: str
    batches: tuple[BatchMarks, ...]


def throughput(curves: Sequence[LoadCurve], setting: str) -> Markup:
    """The plot: a line through the batch sizes, and from each a thin one to more batches in flight.

    Args:
        curves: At least one; the first `NAMED` are coloured and named.
        setting: Where all of them were measured, in words.
    """
    marks = [mark for curve in curves for batch in curve.batches for mark in batch.marks]
    x = Log(*log_domain([mark.latency_ms for mark in marks]), LEFT, RIGHT)
    y = Log(*log_domain([mark.images_per_s for mark in marks]), BOTTOM, TOP)
    x_texts, y_texts = (tuple(significant(tick, 1) for tick in axis.ticks()) for axis in (x, y))
    body = Plot(x, y).frame(
        x.ticks(),
        y.ticks(),
        "Median latency in ms, log scale",
        "Images/s, log scale",
        x_texts=x_texts,
        y_texts=y_texts,
    )
    numbered = list(enumerate(curves))
    body += "".join(_curve(curve, index, x, y) for index, curve in chain(numbered[NAMED:], numbered[:NAMED]))
    lines = -(-min(len(curves), NAMED) // NAME_COLUMNS)
    height = FIRST_NAME + NAME_HEIGHT * lines - 10
    title = (
        f"Throughput against latency, {setting}: {len(curves)} {'entries' if len(curves) > 1 else 'entry'}"
    )
    return chart(WIDTH, height, body, title=title, css="load", linked=True)


def _curve(curve: LoadCurve, index: int, x: Log, y: Log) -> str:
    """One entry's lines, marks and name."""
    named = index < NAMED
    style = f"s{index}" if named else "rest"
    drawn, batches, name = "", "", curve.name
    starts = [(x(b.marks[0].latency_ms), y(b.marks[0].images_per_s)) for b in curve.batches]
    if len(starts) > 1:
        drawn += path(polyline(starts), f"curve {style}")
    for batch in curve.batches:
        places = [(x(mark.latency_ms), y(mark.images_per_s)) for mark in batch.marks]
        if len(places) > 1:
            drawn += path(polyline(places), f"flight {style}")
        for mark, (px, py) in zip(batch.marks, places, strict=True):
            first = mark is batch.marks[0]
            words = (
                f"{curve.name}, batch {batch.batch}, {mark.in_flight} in flight: "
                f"{significant(mark.latency_ms)} ms, {significant(mark.images_per_s)} images/s"
                f"{'' if batch.ranked else ', not ranked'}"
            )
            css = f"dot {style}{'' if batch.ranked else ' hollow'}"
            radius = "4" if first else "2.5"
            drawn += (
                f'<circle class="{css}" cx="{at(px)}" cy="{at(py)}" r="{radius}">{tooltip(words)}</circle>'
            )
            if first and named:
                batches += text(px, py - 8, str(batch.batch), "tick mid")
    if named:
        column, line = index % NAME_COLUMNS, index // NAME_COLUMNS
        start = LEFT + column * (RIGHT - LEFT) / NAME_COLUMNS
        base = FIRST_NAME + NAME_HEIGHT * line
        drawn += path(f"M{at(start)} {at(base - 4)}h24", f"curve {style}")
        name = fitting(curve.name, NAME)
        drawn += text(start + 30, base, name, style)
    # The label begins with the link's visible text; batch sizes stand outside for that reason.
    marks = link(drawn, curve.href, f"{name}: throughput against latency", curve.slug)
    return marks + (f"<g{attributes({'data-e': curve.slug})}>{batches}</g>" if batches else "")
