"""Compiled loops over all pairs of entries of a board, in tiles of entries that stay in the cache."""

from __future__ import annotations

import numpy as np

from bench.metrics.kernels.compiled import compiled_loop
from bench.metrics.kernels.scan import LANES

TILE = 16
"""Entries that are compared with each other while they are in the cache."""

BAND = 128
"""Entries whose differences from one are summed side by side, and columns that are read before the next."""


@compiled_loop()
def pair_moments(rows):  # type: ignore[no-untyped-def]
    """Sums of squares and of fourth powers of the difference of every pair of rows.

    Summed from the differences themselves, column after column, so that nothing cancels between nearly equal
    rows and the result is the same on every machine.

    Args:
        rows: (S, N) a row for every entry.

    Returns:
        (S, S) sums of squares and (S, S) sums of fourth powers, symmetric, zero on the diagonal.
    """
    entries, columns = rows.shape
    squares, fourths = np.zeros((entries, entries)), np.zeros((entries, entries))
    panel = np.empty((BAND, BAND))
    for start in range(0, columns, BAND):
        width = min(BAND, columns - start)
        for left in range(0, entries, BAND):
            for j in range(left, min(left + BAND, entries)):
                panel[:width, j - left] = rows[j, start : start + width]
            for i in range(left + 1, entries):
                others = min(BAND, i - left)
                square, fourth = squares[i, left : left + others], fourths[i, left : left + others]
                for k in range(width):
                    value, column = rows[i, start + k], panel[k]
                    for j in range(others):
                        distance = (value - column[j]) ** 2
                        square[j] += distance
                        fourth[j] += distance * distance
    for i in range(entries):
        squares[:i, i], fourths[:i, i] = squares[i, :i], fourths[i, :i]
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
                    row = centred[i, start:stop]
                    for j in range(left, min(left + TILE, i)):
                        scale = precision[i, j]
                        if scale > 0:
                            other = centred[j, start:stop]
                            for b in range(len(row)):
                                most[b] = max(most[b], abs(row[b] - other[b]) * scale)
    return largest
