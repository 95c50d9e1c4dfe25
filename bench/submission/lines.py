"""Where the rows of a CSV text stand, for messages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

BLOCK = 2**20

Flags = npt.NDArray[np.bool_]


class Lines:
    """Line numbers, from 1, of the rows of a CSV text: its header is row 0, and empty lines are no rows.

    The text is gone through once. What is kept are counts for each block of it, since a list of the lines of
    many short rows would take more memory than the text; to find a row, its block alone is read again.

    Args:
        text: Lines end with a line feed, or with a carriage return where there is no line feed.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._returns_end_lines = b"\n" not in text
        self._rows, self._lines, self._before = [0], [1], [b"\n"]
        for block in range(-(-len(text) // BLOCK)):
            begins, ends, last = self._block(block)
            self._rows.append(self._rows[-1] + int(np.count_nonzero(begins)))
            self._lines.append(self._lines[-1] + int(np.count_nonzero(ends)))
            self._before.append(last)

    def of(self, rows: Iterable[int]) -> list[int]:
        """The lines of those of these rows that the text has, in ascending order."""
        return [self._line(row) for row in sorted(set(rows)) if row < self._rows[-1]]

    def _line(self, row: int) -> int:
        block = bisect_right(self._rows, row) - 1
        begins, ends, _ = self._block(block)
        place = np.flatnonzero(begins)[row - self._rows[block]]
        return self._lines[block] + int(np.count_nonzero(ends[:place]))

    def _block(self, block: int) -> tuple[Flags, Flags, bytes]:
        """For each byte of a block whether a row begins there and whether a line ends; and the last byte."""
        part = self._text[block * BLOCK : (block + 1) * BLOCK]
        part = part.replace(b"\r", b"\n") if self._returns_end_lines else part.translate(None, b"\r")
        joined = self._before[block] + part
        feeds = np.frombuffer(joined, np.uint8) == ord("\n")
        return feeds[:-1] & ~feeds[1:], feeds[1:], joined[-1:]
