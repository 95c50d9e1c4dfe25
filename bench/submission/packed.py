"""Predictions as they are stored: canonical order, no identifiers, stamped with the split they belong to."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from bench.cohort.cohort import Cohort
from bench.documents import Document
from bench.errors import BenchError, Problem
from bench.metrics.validation import Floats
from bench.submission.bounded_read import read_bounded
from bench.submission.check_predictions import ImageSet, covered_rows
from bench.submission.read_predictions import MAX_BYTES

_KEY = b"chexchobench"


class PackStamp(Document):
    """What stored predictions belong to; kept in the Parquet file's metadata."""

    schema_version: Literal["predictions/1"] = "predictions/1"
    salt: str = ""  # random where labels are shared, so that hashes of the file tell nothing
    cohort: str
    version: str
    fingerprint: str
    track: ImageSet
    source_sha256: str
    model_sha256: str = ""


def pack(values: dict[str, Floats], stamp: PackStamp) -> bytes:
    """A Parquet file of the targets as float64 columns, rows in canonical order."""
    table = pa.table({name: pa.array(column, pa.float64()) for name, column in sorted(values.items())})
    table = table.replace_schema_metadata({_KEY: json.dumps(stamp.plain(), sort_keys=True)})
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def read_stamp(path: Path) -> PackStamp:
    """The stamp of stored predictions.

    Raises:
        BenchError: ``stored-predictions``, the file is not one of ours or damaged.
    """
    return _open(path)[1]


def unpack(path: Path, cohort: Cohort, covered: ImageSet) -> dict[str, Floats]:
    """Stored predictions, target → (n,) float64 in the canonical order of the images they cover.

    Raises:
        BenchError: The file is damaged or covers other images (``stored-predictions``), or belongs to another
            cohort or split (``stored-split``).
    """
    file, stamp = _open(path)
    if stamp.track != covered:
        message = f"They cover the images of {stamp.track}, not those of {covered}."
        raise BenchError(Problem("stored-predictions", message, where=str(path)))
    if (stamp.cohort, stamp.fingerprint) != (cohort.spec.id, cohort.split.fingerprint):
        message = (
            f"They are for {stamp.cohort} {stamp.version}, split {stamp.fingerprint[:12]}; here it is "
            f"{cohort.spec.id} {cohort.spec.version}, split {cohort.split.fingerprint[:12]}."
        )
        raise BenchError(Problem("stored-split", message, where=str(path)))
    expected = len(covered_rows(cohort, stamp.track))
    _refuse_other_rows(file.metadata, expected, path)
    _refuse_other_columns(file, cohort, path)
    try:
        table = file.read()
        columns = {name: table.column(name).cast(pa.float64()).to_numpy() for name in table.column_names}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if any(not np.isfinite(column).all() for column in columns.values()):
        raise BenchError(Problem("stored-predictions", "Some values are not finite.", where=str(path)))
    return columns


def _refuse_other_rows(meta: pyarrow.parquet.FileMetaData, expected: int, path: Path) -> None:
    """What a file says of itself and what its groups say must agree: room is made for what the groups say."""
    groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    if meta.num_rows != expected:
        raise _refused(path, f"{meta.num_rows} rows, {expected} expected.")
    if sum(groups) != expected or min(groups, default=0) < 0:
        raise _refused(path, f"{sum(groups)} rows in {len(groups)} groups, {expected} expected.")


def _refuse_other_columns(file: pyarrow.parquet.ParquetFile, cohort: Cohort, path: Path) -> None:
    """Only float64 columns of targets are read: what they unpack to is known before."""
    schema = file.schema_arrow
    named = set(schema.names) <= {target.name for target in cohort.spec.targets}
    if not named or len(set(schema.names)) < len(schema) or any(f.type != pa.float64() for f in schema):
        message = f"Its {len(schema)} columns are not float64 columns of the cohort's targets."
        raise BenchError(Problem("stored-predictions", message, where=str(path)))


def _open(path: Path) -> tuple[pyarrow.parquet.ParquetFile, PackStamp]:
    try:
        data = read_bounded(path, MAX_BYTES, lambda message, _: _refused(path, message))
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
        text = (file.schema_arrow.metadata or {})[_KEY]
        return file, PackStamp.model_validate_json(text)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:  # pydantic's error is a ValueError
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> BenchError:
    return _refused(path, f"Stored predictions cannot be read ({type(error).__name__}).")


def _refused(path: Path, message: str) -> BenchError:
    return BenchError(Problem("stored-predictions", message, where=str(path)))
