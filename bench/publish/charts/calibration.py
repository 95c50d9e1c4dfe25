"""Reliability with its band and bin counts, and the distribution of scores by class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from bench.board.format import plural
from bench.publish.charts.curves import LEFT, SIDE, SIZE, TOP
from bench.publish.charts.scales import Linear, domain
from bench.publish.charts.svg import Plot, bar, chart, path, polyline, square, text
from bench.scoring.scorecard import ReliabilityBin, ScoreDistribution

STRIP = 40


def reliability(bins: Sequence[ReliabilityBin], label: str) -> Markup:
    """Observed frequency against mean prediction, with the interval of each bin, and images per bin below."""
    most = _reach(bins)
    axis = Linear(0, most, LEFT, LEFT + SIDE)
    plot = Plot(axis, Linear(0, most, TOP + SIDE, TOP))
    body = plot.frame(axis.ticks(5), axis.ticks(5), "Predicted probability", "Observed frequency")
    body += path(plot.line([(0, 0), (most, most)]), "ref")
    shown = [b for b in bins if b.mean_prediction is not None and b.observed is not None]
    upper = [(b.mean_prediction, b.observed_high) for b in shown]
    lower = [(b.mean_prediction, b.observed_low) for b in shown]
    band = [(x, y) for x, y in upper + lower[::-1] if x is not None and y is not None]
    if len(band) > 2:
        body += path(plot.area(band), "band")
    centres = [
        (b.mean_prediction, b.observed)
        for b in shown
        if b.mean_prediction is not None and b.observed is not None
    ]
    if centres:
        body += path(plot.line(centres), "curve s0", "observed")
        body += path("".join(square(plot.x(x), plot.y(y), 2.5) for x, y in centres), "dot")
    body += _counts(bins, plot)
    title = f"Reliability, {label}: {plural(len(shown), 'bin')} shown of {len(bins)}"
    return chart(SIZE, SIZE + 16 + STRIP, body, title=title, plot=plot)


SMALL, SMALL_LEFT, SMALL_SIDE, SMALL_TOP = 170, 26, 134, 8


def small_reliability(bins: Sequence[ReliabilityBin], label: str, verdict: str) -> Markup:
    """The same as a small multiple: the ends of the axes only, and the counts as bars in the plot."""
    most = _reach(bins)
    low, high = SMALL_TOP + SMALL_SIDE, SMALL_TOP
    plot = Plot(Linear(0, most, SMALL_LEFT, SMALL_LEFT + SMALL_SIDE), Linear(0, most, low, high))
    frame = [(0.0, 0.0), (most, 0.0), (most, most), (0.0, most)]
    body = path(plot.area(frame), "grid")
    images = [b.images or 0 for b in bins]
    tallest = max(images, default=0) or 1
    bars = (
        bar(
            plot.x(b.low),
            low - 26 * n / tallest,
            max(plot.x(b.high) - plot.x(b.low) - 1, 1),
            26 * n / tallest,
        )
        for b, n in zip(bins, images, strict=True)
        if n
    )
    body += path("".join(bars), "fill faint") + path(plot.line([(0, 0), (most, most)]), "ref")
    shown = [(b.mean_prediction, b.observed) for b in bins]
    centres = [(x, y) for x, y in shown if x is not None and y is not None]
    upper = [(b.mean_prediction, b.observed_high) for b in bins]
    lower = [(b.mean_prediction, b.observed_low) for b in bins]
    band = [(x, y) for x, y in upper + lower[::-1] if x is not None and y is not None]
    body += path(plot.area(band), "band") if len(band) > 2 else ""
    body += path(plot.line(centres), "curve") if centres else ""
    for value in (0.0, most):
        body += text(plot.x(value), low + 13, f"{value:g}", "tick mid")
        body += text(SMALL_LEFT - 4, plot.y(value) + 4, f"{value:g}", "tick end")
    return chart(SMALL, SMALL - 8, body, title=f"Calibration, {label}: {verdict or 'not judged'}")


def _reach(bins: Sequence[ReliabilityBin]) -> float:
    """Upper limit of both axes: rare targets are predicted low, and a drawing up to 1 would be a dot."""
    needed = max(
        (max(b.high, b.observed_high or 0.0, b.observed or 0.0) for b in bins if b.images), default=1.0
    )
    return next((end for end in (0.1, 0.2, 0.25, 0.4, 0.5, 0.6, 0.8) if needed <= end + 1e-9), 1.0)


def distribution(scores: ScoreDistribution, label: str) -> Markup:
    """Shares of each class by score: outlined above the line for the positive, filled for the negative."""
    top = max((*scores.positive, *scores.negative), default=0.0) or 1.0
    x = Linear(*_span(scores), LEFT, LEFT + SIDE)
    y = Linear(*(0.0, domain([0, 1.25 * top], least=0.01)[1]), TOP + SIDE, TOP)
    plot = Plot(x, y)
    ticks = x.ticks(5)
    body = plot.frame(ticks, y.ticks(5), "Score", "Share of the class")
    edges = plot.x.positions(_edges(scores, scores.positive))
    body += path(_stairs(edges, plot.y.positions(scores.negative), plot.y(0)), "fill s1")
    body += path(_outline(edges, plot.y.positions(scores.positive), plot.y(0)), "curve s0", "positive")
    body += text(LEFT + SIDE - 4, TOP + 14, "positive (line)", "end s0")
    body += text(LEFT + SIDE - 4, TOP + 30, "negative (filled)", "end s1")
    return chart(SIZE, SIZE + 16, body, title=f"Distribution of scores by class, {label}", plot=plot)


def _span(scores: ScoreDistribution) -> tuple[float, float]:
    """Return the ends of the first and of the last bin that is not empty."""
    edges = _edges(scores, scores.positive)
    filled = [i for i, shares in enumerate(zip(scores.positive, scores.negative, strict=True)) if any(shares)]
    low, high = (edges[filled[0]], edges[filled[-1] + 1]) if filled else (scores.low, scores.high)
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def _counts(bins: Sequence[ReliabilityBin], plot: Plot) -> str:
    most = max((b.images or 0 for b in bins), default=0)
    if not most:
        return ""
    base = SIZE + 10 + STRIP
    bars = (
        bar(
            plot.x(b.low) + 1,
            base - 30 * b.images / most,
            max(plot.x(b.high) - plot.x(b.low) - 2, 1),
            30 * b.images / most,
        )
        for b in bins
        if b.images
    )
    return path("".join(bars), "fill") + text(LEFT - 6, base, "n", "tick end")


def _edges(scores: ScoreDistribution, shares: Sequence[float]) -> list[float]:
    width = (scores.high - scores.low) / max(len(shares), 1)
    return [scores.low + width * index for index in range(len(shares) + 1)]


def _stairs(edges: Sequence[float], tops: Sequence[float], base: float) -> str:
    """A filled histogram, as path data."""
    steps = [f"V{top:.1f}H{end:.1f}" for end, top in zip(edges[1:], tops, strict=True)]
    return f"M{edges[0]:.1f} {base:.1f}{''.join(steps)}V{base:.1f}Z"


def _outline(edges: Sequence[float], tops: Sequence[float], base: float) -> str:
    """The same as a line through points, which the script can read."""
    steps = [(x, top) for sides, top in zip(pairwise(edges), tops, strict=True) for x in sides]
    return polyline([(edges[0], base), *steps, (edges[-1], base)])
