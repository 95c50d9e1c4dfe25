"""Compiled loops over all pairs of entries of a board, in tiles of entries that stay in the cache."""

from __future__ import annotations

import numpy as np

from bench.metrics.kernels.compiled import compiled_loop
from bench.metrics.kernels.scan import LANES
from bench.metrics.validation import Floats

TILE = 16
"""Entries that are compared with each other while they are in the cache."""

BAND = 128
"""Entries whose differences from one are summed side by side, and columns that are read before the next."""


@compiled_loop()
def add_squares(square, values, panel):  # type: ignore[no-untyped-def]
    """Add (value - column)² of every column in turn, four columns at a time.

    Args:
        square: (others,) sums.
        values: (width,) one row.
        panel: (width, others or more) the columns of the other rows.
    """
    k, others = 0, len(square)
    while k + 3 < len(values):
        a, b, c, d = values[k], values[k + 1], values[k + 2], values[k + 3]
        one, two, three, four = panel[k], panel[k + 1], panel[k + 2], panel[k + 3]
        for j in range(others):
            partly = square[j] + (a - one[j]) ** 2 + (b - two[j]) ** 2
            square[j] = partly + (c - three[j]) ** 2 + (d - four[j]) ** 2
        k += 4
    while k < len(values):
        for j in range(others):
            square[j] += (values[k] - panel[k, j]) ** 2
        k += 1


@compiled_loop()
def add_moments(square, fourth, values, panel):  # type: ignore[no-untyped-def]
    """`add_squares`, with the fourth powers added to `fourth`."""
    k, others = 0, len(square)
    while k + 3 < len(values):
        a, b, c, d = values[k], values[k + 1], values[k + 2], values[k + 3]
        one, two, three, four = panel[k], panel[k + 1], panel[k + 2], panel[k + 3]
        for j in range(others):
            p, q, r, s = (a - one[j]) ** 2, (b - two[j]) ** 2, (c - three[j]) ** 2, (d - four[j]) ** 2
            square[j] = square[j] + p + q + r + s
            fourth[j] = fourth[j] + p * p + q * q + r * r + s * s
        k += 4
    while k < len(values):
        for j in range(others):
            p = (values[k] - panel[k, j]) ** 2
            square[j] += p
            fourth[j] += p * p
        k += 1


@compiled_loop()
def sum_pairs(rows, with_fourths):  # type: ignore[no-untyped-def]
    """`pair_squares` and, where `with_fourths`, the sums of fourth powers; otherwise these are zero."""
    entries, columns = rows.shape
    squares, fourths = np.zeros((entries, entries)), np.zeros((entries, entries))
    panel = np.empty((BAND, BAND))
    for start in range(0, columns, BAND):
        width = min(BAND, columns - start)
        for left in range(0, entries, BAND):
            for j in range(left, min(left + BAND, entries)):
                panel[:width, j - left] = rows[j, start : start + width]
            for i in range(left + 1, entries):
                end = min(left + BAND, i)
                values, square = rows[i, start : start + width], squares[i, left:end]
                if with_fourths:
                    add_moments(square, fourths[i, left:end], values, panel)
                else:
                    add_squares(square, values, panel)
    for i in range(entries):
        squares[:i, i], fourths[:i, i] = squares[i, :i], fourths[i, :i]
    return squares, fourths


def pair_squares(rows: Floats) -> Floats:
    """Sums of squares of the difference of every pair of rows.

    Summed from the differences themselves, column after column, so that nothing cancels between nearly equal
    rows and the result is the same on every machine.

    Args:
        rows: (S, N) a row for every entry.

    Returns:
        (S, S), symmetric, zero on the diagonal.
    """
    squares: Floats = sum_pairs(rows, False)[0]
    return squares


def pair_moments(rows: Floats) -> tuple[Floats, Floats]:
    """`pair_squares`, and the sums of fourth powers of the same differences."""
    squares, fourths = sum_pairs(rows, True)
    return squares, fourths


@compiled_loop()
def largest_distance(centred, precision):  # type: ignore[no-untyped-def]
    """The largest standardised distance of any pair of entries in every replicate.

    Args:
        centred: (S, B) replicates less the entry's value.
        precision: (S, S) 1 / standard error of the difference, 0 for pairs to leave out.

    Returns:
        (B,) max over pairs of |centred[i] - centred[j]| * precision[i, j].
    """
    entries, replicates = centred.shape
    largest = np.zeros(replicates)
    for start in range(0, replicates, LANES):
        stop = min(start + LANES, replicates)
        most = largest[start:stop]
        for top in range(0, entries, TILE):
            for left in range(0, min(top + TILE, entries), TILE):
                for i in range(top, min(top + TILE, entries)):
                    row, scale = centred[i, start:stop], precision[i]
                    j, end = left, min(left + TILE, i)
                    while j + 3 < end:
                        p, q, r, s = scale[j], scale[j + 1], scale[j + 2], scale[j + 3]
                        one, two = centred[j, start:stop], centred[j + 1, start:stop]
                        three, four = centred[j + 2, start:stop], centred[j + 3, start:stop]
                        for b in range(len(row)):
                            first = max(abs(row[b] - one[b]) * p, abs(row[b] - two[b]) * q)
                            second = max(abs(row[b] - three[b]) * r, abs(row[b] - four[b]) * s)
                            most[b] = max(most[b], max(first, second))
                        j += 4
                    while j < end:
                        one = centred[j, start:stop]
                        for b in range(len(row)):
                            most[b] = max(most[b], abs(row[b] - one[b]) * scale[j])
                        j += 1
    return largest
