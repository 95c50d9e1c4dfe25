"""Reads a predictions file, CSV (optionally gzip) or Parquet, told apart by content, sizes bounded."""

from __future__ import annotations

import gzip
import io
import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from bench.errors import BenchError, Problem
from bench.file_kinds import other_kind
from bench.submission.bounded_read import read_bounded
from bench.submission.read_parquet import MOST_COLUMNS, TooLargeError, read_parquet

MAX_BYTES = 512 * 2**20
SHOWN = 5
"""Places that a message names."""
MOST_RAGGED = 10_000
"""Rows of another length than the header's after which no more are counted."""

_NO_HEADER = "The first line is the header, with a column for each target: remove what stands above it."
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class RawPredictions:
    """A predictions file as read.

    Attributes:
        table: Its columns; types as found, except that text stays text.
        text: The text of a CSV file, in which a row has a line; None for Parquet.
        nested: Columns of Parquet that hold lists or records and were not read, with their types.
    """

    table: pa.Table
    text: bytes | None
    nested: Mapping[str, str] = field(default_factory=dict)

    def first(self, rows: Iterable[int]) -> str:
        """Where the first of these rows stand, for messages: ``first at line 4, 5``."""
        shown = sorted(int(row) for row in islice(rows, SHOWN))
        if self.text is None:
            return f"first in row {_listed(row + 1 for row in shown)}"
        return f"first at line {_listed(self._lines.of(row + 1 for row in shown))}"

    @cached_property
    def _lines(self) -> Lines:
        """Worked out for the first message alone: a file may get one for each check and column."""
        return Lines(self.text or b"")


def _listed(numbers: Iterable[object]) -> str:
    return ", ".join(map(str, numbers))


def read_predictions_file(path: Path, text_columns: tuple[str, ...]) -> RawPredictions:
    """Reads the file without interpreting it.

    Args:
        path: CSV, gzipped CSV or Parquet.
        text_columns: Columns that hold ids, kept as text (``007`` stays ``007``).

    Raises:
        BenchError: The file is missing, too large, damaged or of another kind (``predictions-unreadable``,
            ``predictions-format``, ``predictions-ragged``).
    """
    data = read_bounded(path, MAX_BYTES, lambda message, remedy: _unreadable(path, message, remedy))
    if data[:2] == b"\x1f\x8b":
        data = _gunzip(data, path)
    if kind := other_kind(data):
        message = f"It is {kind.name}, not CSV or Parquet."
        raise BenchError(Problem("predictions-format", message, str(path), kind.remedy))
    if data[:4] == b"PAR1":
        table, nested = _parquet(data, path, text_columns)
        return RawPredictions(table, None, nested)
    if not data or data.isspace():
        raise _unreadable(path, "It is empty.")
    if not data.strip(b"\0"):
        raise _unreadable(path, "It holds only zero bytes, as a copy that was not finished does.")
    return RawPredictions(_csv(data, path, text_columns), data)


def _unreadable(path: Path, message: str, remedy: str = "") -> BenchError:
    return BenchError(Problem("predictions-unreadable", message, str(path), remedy))


def _gunzip(data: bytes, path: Path) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            text = stream.read(MAX_BYTES + 1)
    except EOFError as error:
        raise _unreadable(path, "The gzip file is truncated.") from error
    except (OSError, zlib.error) as error:
        raise _unreadable(path, f"The gzip file is damaged: {error}.") from error
    if len(text) > MAX_BYTES:
        raise _unreadable(path, f"It unpacks to more than {MAX_BYTES // 2**20} MiB.")
    return text


def _parquet(data: bytes, path: Path, text_columns: tuple[str, ...]) -> tuple[pa.Table, dict[str, str]]:
    try:
        table, nested = read_parquet(data, MAX_BYTES)
        _require_distinct_columns(table, path)
    except TooLargeError as error:
        raise _unreadable(path, str(error)) from error
    except (pa.ArrowException, OSError, ValueError, EOFError) as error:
        raise _unreadable(path, f"The Parquet file is damaged or truncated: {_first_line(error)}") from error
    for name in set(text_columns) & set(table.column_names):
        ids = table.column(name)
        try:
            table = table.set_column(table.column_names.index(name), name, ids.cast(pa.string()))
        except pa.ArrowException as error:
            message = f"The ids are of type {ids.type}, which is no text."
            raise BenchError(Problem("predictions-header", message, f"{path}, column {name}")) from error
    return table, nested


def _csv(data: bytes, path: Path, text_columns: tuple[str, ...]) -> pa.Table:
    try:
        if not data.isascii():
            data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"Line {line:,} is not UTF-8 text: {error.reason}."
        remedy = (
            "Save it as UTF-8; spreadsheet programs call it CSV UTF-8. An ONNX file is named with `--model`."
        )
        raise _unreadable(path, message, remedy) from error
    header = data[: data.find(b"\n") + 1] or data
    if (columns := header.partition(b"\r")[0].count(b",") + 1) > MOST_COLUMNS:
        raise _unreadable(path, f"Its first line has {columns:,} columns; at most {MOST_COLUMNS:,} are read.")
    if b"," not in header:
        for delimiter, name in ((b";", "semicolons"), (b"\t", "tabs"), (b"|", "bars")):
            if delimiter in header:
                message = f"Its columns are separated by {name}."
                raise BenchError(Problem("predictions-delimiter", message, where=str(path)))
    ragged: list[_Ragged] = []
    options = pyarrow.csv.ConvertOptions(
        column_types={name: pa.string() for name in text_columns}, strings_can_be_null=False
    )
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            parse_options=_noting(ragged, MOST_RAGGED, broken=_may_break(data)),
            convert_options=options,
        )
    except pa.ArrowException as error:
        if not ragged:
            raise _unreadable(path, f"It cannot be parsed as CSV: {_first_line(error)}") from error
    if ragged:
        remedy = "" if ragged[0].expected > 1 else _NO_HEADER
        raise BenchError(Problem("predictions-ragged", _ragged_rows(data, ragged), str(path), remedy))
    _require_distinct_columns(table, path)
    return table


class _Ragged(NamedTuple):
    """A row of another length than the header's; its number, from 1, is only known to a single thread."""

    columns: int
    expected: int
    number: int | None


def _may_break(data: bytes) -> bool:
    """Whether a text in quotes may hold line breaks that a reader by blocks must be told of."""
    return len(data) > BLOCK and b'"' in data


def _noting(rows: list[_Ragged], most: int, *, broken: bool) -> pyarrow.csv.ParseOptions:
    """Options that skip ragged rows and note them in `rows`; reading ends at the last of `most`.

    With `broken` a text in quotes may go over several lines, which takes longer to read.
    """

    def note(row: pyarrow.csv.InvalidRow) -> str:
        if len(rows) < most:  # other threads go on for a moment
            rows.append(_Ragged(row.actual_columns, row.expected_columns, row.number))
        return "skip" if len(rows) < most else "error"

    return pyarrow.csv.ParseOptions(invalid_row_handler=note, newlines_in_values=broken)


def _ragged_rows(data: bytes, rows: list[_Ragged]) -> str:
    """What is said of ragged rows; their lines are looked for in a second reading by one thread."""
    found: list[_Ragged] = []
    with suppress(pa.ArrowException):
        blocks = pyarrow.csv.open_csv(
            pa.BufferReader(data),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, autogenerate_column_names=True),
            parse_options=_noting(found, SHOWN, broken=_may_break(data)),
            convert_options=pyarrow.csv.ConvertOptions(  # one column as text, so that no value is at fault
                include_columns=["f0"], column_types={"f0": pa.string()}
            ),
        )
        deque(blocks, maxlen=0)
    lines = Lines(data).of(row.number - 1 for row in found if row.number)
    first, *others = lines or [0]
    place = f"; first at line {_listed([f'{first} (with {found[0].columns})', *others])}" if lines else ""
    count = "1 row does" if len(rows) == 1 else f"{len(rows):,} rows do"
    columns = "1 column" if rows[0].expected == 1 else f"{rows[0].expected} columns"
    more = "At least " if len(rows) >= MOST_RAGGED else ""
    return f"{more}{count} not have the {columns} of the header{place}."


def _require_distinct_columns(table: pa.Table, path: Path) -> None:
    names = table.column_names
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        message = f"Columns appear more than once: {', '.join(map(repr, repeated))}."
        raise BenchError(Problem("predictions-header", message, where=str(path)))


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()
    return text[0][:300] if text else type(error).__name__


BLOCK = 2**20

Flags = npt.NDArray[np.bool_]


class Lines:
    """Line numbers, from 1, of the rows of a CSV text: its header is row 0, and empty lines are no rows.

    A line break within quotes ends a line and no row.

    The text is gone through once. What is kept are counts for each block of it, since a list of the lines of
    many short rows would take more memory than the text; to find a row, its block alone is read again.

    Args:
        text: Lines end with a line feed, or with a carriage return where there is no line feed.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._returns_end_lines = b"\n" not in text
        self._quoted = b'"' in text
        self._rows, self._lines, self._before, self._open = [0], [1], [b"\n"], [0]
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
        characters = np.frombuffer(joined, np.uint8)
        feeds = characters == ord("\n")
        ends_row = feeds
        if self._quoted:
            quotes = self._open[block] + np.cumsum(characters[1:] == ord('"'))
            if len(self._open) == block + 1:
                self._open.append(int(quotes[-1]) % 2 if quotes.size else self._open[block])
            ends_row = feeds & np.concatenate([[self._open[block] % 2 == 0], quotes % 2 == 0])
        return ends_row[:-1] & ~feeds[1:], feeds[1:], joined[-1:]
