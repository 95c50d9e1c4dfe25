"""Curves with fewer points and the same look: Ramer (1972), Douglas and Peucker (1973)."""

from __future__ import annotations

from collections.abc import Sequence

XY = tuple[float, float]


def simplified(points: Sequence[XY], tolerance: float = 0.004) -> list[XY]:
    """The points that the method keeps so that no other is farther than `tolerance` from the line.

    Args:
        points: A curve from its first to its last point.
        tolerance: In the unit of the axes.
    """
    if len(points) < 3:
        return list(points)
    keep = {0, len(points) - 1}
    spans = [(0, len(points) - 1)]
    while spans:
        first, last = spans.pop()
        farthest, distance = first, tolerance
        for index in range(first + 1, last):
            here = _distance(points[index], points[first], points[last])
            if here > distance:
                farthest, distance = index, here
        if farthest != first:
            keep.add(farthest)
            spans += [(first, farthest), (farthest, last)]
    return [points[index] for index in sorted(keep)]


def _distance(point: XY, start: XY, end: XY) -> float:
    """Distance of `point` from the segment between `start` and `end`."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = dx * dx + dy * dy
    along = 0.0
    if length > 0:
        along = ((point[0] - start[0]) * dx + (point[1] - start[1]) * dy) / length
        along = min(max(along, 0.0), 1.0)
    x, y = start[0] + along * dx, start[1] + along * dy
    return float(((point[0] - x) ** 2 + (point[1] - y) ** 2) ** 0.5)
