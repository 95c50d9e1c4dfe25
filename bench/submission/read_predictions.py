"""Read a predictions file, CSV (optionally gzip) or Parquet, recognised by content, sizes bounded."""

from __future__ import annotations

import gzip
import io
import zlib
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from bench.errors import BenchError, Problem
from bench.file_kinds import other_kind
from bench.sandbox.reader import read_in_sandbox
from bench.submission.read_parquet import MOST_COLUMNS, TooLargeError, read_parquet

MAX_BYTES = 512 * 2**20
SHOWN = 5
"""Places that a message names."""
MOST_RAGGED = 10_000
"""Rows of another length than the header's after which no more are counted."""

_NO_HEADER = "The first line is the header, with a column for each target: remove the lines above it."
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class RawPredictions:
    """A predictions file as read.

    Attributes:
        table: Its columns; types as found, except that text stays text. A column not in use is of nulls.
        lines: (n,) line of each row of a CSV file, from 1; None for Parquet.
        nested: Columns of Parquet that hold lists or records and were not read, with their types.
    """

    table: pa.Table
    lines: npt.NDArray[np.int32] | None
    nested: Mapping[str, str] = field(default_factory=dict)

    def first(self, rows: Iterable[int]) -> str:
        """Say where the first of these rows stand, for messages: ``first at line 4, 5``."""
        shown = sorted(int(row) for row in islice(rows, SHOWN))
        if self.lines is None:
            return f"first in row {_listed(row + 1 for row in shown)}"
        return f"first at line {_listed(self.lines[shown].tolist())}"


def _listed(numbers: Iterable[object]) -> str:
    return ", ".join(map(str, numbers))


def read_predictions_file(
    path: Path, text_columns: tuple[str, ...], used: Collection[str], images: int
) -> tuple[RawPredictions, str]:
    """Read a predictions file in the sandboxed worker, without interpreting it.

    Args:
        path: CSV, gzipped CSV or Parquet.
        text_columns: Columns that hold ids, kept as text (``007`` stays ``007``).
        used: Columns that are read; of the others the names alone.
        images: Images of the cohort, which bound how many rows are read.

    Returns:
        The file's content, and the SHA-256 of its bytes.

    Raises:
        BenchError: The file is missing, too large, damaged or of another kind (``predictions-unreadable``,
            ``predictions-format``, ``predictions-ragged``).
    """
    most_bytes = max(LEAST_ROOM, ROOM_PER_IMAGE * images)
    arguments = {
        "where": str(path),
        "text_columns": list(text_columns),
        "used": sorted(used),
        "most_bytes": most_bytes,
    }
    answer = read_in_sandbox(
        f"{__name__}:packed_predictions",
        path,
        MAX_BYTES,
        lambda message, remedy: _unreadable(path, message, remedy),
        arguments,
        most_bytes=2 * most_bytes,
    )
    try:
        return unpacked_predictions(answer.header, answer.arrays), answer.sha256
    except (ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise _unreadable(path, "The process that read it gave no valid answer.") from error


LEAST_ROOM = 16 * 2**20
ROOM_PER_IMAGE = 256
"""Bytes of ids and predictions that are taken from a file, at least and for each image of the cohort."""
LONGEST_NAME = 1_000


def packed_predictions(
    data: bytes, *, where: str, text_columns: list[str], used: list[str], most_bytes: int
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]], bytes]:
    """Read predictions and pack the columns in use as plain arrays; runs in the sandboxed worker."""
    path = Path(where)
    raw = parse_predictions(data, path, tuple(text_columns))
    names = raw.table.column_names
    if long := [name for name in names if len(name) > LONGEST_NAME]:
        raise _unreadable(path, f"The name of a column has {len(long[0]):,} characters.")
    kinds: list[str] = []
    arrays: dict[str, npt.NDArray[Any]] = {}
    for index, name in enumerate(names):
        kind, parts = _plain(raw.table.column(index)) if name in used else ("null", {})
        kinds.append(kind)
        arrays |= {f"{part}{index}": array for part, array in parts.items()}
    if (size := sum(array.nbytes for array in arrays.values())) > most_bytes:
        message = (
            f"Ids and predictions of its {len(raw.table):,} rows take {size / 2**20:,.1f} MiB; "
            f"at most {most_bytes / 2**20:,.0f} MiB are read for this cohort."
        )
        raise _unreadable(path, message, "Keep the rows of the cohort's images alone.")
    if raw.lines is not None:
        arrays["lines"] = raw.lines
    header = {"names": names, "kinds": kinds, "rows": len(raw.table), "nested": dict(raw.nested)}
    return header, arrays, b""


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column with pandas' categories as their values, and decimals of SQL, Spark and DuckDB as text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string()) if pa.types.is_decimal(column.type) else column


def _plain(column: pa.ChunkedArray) -> tuple[str, dict[str, npt.NDArray[Any]]]:
    """Return the kind of a column, and its values as plain arrays."""
    column = decoded(column)
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return "number", {"values": column.cast(pa.float64(), safe=False).to_numpy()}
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return str(kind)[:60], {}
    text = pa.concat_arrays(
        [chunk.cast(pa.large_string()) for chunk in column.chunks] or [pa.array([], pa.large_string())]
    )
    lengths = pc.binary_length(text).fill_null(0).to_numpy(zero_copy_only=False)
    joined = b"".join(value for value in text.cast(pa.large_binary()).to_pylist() if value)
    parts = {"lengths": lengths.astype(np.int64), "bytes": np.frombuffer(joined, np.uint8)}
    if text.null_count:
        parts["valid"] = text.is_valid().to_numpy(zero_copy_only=False)
    return "text", parts


def unpacked_predictions(header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> RawPredictions:
    """Build the table from plain arrays, whose writer may have been taken over."""
    rows, names, kinds = int(header["rows"]), list(map(str, header["names"])), list(map(str, header["kinds"]))
    columns = [_column(kind, index, rows, arrays) for index, kind in enumerate(kinds)]
    lines = arrays.get("lines")
    if len(names) != len(kinds) or (lines is not None and lines.shape != (rows,)):
        raise ValueError("columns of different lengths")
    nested = {str(name): str(kind) for name, kind in dict(header["nested"]).items()}
    return RawPredictions(pa.Table.from_arrays(columns, names), lines, nested)


def _column(kind: str, index: int, rows: int, arrays: Mapping[str, npt.NDArray[Any]]) -> pa.Array:
    if kind == "number":
        values = arrays[f"values{index}"]
        if values.shape != (rows,):
            raise ValueError("a column of another length")
        return pa.array(values.astype(np.float64, copy=False))
    if kind == "text":
        lengths, joined = arrays[f"lengths{index}"], arrays[f"bytes{index}"]
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        if (
            lengths.shape != (rows,)
            or (lengths < 0).any()
            or offsets[-1] != len(joined)
            or len(joined) >= 2**31
        ):
            raise ValueError("texts of another length")
        valid = arrays.get(f"valid{index}")
        mask = None if valid is None else pa.array(valid.astype(bool)).buffers()[1]
        buffers = [mask, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(joined)]
        text = pa.Array.from_buffers(pa.string(), rows, buffers)
        text.validate(full=True)
        return text
    return pa.nulls(rows, _TYPES.get(kind, pa.binary()) if kind != "null" else pa.null())


_TYPES = {
    str(kind): kind
    for kind in (
        pa.bool_(),
        pa.date32(),
        pa.date64(),
        *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
        *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
        *(pa.time32(unit) for unit in ("s", "ms")),
        *(pa.time64(unit) for unit in ("us", "ns")),
    )
}
"""Types whose values are not read, by name: a message names the type."""


def parse_predictions(data: bytes, path: Path, text_columns: tuple[str, ...]) -> RawPredictions:
    """Parse the bytes of a predictions file; runs in the sandboxed worker.

    Args:
        data: CSV, gzipped CSV or Parquet.
        path: Named in messages.
        text_columns: Columns that hold ids.

    Raises:
        BenchError: As `read_predictions_file`.
    """
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
    table = _csv(data, path, text_columns)
    lines = row_lines(data)[1 : len(table) + 1]
    # stray quotes can give rows that `row_lines` does not see: they get the last line known
    lacking = len(table) - len(lines)
    return RawPredictions(table, np.pad(lines, (0, lacking), "edge" if len(lines) else "constant"))


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
            message = f"The ids are of type {ids.type}, which is not text."
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
            message = f"It cannot be parsed as CSV: {_first_line(error)}"
            raise _unreadable(path, message, unclosed_quote(data)) from error
    if ragged:
        remedy = "" if ragged[0].expected > 1 else _NO_HEADER
        remedy = unclosed_quote(data) or remedy
        raise BenchError(Problem("predictions-ragged", _ragged_rows(data, ragged), str(path), remedy))
    _require_distinct_columns(table, path)
    return table


class _Ragged(NamedTuple):
    """A row of another length than the header's; its number, from 1, is only known to a single thread."""

    columns: int
    expected: int
    number: int | None


def _may_break(data: bytes) -> bool:
    """Return whether a text in quotes may hold line breaks that a reader by blocks must be told of."""
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
    """Describe ragged rows; their lines are looked for in a second reading by one thread."""
    ragged: list[_Ragged] = []
    with suppress(pa.ArrowException):
        blocks = pyarrow.csv.open_csv(
            pa.BufferReader(data),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, autogenerate_column_names=True),
            parse_options=_noting(ragged, SHOWN, broken=_may_break(data)),
            convert_options=pyarrow.csv.ConvertOptions(  # one column as text, so that no value is at fault
                include_columns=["f0"], column_types={"f0": pa.string()}
            ),
        )
        deque(blocks, maxlen=0)
    all_lines = row_lines(data)
    numbers = sorted({row.number - 1 for row in ragged if row.number})
    lines = [int(all_lines[number]) for number in numbers if number < len(all_lines)]
    first, *others = lines or [0]
    place = f"; first at line {_listed([f'{first} (with {ragged[0].columns})', *others])}" if lines else ""
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


def unclosed_quote(data: bytes) -> str:
    """Say where a double quote is opened that no other closes, as a remedy; empty where there is none."""
    if data.count(b'"') % 2 == 0:
        return ""
    line = next(n for n, text in enumerate(data.split(b"\n"), 1) if text.count(b'"') % 2)
    return f"A double quote is opened and not closed, perhaps in line {line:,}: close or remove it."


BLOCK = 2**20


def row_lines(text: bytes) -> npt.NDArray[np.int32]:
    """Return the line, from 1, of each row of a CSV text: its header is row 0, and empty lines are no rows.

    A line break within quotes ends a line and no row. The text is read in blocks, so that little memory is
    needed besides.

    Args:
        text: Lines end with a line feed, or with a carriage return where there is no line feed.
    """
    returns_end_lines, quoted = b"\n" not in text, b'"' in text
    lines: list[npt.NDArray[np.int32]] = []
    line, before, within_quotes = 1, b"\n", 0
    for start in range(0, len(text), BLOCK):
        part = text[start : start + BLOCK]
        part = part.replace(b"\r", b"\n") if returns_end_lines else part.translate(None, b"\r")
        joined = before + part
        characters = np.frombuffer(joined, np.uint8)
        feeds = characters == ord("\n")
        ends_row = feeds
        if quoted:
            quotes = within_quotes + np.cumsum(characters[1:] == ord('"'))
            ends_row = feeds & np.concatenate([[within_quotes % 2 == 0], quotes % 2 == 0])
            within_quotes = int(quotes[-1]) % 2 if quotes.size else within_quotes
        begins = ends_row[:-1] & ~feeds[1:]
        ended = np.cumsum(feeds[1:], dtype=np.int32)
        lines.append((line + ended[begins]).astype(np.int32))
        line += int(ended[-1]) if ended.size else 0
        before = joined[-1:]
    return np.concatenate([np.empty(0, np.int32), *lines])
