"""The few SVG elements that the charts are made of.

Style comes from classes, since the content policy of the pages stops inline style.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup, escape

from bench.board.format import printable
from bench.publish.charts.scales import Linear, Log, tick_texts


def at(value: float) -> str:
    """A coordinate with at most one decimal."""
    written = f"{value:.1f}".removesuffix(".0")
    return "0" if written == "-0" else written


def attributes(names: dict[str, str]) -> str:
    """Attributes as text, escaped; those that are empty are left out."""
    return "".join(f' {name}="{escape(printable(value))}"' for name, value in names.items() if value)


def text(x: float, y: float, content: str, css: str = "") -> str:
    """A text whose anchor and size the class decides."""
    style = f' class="{css}"' if css else ""
    return f'<text{style} x="{at(x)}" y="{at(y)}">{escape(printable(content))}</text>'


def path(data: str, css: str, name: str = "") -> str:
    """A path, written without decimals that are 0; a `name` lets the script say its values."""
    named = attributes({"data-n": name}) if name else ""
    return f'<path class="{css}"{named} d="{_TRAILING_ZERO.sub("", data)}"/>'


_TRAILING_ZERO = re.compile(r"\.0(?![0-9])")


def polyline(points: Iterable[tuple[float, float]]) -> str:
    """Path data through `points`."""
    return "M" + "L".join([f"{x:.1f} {y:.1f}" for x, y in points])


def polygon(points: Iterable[tuple[float, float]]) -> str:
    """Path data of a closed shape."""
    return polyline(points) + "Z"


def bar(x: float, y: float, width: float, height: float) -> str:
    """Path data of a rectangle."""
    return f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h{-width:.1f}z"


def square(x: float, y: float, half: float) -> str:
    """Path data of a square around a point."""
    side = f"{2 * half:g}"
    return f"M{x - half:.1f} {y - half:.1f}h{side}v{side}h-{side}z"


def link(content: str, href: str, label: str, slug: str = "") -> str:
    """A link around marks, named for those who cannot see them."""
    return f"<a{attributes({'href': href, 'data-e': slug, 'aria-label': label})}>{content}</a>"


def tooltip(content: str) -> str:
    """The words that a mark shows on hover and tells assistive software."""
    return f"<title>{escape(printable(content))}</title>"


def chart(
    width: float,
    height: float,
    body: str,
    *,
    title: str,
    css: str = "",
    linked: bool = False,
    plot: Plot | None = None,
) -> Markup:
    """A whole chart. One with links is a group, one without is an image; both are named by `title`.

    With `plot` its axes go along, so that the script can say the values of its named paths.
    """
    role = "group" if linked else "img"
    axes = {"data-x": plot.x, "data-y": plot.y} if plot else {}
    ends = {key: f"{a.low:g} {a.high:g} {at(a.start)} {at(a.end)}" for key, a in axes.items()}
    names = attributes({"class": f"chart {css}".strip(), "role": role, "aria-label": title, **ends})
    return Markup(f'<svg{names} viewBox="0 0 {at(width)} {at(height)}">{body}</svg>')


@dataclass(frozen=True, slots=True)
class Plot:
    """A rectangle with two axes: `x` runs to the right, `y` upwards."""

    x: Linear | Log
    y: Linear | Log

    @lru_cache(maxsize=256)  # noqa: B019 - plots are small values, and most share one frame
    def frame(
        self,
        x_ticks: tuple[float, ...],
        y_ticks: tuple[float, ...],
        x_label: str,
        y_label: str,
        *,
        x_texts: tuple[str, ...] | None = None,
        y_texts: tuple[str, ...] | None = None,
    ) -> str:
        """Grid lines, tick texts and axis names."""
        left, right, bottom, top = self.x.start, self.x.end, self.y.start, self.y.end
        grid = "".join(f"M{at(self.x(v))} {at(top)}V{at(bottom)}" for v in x_ticks)
        grid += "".join(f"M{at(left)} {at(self.y(v))}H{at(right)}" for v in y_ticks)
        parts = [path(grid, "grid")]
        for value, words in zip(x_ticks, x_texts or tick_texts(x_ticks), strict=True):
            parts.append(text(self.x(value), bottom + 15, words, "tick mid"))
        for value, words in zip(y_ticks, y_texts or tick_texts(y_ticks), strict=True):
            parts.append(text(left - 6, self.y(value) + 4, words, "tick end"))
        parts.append(text((left + right) / 2, bottom + 32, x_label, "name mid"))
        if y_label:
            parts.append(text(left, top - 8, y_label, "name"))
        return "".join(parts)

    def line(self, points: Iterable[tuple[float, float]]) -> str:
        """Path data through points given in values."""
        return polyline(self._placed(points))

    def area(self, points: Iterable[tuple[float, float]]) -> str:
        """Path data of a closed shape given in values."""
        return polygon(self._placed(points))

    def _placed(self, points: Iterable[tuple[float, float]]) -> Iterable[tuple[float, float]]:
        listed = list(points)
        xs, ys = self.x.positions([x for x, _ in listed]), self.y.positions([y for _, y in listed])
        return zip(xs, ys, strict=True)
