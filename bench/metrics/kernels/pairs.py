"""Compiled loops over all pairs of entries of a board, in tiles of entries that stay in the cache."""

from __future__ import annotations

import numpy as np

from bench.metrics.kernels.compiled import compiled_loop
from bench.metrics.kernels.scan import LANES

TILE = 16
"""Entries that are compared with each other while they are in the cache."""

BAND = 64
"""Entries whose differences from one are summed side by side."""


@compiled_loop()
def pair_errors(columns):  # type: ignore[no-untyped-def]
    """Standard deviation over replicates of the difference of every pair, from the differences themselves.

    Args:
        columns: (B, S) replicates less the entry's mean over replicates.

    Returns:
        (S, S) symmetric, zero on the diagonal.
    """
    replicates, entries = columns.shape
    errors = np.zeros((entries, entries))
    squares = np.empty(BAND)
    for left in range(0, entries, BAND):
        for i in range(left + 1, entries):
            stop = min(left + BAND, i)
            squares[:] = 0
            for b in range(replicates):
                one, others = columns[b, i], columns[b, left:stop]
                for j in range(len(others)):
                    squares[j] += (one - others[j]) ** 2
            for j in range(stop - left):
                errors[i, left + j] = errors[left + j, i] = np.sqrt(squares[j] / (replicates - 1))
    return errors


@compiled_loop()
def widest_by_entry(centred, precision):  # type: ignore[no-untyped-def]
    """For every entry and replicate the largest standardised distance from any other entry.

    Args:
        centred: (S, B) replicates less the entry's value.
        precision: (S, S) 1 / standard error of the difference, 0 for pairs to leave out.

    Returns:
        (S, B) max over j of |centred[i] - centred[j]| * precision[i, j].
    """
    entries, drawn = centred.shape
    widest = np.zeros((entries, drawn))
    for start in range(0, drawn, LANES):
        stop = min(start + LANES, drawn)
        for top in range(0, entries, TILE):
            for left in range(0, min(top + TILE, entries), TILE):
                for i in range(top, min(top + TILE, entries)):
                    one, mine = centred[i, start:stop], widest[i, start:stop]
                    for j in range(left, min(left + TILE, i)):
                        scale = precision[i, j]
                        if scale > 0:
                            other, yours = centred[j, start:stop], widest[j, start:stop]
                            for b in range(len(one)):
                                distance = abs(one[b] - other[b]) * scale
                                mine[b] = max(mine[b], distance)
                                yours[b] = max(yours[b], distance)
    return widest


@compiled_loop()
def widest_of_all(centred, precision):  # type: ignore[no-untyped-def]
    """(B,) the largest standardised distance of any pair in every replicate; see `widest_by_entry`."""
    entries, drawn = centred.shape
    widest = np.zeros(drawn)
    for start in range(0, drawn, LANES):
        stop = min(start + LANES, drawn)
        most = widest[start:stop]
        for top in range(0, entries, TILE):
            for left in range(0, min(top + TILE, entries), TILE):
                for i in range(top, min(top + TILE, entries)):
                    one = centred[i, start:stop]
                    for j in range(left, min(left + TILE, i)):
                        scale = precision[i, j]
                        if scale > 0:
                            other = centred[j, start:stop]
                            for b in range(len(one)):
                                most[b] = max(most[b], abs(one[b] - other[b]) * scale)
    return widest
