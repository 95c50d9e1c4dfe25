"""Speed against AUROC, with the stair-step front of the entries that no other beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bench.board.format import decimal, fitting, letters, significant
from bench.board.pareto import pareto_front
from bench.publish.charts.scales import Linear, Log, domain, log_domain
from bench.publish.charts.svg import Plot, at, chart, link, path, square, text, tooltip

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 400, 60, 740, 30, 350
WHISKERS = 60
"""With more points than this only those on the front show their intervals."""

NAME, LETTER, NAME_GAP, LINE = 26, 6.5, 8, 14
"""Of the names beside the front: letters at most, width of one, distance from the mark, height."""


@dataclass(frozen=True, slots=True)
class SpeedPoint:
    """One entry; `latency_ms` is above 0.

    Only an `eligible` figure (stable, parity passed) can be on the front.
    """

    name: str
    slug: str
    href: str
    latency_ms: float
    auroc: float
    low: float | None
    high: float | None
    eligible: bool


def tradeoff(points: Sequence[SpeedPoint], setting: str) -> Markup:
    """The plot: hollow where not eligible, square on the front and named where there is room."""
    latencies = [p.latency_ms for p in points]
    x = Log(*log_domain(latencies), LEFT, RIGHT)
    aurocs = [limit for p in points for limit in (p.auroc, p.low, p.high)]
    y = Linear(*domain(aurocs, within=(0, 1)), BOTTOM, TOP)
    ticks = x.ticks()
    body = [
        Plot(x, y).frame(
            ticks,
            y.ticks(5),
            f"Median latency in ms, log scale ({setting})",
            "AUROC",
            x_texts=tuple(significant(value, 1) for value in ticks),
        )
    ]
    on_front = pareto_front((p.slug, p.latency_ms, p.auroc) for p in points if p.eligible)
    by_slug = {p.slug: p for p in points}
    best = [by_slug[slug] for slug in on_front]
    named = _with_room(best, x, y)
    if best:
        body.append(path(_stairs(best, x, y), "front"))
    few = len(points) <= WHISKERS
    for point in sorted(points, key=lambda p: (p.slug in on_front, p.slug)):
        best_point = point.slug in on_front
        body.append(_mark(point, x, y, best=best_point, named=point.slug in named, whisker=few or best_point))
    title = f"Speed against AUROC: {len(points)} entries, {len(on_front)} on the front"
    return chart(WIDTH, HEIGHT, "".join(body), title=title, css="wide", linked=True)


def _stairs(best: Sequence[SpeedPoint], x: Log, y: Linear) -> str:
    data = f"M{at(x(best[0].latency_ms))} {at(y.start)}"
    for point in best:
        data += f"H{at(x(point.latency_ms))}V{at(y(point.auroc))}"
    return data + f"H{at(x.end)}"


def _with_room(best: Sequence[SpeedPoint], x: Log, y: Linear) -> set[str]:
    """Slugs of the points, fastest first, whose names would cover no name before them."""
    placed: list[tuple[float, float, float]] = []
    named = set()
    for point in best:
        start = x(point.latency_ms) + NAME_GAP
        width = LETTER * letters(fitting(point.name, NAME))
        if _at_right(point, x):
            start -= 2 * NAME_GAP + width
        height = y(point.auroc)
        if all(start > e or start + width < s or abs(height - h) > LINE for s, e, h in placed):
            placed.append((start, start + width, height))
            named.add(point.slug)
    return named


def _at_right(point: SpeedPoint, x: Log) -> bool:
    return x(point.latency_ms) > RIGHT - 150


def _mark(point: SpeedPoint, x: Log, y: Linear, *, best: bool, named: bool, whisker: bool) -> str:
    px, py = x(point.latency_ms), y(point.auroc)
    numbers = f"{significant(point.latency_ms)} ms, AUROC {decimal(point.auroc)}"
    numbers += "" if point.eligible else ", speed not ranked"
    name = fitting(point.name, NAME)
    marks = tooltip(f"{point.name}: {numbers}")
    if whisker and point.low is not None and point.high is not None:
        marks += path(f"M{at(px)} {at(y(point.low))}V{at(y(point.high))}", "ci thin")
    css = "dot best" if best else "dot" if point.eligible else "dot hollow"
    marks += (
        path(square(px, py, 5), css)
        if best
        else f'<circle class="{css}" cx="{at(px)}" cy="{at(py)}" r="4.5"/>'
    )
    if named:
        right = _at_right(point, x)
        marks += text(px - NAME_GAP if right else px + NAME_GAP, py - 8, name, "end" if right else "")
    return link(marks, point.href, f"{name}: {numbers}", point.slug)
