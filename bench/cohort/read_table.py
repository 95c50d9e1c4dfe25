"""Reading of a cohort's table, CSV or Parquet, with every cell as text.

Type inference can then not change an id, and a value has the same text in every file format: whole numbers
without a fraction (``7``, also for 7.0 or a decimal 7.00 in Parquet), other numbers in their shortest form,
true and false as 1 and 0, missing values as empty text.
"""

from __future__ import annotations

import csv
import decimal
import gzip
import io
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from bench.cohort.patient_ids import LARGEST_EXACT
from bench.errors import BenchError, Problem
from bench.file_kinds import FileKind, other_kind, utf8_remedy

UNNAMED_INDEX = re.compile(r"__index_level_\d+__")

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_IN_SPEC = "The spec's `files.table` names the file."


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table as read.

    Attributes:
        frame: Named columns as text, in the order of the file.
        left_out: Column → type of columns that cannot be text: lists, records, bytes that are not UTF-8.
    """

    frame: pd.DataFrame
    left_out: dict[str, str]


def read_text_table(path: Path) -> TextTable:
    """Read a CSV (optionally compressed) or Parquet table; the format is detected by content.

    Raises:
        BenchError: The file is damaged, of another format, or has rows longer or shorter than its header
            (``cohort-table``), or two columns have the same name (``cohort-columns``).
    """
    try:
        with pa.input_stream(path, compression="detect") as stream:
            data = stream.read()
        if data.startswith(_GZIP) and path.suffix != ".gz":
            data = gzip.decompress(data)
        if data.startswith(_PARQUET):
            columns = _parquet(data)
        elif path.suffix == ".parquet" and not other_kind(data):
            raise _refused(path, "Not a Parquet file: it does not begin with PAR1.")
        else:
            columns = _csv(data, path)
    except PermissionError as error:
        raise _refused(path, "Permission denied.", "Change its permissions.") from error
    except (ValueError, OSError, EOFError, zlib.error, csv.Error) as error:  # Arrow's errors are ValueErrors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _refused(path, f"Cannot be read: {reason}") from error
    counts = Counter(name for name, _ in columns)
    if repeated := sorted(name for name, count in counts.items() if count > 1):
        named = ", ".join(map(repr, repeated))
        message = f"{len(repeated)} column names appear more than once: {named}."
        remedy = "Keep one column of each name: which of them is meant cannot be known."
        raise BenchError(Problem("cohort-columns", message, str(path), remedy))
    texts = {name: (_text(column), str(column.type)) for name, column in columns}
    return TextTable(
        pd.DataFrame({name: text.to_pandas() for name, (text, _) in texts.items() if text is not None}),
        {name: kind for name, (text, kind) in texts.items() if text is None},
    )


def _refused(path: Path, message: str, remedy: str = "") -> BenchError:
    return BenchError(Problem("cohort-table", message, str(path), remedy))


Column = tuple[str, pa.ChunkedArray]


# CSV


def _csv(data: bytes, path: Path) -> list[Column]:
    kind = other_kind(data) or (FileKind("a binary file") if 0 in data[:4096] else None)
    if kind:
        raise _refused(path, f"It is {kind.name}, not CSV or Parquet.", f"{kind.remedy} {_IN_SPEC}")
    text = _utf8(data, path)
    if text.startswith("sep="):
        raise _refused(
            path,
            "Its first line is `sep=`, which only spreadsheet programs understand.",
            "Remove this line, and save the table with commas between columns.",
        )
    header, skipped = _header(text)
    if not header:
        raise _refused(path, "It is empty.")
    table, ragged = _parse_csv(data, header, skipped)
    table, repeated = _without_blank_rows(table, header)
    if repeated:
        rows = "1 row repeats" if repeated == 1 else f"{repeated:,} rows repeat"
        remedy = "Tables were joined with their headers: remove the headers within the table."
        raise _refused(path, f"{rows} the header.", remedy)
    if ragged:
        message = f"{ragged:,} of {ragged + len(table):,} rows are longer or shorter than the header."
        remedy = "Write the table again: text that holds a comma or a line break stands in double quotes."
        if len(header) == 1:
            remedy = "The first line is the header, with a name for each column: remove the lines above it."
        raise _refused(path, message, remedy)
    return [(name, column) for name, column in zip(header, table.columns, strict=True) if name.strip()]


def _utf8(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"Line {line:,} is not UTF-8 text: {error.reason}."
        if any(byte < 9 for byte in data):
            remedy = f"{FileKind('a binary file').remedy} {_IN_SPEC}"
            raise _refused(path, f"{message} It is a binary file.", remedy) from error
        message += " It looks like Windows-1252 (Latin-1) or another old encoding of spreadsheet programs."
        raise _refused(path, message, utf8_remedy("WINDOWS-1252")) from error


def _header(text: str) -> tuple[list[str], int]:
    """Return the first row that is not empty, and the number of lines up to its end."""
    reader = csv.reader(io.StringIO(text, newline=""))
    for row in reader:
        if row:
            return row, reader.line_num
    return [], 0


def _parse_csv(data: bytes, header: list[str], skipped: int) -> tuple[pa.Table, int]:
    """Return the rows as text, and the number of rows skipped for another length than the header."""
    names = [str(k) for k in range(len(header))]
    ragged: list[int] = []

    def note(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(row.actual_columns)
        return "skip"

    def parse(block_size: int | None) -> pa.Table:
        ragged.clear()
        return pyarrow.csv.read_csv(
            pa.BufferReader(data),
            read_options=pyarrow.csv.ReadOptions(
                column_names=names, skip_rows=skipped, block_size=block_size
            ),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )

    try:
        return parse(None), len(ragged)
    except pa.ArrowInvalid:  # a row may be longer than Arrow's block
        return parse(min(len(data) + 1, 2**31 - 1)), len(ragged)


def _without_blank_rows(table: pa.Table, header: list[str]) -> tuple[pa.Table, int]:
    """Drop rows of blank cells alone, as spreadsheets write them, and count rows that repeat the header."""
    blank = pa.array(np.ones(len(table), bool))
    repeated = blank
    for column, name in zip(table.columns, header, strict=True):
        text = pc.utf8_trim_whitespace(column)
        blank = pc.and_(blank, pc.equal(text, ""))
        repeated = pc.and_(repeated, pc.equal(text, name.strip()))
    kept = table.filter(pc.invert(blank)) if pc.any(blank).as_py() else table
    return kept, pc.sum(repeated).as_py() or 0


# Parquet


def _parquet(data: bytes) -> list[Column]:
    table = pyarrow.parquet.ParquetFile(pa.BufferReader(data)).read()
    named = zip(table.column_names, table.columns, strict=True)
    return [(name, column) for name, column in named if name.strip()]


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Convert a column to text; None for lists, records and bytes that are not UTF-8."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _text(column.cast(kind.value_type))
    if pa.types.is_nested(kind):
        return None
    if _is_text(kind):
        try:
            return column.cast(pa.string()).fill_null("")
        except pa.ArrowInvalid:
            return None
    values: list[Any]
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        values = [None if value is None else str(int(value)) for value in column.to_pylist()]
    elif pa.types.is_floating(kind):
        exact = {16: 2**11, 32: 2**24, 64: LARGEST_EXACT}[kind.bit_width]
        dtype = np.dtype(f"f{kind.bit_width // 8}").type
        values = [None if v is None else _float_text(v, exact, dtype) for v in column.to_pylist()]
    elif pa.types.is_decimal(kind):
        values = [None if value is None else _decimal_text(value) for value in column.to_pylist()]
    else:  # dates and times, as pandas writes them
        values = [None if pd.isna(value) else str(value) for value in column.to_pandas()]
    return pa.chunked_array([pa.array([value or "" for value in values], pa.string())])


def _is_text(kind: pa.DataType) -> bool:
    tests = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
    return pa.types.is_fixed_size_binary(kind) or any(getattr(pa.types, f"is_{name}")(kind) for name in tests)


def _float_text(value: float, exact: int, dtype: type[np.floating[Any]]) -> str:
    """Return the shortest text of a number; scientific if whole numbers are no longer exact."""
    if np.isnan(value):
        return ""
    if value.is_integer():
        return str(int(value)) if abs(value) <= exact else np.format_float_scientific(dtype(value))
    return str(dtype(value))


def _decimal_text(value: decimal.Decimal) -> str:
    whole = value == value.to_integral_value()
    return str(int(value)) if whole else format(value.normalize(), "f")
