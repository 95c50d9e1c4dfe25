"""The small drawing of an interval within a table row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bench.board.format import fitting, percent
from bench.publish.charts.scales import Linear, domain
from bench.publish.charts.svg import at, attributes, bar, chart, link, path, square, text, tooltip
from bench.scoring.scorecard import Estimate

WIDTH, HEIGHT = 108, 12


def interval_axis(estimates: Iterable[Estimate | None]) -> Linear:
    """One axis for all rows of a table, wide enough for every interval."""
    known = [e for e in estimates if e is not None]
    low, high = domain((limit for e in known for limit in (e.value, e.low, e.high)), within=(0, 1))
    return Linear(low, high, 4, WIDTH - 4)


def interval_cell(estimate: Estimate | None, axis: Linear) -> Markup:
    """Point and interval on `axis`; nothing where the value is undefined or off the axis.

    The row says the numbers in any case.
    """
    if estimate is None or estimate.value is None or not axis.low <= estimate.value <= axis.high:
        return Markup("")
    middle = HEIGHT // 2
    whisker = ""
    if estimate.low is not None and estimate.high is not None:
        whisker = f'<path d="M{at(axis(estimate.low))} {middle}H{at(axis(estimate.high))}"/>'
    dot = f'<circle cx="{at(axis(estimate.value))}" cy="{middle}" r="3"/>'
    return Markup(f'<svg class="iv" aria-hidden="true" viewBox="0 0 {WIDTH} {HEIGHT}">{whisker}{dot}</svg>')


CHART_WIDTH, LEFT, RIGHT, ROW, TOP = 760, 210, 560, 18, 8


@dataclass(frozen=True, slots=True)
class RankRow:
    """One entry: its rank, the 95% interval of it, and how often it is best."""

    label: str
    rank: int
    low: int
    high: int
    p_best: float | None
    href: str
    slug: str


def rank_chart(rows: Sequence[RankRow], ranked: int, label: str) -> Markup:
    """Rank 1 is at the left; bars at the right show the share of replicates in which an entry is best."""
    axis = Linear(1, max(ranked, 2), LEFT + 14, RIGHT)
    bottom = TOP + ROW * len(rows)
    ticks = sorted({1, *(round(t) for t in axis.ticks(6) if t >= 1 and abs(t - round(t)) < 1e-9)})
    body = [path("".join(f"M{at(axis(v))} {TOP}V{bottom + 4}" for v in ticks), "grid")]
    body += [text(axis(v), bottom + 18, str(v), "tick mid") for v in ticks]
    body.append(text((LEFT + RIGHT) / 2, bottom + 36, "Rank (95% interval)", "name mid"))
    if any(row.p_best is not None for row in rows):
        body.append(text(RIGHT + 20, bottom + 36, "first in replicates", "name"))
    body += [_row(row, axis, TOP + ROW * (index + 0.5)) for index, row in enumerate(rows)]
    title = f"Rank intervals, {label}: {len(rows)} of {ranked} ranked entries"
    return chart(CHART_WIDTH, bottom + 44, "".join(body), title=title, css="wide", linked=True)


def _row(row: RankRow, axis: Linear, y: float) -> str:
    rank = f"rank {row.rank}, interval {row.low} to {row.high}"
    words, share = f"{row.label}: {rank}", ""
    marks = path(f"M{at(axis(row.low))} {at(y)}H{at(axis(row.high))}", "ci")
    marks += path(square(axis(row.rank), y, 3.5), "dot")
    if row.p_best is not None:
        words += f", first in {percent(row.p_best, 0)} of replicates"
        share = path(bar(RIGHT + 20, y - 5, 100 * row.p_best, 10), "fill")
        share += text(RIGHT + 26 + 100 * row.p_best, y + 4, percent(row.p_best, 0), "dim")
    name = fitting(row.label, 30)
    content = tooltip(words) + text(LEFT, y + 4, name, "end") + marks
    group = attributes({"class": "row", "data-e": row.slug})
    return f"<g{group}>{link(content, row.href, f'{name}: {rank}')}{share}</g>"
