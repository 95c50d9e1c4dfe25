"""Read Parquet that a stranger wrote: its metadata are not believed, and what it unpacks to is bounded."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

MOST_ROWS = 20_000_000
MOST_COLUMNS = 1_000
LONGEST_TEXT = 10_000
_ROWS_AT_A_TIME = 16_384


class TooLargeError(ValueError):
    """The file unpacks to more than is read."""


def read_parquet(data: bytes, limit: int) -> tuple[pa.Table, dict[str, str]]:
    """The table in `data`, text columns as text, and columns that hold lists or records, which are not read.

    Text is read as codes of a dictionary first: one long value that a million rows repeat takes a few bytes
    of a file, and would take terabytes as plain text.

    Args:
        data: The file.
        limit: Most bytes that its columns may take, and that may be needed while they are read.

    Returns:
        The table without nested columns; name of a nested column → its type.

    Raises:
        TooLargeError: There are too many rows, columns or bytes, or a text is too long.
        ValueError: The file is damaged.
        pyarrow.ArrowException: It is damaged.
        OSError: It is damaged.
    """
    names = pyarrow.parquet.ParquetFile(pa.BufferReader(data)).schema_arrow
    texts = [field.name for field in names if _is_text(field.type)]
    file = pyarrow.parquet.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
    _refuse_shape(file, limit)
    nested = {field.name: str(field.type)[:60] for field in names if pa.types.is_nested(field.type)}
    flat = [field.name for field in names if field.name not in nested] if nested else None
    before = pa.total_allocated_bytes()
    batches = []
    for batch in file.iter_batches(_ROWS_AT_A_TIME, columns=flat, use_threads=False):
        batches.append(batch)
        if pa.total_allocated_bytes() - before > 2 * limit:
            raise TooLargeError(f"It unpacks to more than {limit // 2**20} MiB.")
    schema = pa.schema([field for field in file.schema_arrow if field.name not in nested])
    table = pa.Table.from_batches(batches, schema)
    table.validate(full=True)  # text that is not UTF-8 is only found here
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and _is_text(field.type.value_type):
            table = table.set_column(index, field.name, _plain_text(table.column(index), limit))
    return table, nested


def _is_text(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _refuse_shape(file: pyarrow.parquet.ParquetFile, limit: int) -> None:
    meta, schema = file.metadata, file.schema_arrow
    unpacked = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
    if meta.num_rows > MOST_ROWS or unpacked > limit:
        raise TooLargeError(f"It unpacks to {meta.num_rows:,} rows, {unpacked / 2**20:,.0f} MiB.")
    if len(schema) > MOST_COLUMNS or 8 * meta.num_rows * len(schema) > limit:
        raise TooLargeError(f"It has {meta.num_rows:,} rows of {len(schema):,} columns.")


def _plain_text(column: pa.ChunkedArray, limit: int) -> pa.ChunkedArray:
    """A column of codes as text, where that is not too much."""
    total = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary)
        if (pc.max(lengths).as_py() or 0) > LONGEST_TEXT:
            raise TooLargeError(f"A text has more than {LONGEST_TEXT:,} bytes.")
        total += pc.sum(lengths.take(chunk.indices)).as_py() or 0
        if total > limit:
            raise TooLargeError(f"A column of text unpacks to more than {limit // 2**20} MiB.")
    return column.cast(column.type.value_type)
