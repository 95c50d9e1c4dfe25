"""Curves over a square or a range: ROC, precision-recall, decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import le

from markupsafe import Markup

from bench.board.format import decimal, percent
from bench.publish.charts.scales import Linear, domain
from bench.publish.charts.svg import Plot, chart, path, text
from bench.scoring.scorecard import DecisionPoint

SIZE, LEFT, TOP, SIDE = 304, 40, 26, 250
UNIT_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve with its name and the number that sums it up."""

    label: str
    points: tuple[tuple[float, float], ...]
    value: float | None


def unit_plot() -> Plot:
    """A square from 0 to 1 on both axes."""
    return Plot(Linear(0, 1, LEFT, LEFT + SIDE), Linear(0, 1, TOP + SIDE, TOP))


def roc(curves: Sequence[Curve]) -> Markup:
    """ROC curves in one square, distinguished by dash pattern and colour."""
    plot = unit_plot()
    body = plot.frame(UNIT_TICKS, UNIT_TICKS, "1 − specificity", "Sensitivity")
    body += path(plot.line([(0, 0), (1, 1)]), "ref")
    title = "ROC curves. " + "; ".join(f"{c.label}: AUROC {decimal(c.value)}" for c in curves)
    return chart(SIZE, SIZE + 16, body + _curves(plot, curves, from_bottom=True), title=title, plot=plot)


def precision_recall(curves: Sequence[Curve], prevalences: Sequence[float | None]) -> Markup:
    """Precision-recall curves, each with the prevalence that a worthless score would reach."""
    plot = unit_plot()
    body = plot.frame(UNIT_TICKS, UNIT_TICKS, "Recall (sensitivity)", "Precision")
    for index, prevalence in enumerate(prevalences):
        if prevalence is not None:
            body += path(plot.line([(0, prevalence), (1, prevalence)]), f"ref s{index % 6}")
    title = "Precision-recall curves. " + "; ".join(
        f"{c.label}: AUPRC {decimal(c.value)} at prevalence {percent(p)}"
        for c, p in zip(curves, prevalences, strict=True)
    )
    known = [c.value for c in curves if c.value is not None]
    low_left = bool(known) and min(known) > 0.3
    names = _curves(plot, curves, from_bottom=low_left, left=low_left)
    return chart(SIZE, SIZE + 16, body + names, title=title, plot=plot)


def decision(points: Sequence[DecisionPoint], label: str) -> Markup:
    """Net benefit of acting on the score, of treating everybody, and of treating nobody."""
    shown = [p for p in points if p.threshold <= 0.5]
    x = Linear(0, max((p.threshold for p in shown), default=0.5) or 0.5, LEFT, LEFT + SIDE)
    best = max((max(p.net_benefit, p.treat_all) for p in shown), default=0.1)
    worst = min((p.net_benefit for p in shown), default=0.0)
    low, high = domain([max(min(worst, -0.25 * best), -max(best, 0.01)), best], least=0.01)
    plot = Plot(x, Linear(low, high, TOP + SIDE, TOP))
    body = plot.frame(x.ticks(5), plot.y.ticks(5), "Threshold probability", "Net benefit")  # type: ignore[call-arg]
    body += path(plot.line([(x.low, 0), (x.high, 0)]), "ref")
    body += path(
        plot.line((p.threshold, p.treat_all) for p in shown if p.treat_all >= low), "curve s1", "treat all"
    )
    upper = [(p.threshold, min(p.high, high)) for p in shown if p.high is not None and p.low is not None]
    lower = [(p.threshold, max(p.low, low)) for p in shown if p.high is not None and p.low is not None]
    if len(upper) > 1:
        body += path(plot.area(upper + lower[::-1]), "band")
    model = simplified([(p.threshold, p.net_benefit) for p in shown], 0.004 * (high - low))
    body += path(plot.line(model), "curve s0", "this entry")
    body += text(LEFT + SIDE - 4, TOP + 14, "this entry", "end s0")
    body += text(LEFT + SIDE - 4, TOP + 30, "treat all", "end s1")
    body += text(LEFT + 4, plot.y(0) - 4, "treat none", "dim")
    return chart(SIZE, SIZE + 16, body, title=f"Decision curve, {label}: net benefit by threshold", plot=plot)


def _curves(plot: Plot, curves: Sequence[Curve], *, from_bottom: bool, left: bool = False) -> str:
    """The curves, with their names in a corner that they leave free."""
    parts = []
    for index, curve in enumerate(curves):
        style = f"s{index % 6}"
        parts.append(path(plot.line(simplified(curve.points)), f"curve {style}", curve.label))
        x = LEFT + 6 if left else LEFT + SIDE - 4
        line = len(curves) - 1 - index if from_bottom else index
        y = TOP + SIDE - 8 - 15 * line if from_bottom else TOP + 14 + 15 * line
        parts.append(text(x, y, f"{curve.label} {decimal(curve.value)}", style if left else f"end {style}"))
    return "".join(parts)


XY = tuple[float, float]


def simplified(points: Sequence[XY], tolerance: float = 0.004) -> list[XY]:
    """The points that the method keeps so that no other is farther than `tolerance` from the line.

    Args:
        points: A curve from its first to its last point.
        tolerance: In the unit of the axes.
    """
    if len(points) < 3:
        return list(points)
    farthest_of = _farthest_of_monotone if _monotone(points) else _farthest
    keep = {0, len(points) - 1}
    spans = [(0, len(points) - 1)]
    while spans:
        first, last = spans.pop()
        farthest = farthest_of(points, first, last, tolerance)
        if farthest is not None:
            keep.add(farthest)
            spans += [span for span in ((first, farthest), (farthest, last)) if span[1] - span[0] > 1]
    return [points[index] for index in sorted(keep)]


def _monotone(points: Sequence[XY]) -> bool:
    """Return whether both coordinates never fall, as on a ROC curve."""
    return all(all(map(le, values, values[1:])) for values in zip(*points, strict=True))


def _farthest_of_monotone(points: Sequence[XY], first: int, last: int, tolerance: float) -> int | None:
    """`_farthest`, quicker: between the ends of a monotone span the nearest point lies within the segment."""
    (x0, y0), (x1, y1) = points[first], points[last]
    dx, dy = x1 - x0, y1 - y0
    start = dx * y0 - dy * x0
    crosses = [abs(dx * y - dy * x - start) for x, y in points[first + 1 : last]]
    largest = max(crosses, default=0.0)
    far = largest > tolerance * math.hypot(dx, dy)
    return first + 1 + crosses.index(largest) if far else None


def _farthest(points: Sequence[XY], first: int, last: int, tolerance: float) -> int | None:
    """Index of the point between that is farthest from the segment, None where all are within `tolerance`."""
    (x0, y0), (x1, y1) = points[first], points[last]
    dx, dy = x1 - x0, y1 - y0
    length = dx * dx + dy * dy
    farthest, largest = None, tolerance * tolerance
    for index, (px, py) in enumerate(points[first + 1 : last], first + 1):
        x, y = px - x0, py - y0
        along = (x * dx + y * dy) / length if length > 0 else 0.0
        along = 0.0 if along < 0 else 1.0 if along > 1 else along
        x, y = x - along * dx, y - along * dy
        squared = x * x + y * y
        if squared > largest:
            farthest, largest = index, squared
    return farthest
