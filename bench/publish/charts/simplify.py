"""Curves with fewer points and the same look: Ramer (1972), Douglas and Peucker (1973)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import le

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
            spans += [(first, farthest), (farthest, last)]
    return [points[index] for index in sorted(keep)]


def _monotone(points: Sequence[XY]) -> bool:
    """Whether both coordinates never fall, as on a ROC curve."""
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
    found, largest = None, tolerance * tolerance
    for index in range(first + 1, last):
        x, y = points[index][0] - x0, points[index][1] - y0
        along = (x * dx + y * dy) / length if length > 0 else 0.0
        along = 0.0 if along < 0 else 1.0 if along > 1 else along
        x, y = x - along * dx, y - along * dy
        squared = x * x + y * y
        if squared > largest:
            found, largest = index, squared
    return found
