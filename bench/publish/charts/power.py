"""Chance that a new entry would be separated from the leader, by its true AUROC."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from bench.board.format import decimal
from bench.board.verdict import lead_of_power, power
from bench.publish.charts.scales import Linear
from bench.publish.charts.svg import Plot, at, chart, path, text

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 430, 236, 44, 408, 28, 188
POINTS = 32
WANTED = 0.8


@dataclass(frozen=True, slots=True)
class PowerCurve:
    """The drawing, and the AUROC that is separated with 80% and 50% probability; None above 1."""

    drawing: Markup
    at_80: float | None
    at_50: float | None


def power_curve(leader: float, half: float, critical: float) -> PowerCurve:
    """The curve from the leader's AUROC on.

    Args:
        leader: AUROC of the leader.
        half: Half-width of the adjusted interval of a difference from it.
        critical: Critical value of all pairs.
    """
    sure, even = (leader + lead_of_power(share, half, critical) for share in (WANTED, 0.5))
    high = min(1.0, leader + 2.2 * lead_of_power(WANTED, half, critical))
    x, y = Linear(leader, high, LEFT, RIGHT), Linear(0, 1, BOTTOM, TOP)
    plot = Plot(x, y)
    body = plot.frame(
        x.ticks(5), (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "True AUROC of a new entry", "Chance of being separated"
    )
    steps = [leader + (high - leader) * k / POINTS for k in range(POINTS + 1)]
    body += path(plot.line((v, power(v - leader, half, critical)) for v in steps), "curve s0", "chance")
    if sure <= high:
        body += path(f"M{at(x(sure))} {at(y(WANTED))}V{at(BOTTOM)}", "ref")
        body += f'<circle class="dot" cx="{at(x(sure))}" cy="{at(y(WANTED))}" r="4.5"/>'
        body += text(x(sure) - 8, y(WANTED) - 6, f"80% at {decimal(sure)}", "end")
    title = f"Chance of being separated from the leader, by true AUROC: 50% at {decimal(even)}, "
    title += f"80% at {decimal(sure)}" if sure <= 1 else "80% is not reached below 1"
    return PowerCurve(
        chart(WIDTH, HEIGHT, body, title=title, plot=plot),
        sure if sure <= 1 else None,
        even if even <= 1 else None,
    )
