"""A thousand patients as squares: found, missed, falsely flagged, and rightly cleared."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from markupsafe import Markup, escape

ROWS, STEP = 25, 8
COLUMNS = 1000 // ROWS
CLASSES = ("tp", "fn", "fp", "tn")

MASK = Markup(
    '<svg class="vh" aria-hidden="true"><defs><pattern id="square" width="8" height="8" '
    'patternUnits="userSpaceOnUse"><rect x="1" y="1" width="6" height="6" rx="1.5" fill="#fff"/></pattern>'
    '<mask id="squares" maskUnits="userSpaceOnUse" x="0" y="0" width="320" height="200">'
    '<rect width="320" height="200" fill="url(#square)"/></mask></defs></svg>'
)
"""What cuts the areas of all icon arrays of a page into squares; stands once on it."""


def icon_array(counts: Sequence[int], title: str) -> Markup:
    """Counts of the four classes, which sum to 1,000, filled column by column.

    Raises:
        ValueError: The counts do not sum to 1,000.
    """
    if sum(counts) != ROWS * COLUMNS:
        raise ValueError(f"the counts {tuple(counts)} do not sum to 1,000")
    edges = accumulate(counts, initial=0)
    areas = "".join(
        f'<path class="{css}" d="{_area(start, end)}"/>'
        for css, (start, end) in zip(CLASSES, pairwise(edges), strict=True)
        if end > start
    )
    return Markup(
        f'<svg class="icons" viewBox="0 0 320 200" role="img" aria-label="{escape(title)}">'
        f'<g mask="url(#squares)">{areas}</g></svg>'
    )


def _area(start: int, end: int) -> str:
    """Path data that covers squares `start` to `end`: a part of a column, whole columns, a part."""
    parts = []
    column, row = divmod(start, ROWS)
    last, rest = divmod(end, ROWS)
    if column == last:
        return _box(column, row, 1, rest - row)
    if row:
        parts.append(_box(column, row, 1, ROWS - row))
        column += 1
    if last > column:
        parts.append(_box(column, 0, last - column, ROWS))
    if rest:
        parts.append(_box(last, 0, 1, rest))
    return "".join(parts)


def _box(column: int, row: int, width: int, height: int) -> str:
    return f"M{STEP * column} {STEP * row}h{STEP * width}v{STEP * height}h-{STEP * width}z"
