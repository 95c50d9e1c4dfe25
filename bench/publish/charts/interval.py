"""The small drawing of an interval within a table row."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from bench.publish.charts.svg import at
from bench.publish.scales import Linear, domain
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
