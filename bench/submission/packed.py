"""Predictions as they are stored: canonical order, no identifiers, stamped with the split they belong to."""

from __future__ import annotations

import hmac
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from pydantic import Field

from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.spec import CohortSpec
from bench.cohort.studies import combine_views
from bench.documents import Document, parse_json
from bench.errors import BenchError, Problem
from bench.metrics.validation import Floats
from bench.sandbox.reader import Fault, read_in_sandbox
from bench.submission.check_predictions import ImageSet, covered_rows
from bench.submission.read_predictions import MAX_BYTES
from bench.workspace import PREDICTIONS

_KEY = b"chexchobench"


class PackStamp(Document):
    """Cohort, split and origin of stored predictions; kept in the Parquet file's metadata."""

    schema_version: Literal["predictions/1"] = "predictions/1"
    salt: str = (
        ""  # so that hashes of the file tell nothing: random where labels are shared, see also `salted`
    )
    cohort: str
    version: str
    fingerprint: str
    track: ImageSet
    source_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    model_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    runs_sha256: str = Field(
        default="",
        pattern=r"^([0-9a-f]{64})?$",
        exclude_if=lambda digest: not digest,
        description="Of the file of the entry's further runs, so that one hash covers all of them.",
    )


def pack(values: dict[str, Floats], stamp: PackStamp) -> bytes:
    """Return a Parquet file of the targets as float64 columns, rows in canonical order."""
    table = pa.table({name: pa.array(column, pa.float64()) for name, column in sorted(values.items())})
    table = table.replace_schema_metadata({_KEY: json.dumps(stamp.plain(), sort_keys=True)})
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def salted(packed: bytes, secret: bytes, runs_sha256: str = "") -> bytes:
    """Return predictions with a salt that only whoever has the secret can compute, equal for equal files.

    Args:
        packed: The Parquet file, as `pack` returned it in this process.
        secret: Key of the HMAC (RFC 2104, SHA-256).
        runs_sha256: Hash of the salted file of the further runs.
    """
    file, stamp = _open(packed, Path(PREDICTIONS))
    table, salt = file.read(), hmac.new(secret, packed, "sha256").hexdigest()
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    return pack(columns, stamp.model_copy(update={"salt": salt, "runs_sha256": runs_sha256}))


def read_stamp(path: Path) -> PackStamp:
    """Read the stamp of stored predictions in the sandboxed worker.

    Raises:
        BenchError: ``stored-predictions``, the file is not one of ours or damaged.
    """
    answer = read_in_sandbox(f"{__name__}:packed_stamp", path, MAX_BYTES, _fault(path), {"where": str(path)})
    return parse_json(PackStamp, answer.document, "stored-predictions", str(path))


def packed_stamp(data: bytes, *, where: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Read the stamp of a file of stored predictions; runs in the sandboxed worker."""
    return {}, {}, _open(data, Path(where))[1].model_dump_json().encode()


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Stored predictions.

    Attributes:
        values: Target → (n,) float64 in the canonical order of the images that they cover.
        sha256: Hash of the file that was read.
        stamp: What they belong to.
    """

    values: dict[str, Floats]
    sha256: str
    stamp: PackStamp


def unpack(path: Path, cohort: Cohort, covered: ImageSet) -> dict[str, Floats]:
    """Read stored predictions: target → (n,) float64 in the canonical order of the images that they cover.

    Raises:
        BenchError: As `read_packed`.
    """
    return read_packed(path, cohort, covered).values


FRACTIONS = (0.01, 0.05, 0.1, 0.25)
DRAWS = 3
"""Shares of the train patients that heads are fitted on besides all of them, and draws of each share."""


def draw_column(target: str, fraction: float, draw: int) -> str:
    """Return the column of a head's test predictions, fitted on one draw of a share of the patients."""
    return f"{target}/{fraction:g}/{draw}"


def read_efficiency(path: Path, cohort: Cohort) -> Unpacked:
    """Read test predictions of heads fitted on fewer patients, by unit of evaluation.

    Values are by `draw_column`. Errors as `read_packed`.
    """
    columns = [
        draw_column(target.name, fraction, draw)
        for target in cohort.spec.binary_targets
        for fraction in FRACTIONS
        for draw in range(DRAWS)
    ]
    by_image = read_packed(path, cohort, Track.HOLDOUT, columns)
    return replace(
        by_image, values=combine_views(cohort, covered_rows(cohort, Track.HOLDOUT), by_image.values)
    )


MOST_RUNS = 25
"""Most runs of an entry."""


def pack_runs(runs: Sequence[dict[str, Floats]], stamp: PackStamp) -> bytes:
    """Return a Parquet file of all runs of an entry but the first, as `pack`; a column for target and run."""
    return pack(
        {_run_column(t, k): values for k, run in enumerate(runs, 2) for t, values in run.items()}, stamp
    )


def run_columns(spec: CohortSpec) -> list[str]:
    """Return the columns that a file of further runs may have."""
    return [_run_column(target.name, run) for run in range(2, MOST_RUNS + 1) for target in spec.targets]


def _run_column(target: str, run: int) -> str:
    return f"{target}/run {run}"


def read_runs(
    path: Path, first: Unpacked, cohort: Cohort, covered: ImageSet
) -> tuple[dict[str, Floats], ...]:
    """Read all runs of an entry but the first, by unit of evaluation; none where its stamp names none.

    Args:
        path: The file of the further runs; need not exist.
        first: The first run.
        cohort: What is predicted.
        covered: Which images.

    Raises:
        BenchError: As `read_packed`, or as `split_runs`.
    """
    if not path.exists():
        return split_runs(first, None, path)
    rows = covered_rows(cohort, covered)
    by_image = read_packed(path, cohort, covered, run_columns(cohort.spec))
    return split_runs(first, replace(by_image, values=combine_views(cohort, rows, by_image.values)), path)


def split_runs(first: Unpacked, further: Unpacked | None, path: Path) -> tuple[dict[str, Floats], ...]:
    """Return the predictions of each further run.

    Args:
        first: The first run.
        further: Content of the file of further runs; None where it does not exist.
        path: That file, for messages.

    Raises:
        BenchError: The file is not the one that the stamp of the first run names, or its runs lack a target
            (``stored-predictions``).
    """
    if first.stamp.runs_sha256 != (further.sha256 if further else ""):
        raise _refused(path, "The file of further runs is missing, or not the one that was submitted.")
    if further is None:
        return ()
    count, left_over = divmod(len(further.values), len(first.values))
    columns = [{target: _run_column(target, run) for target in first.values} for run in range(2, count + 2)]
    if left_over or not count or not {c for run in columns for c in run.values()} <= set(further.values):
        raise _refused(path, "Its runs do not have the targets of the first run.")
    return tuple({target: further.values[column] for target, column in run.items()} for run in columns)


def read_packed(
    path: Path, cohort: Cohort, covered: ImageSet, columns: Sequence[str] | None = None
) -> Unpacked:
    """Read stored predictions with their hash and stamp in the sandboxed worker.

    Args:
        path: The file.
        cohort: What is predicted.
        covered: Which images.
        columns: Columns that it may have; default: the cohort's targets.

    Raises:
        BenchError: The file is damaged or covers other images (``stored-predictions``), or belongs to another
            cohort or split (``stored-split``).
    """
    rows = len(covered_rows(cohort, covered))
    return read_packed_rows(path, cohort.spec, cohort.split.fingerprint, covered, rows, columns)


def read_packed_rows(
    path: Path,
    spec: CohortSpec,
    fingerprint: str,
    covered: ImageSet,
    rows: int,
    columns: Sequence[str] | None = None,
) -> Unpacked:
    """Read stored predictions as `read_packed`, given the split's fingerprint and number of images."""
    targets = [target.name for target in spec.targets] if columns is None else list(columns)
    arguments = {
        "where": str(path),
        "covered": str(covered),
        "cohort": spec.id,
        "version": spec.version,
        "fingerprint": fingerprint,
        "rows": rows,
        "targets": targets,
    }
    room = 8 * (rows + 1) * len(targets)
    answer = read_in_sandbox(
        f"{__name__}:packed_values", path, MAX_BYTES, _fault(path), arguments, most_bytes=room
    )
    stamp = parse_json(PackStamp, answer.document, "stored-predictions", str(path))
    if not set(answer.arrays) <= set(targets) or any(
        column.shape != (rows,) or column.dtype != np.float64 or not np.isfinite(column).all()
        for column in answer.arrays.values()
    ):
        raise _refused(path, "The process that read it gave no valid answer.")
    return Unpacked(answer.arrays, answer.sha256, stamp)


def packed_values(
    data: bytes,
    *,
    where: str,
    covered: str,
    cohort: str,
    version: str,
    fingerprint: str,
    rows: int,
    targets: list[str],
) -> tuple[dict[str, Any], dict[str, Floats], bytes]:
    """Read the columns of a file of stored predictions; runs in the sandboxed worker."""
    path = Path(where)
    file, stamp = _open(data, path)
    if stamp.track != covered:
        raise _refused(path, f"They cover the images of {stamp.track}, not those of {covered}.")
    if (stamp.cohort, stamp.fingerprint) != (cohort, fingerprint):
        message = (
            f"They are for {stamp.cohort} {stamp.version}, split {stamp.fingerprint[:12]}; here it is "
            f"{cohort} {version}, split {fingerprint[:12]}."
        )
        raise BenchError(Problem("stored-split", message, where=where))
    _refuse_other_rows(file.metadata, rows, path)
    _refuse_other_columns(file, targets, path)
    try:
        table = file.read()
        columns = {name: table.column(name).cast(pa.float64()).to_numpy() for name in table.column_names}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if any(not np.isfinite(column).all() for column in columns.values()):
        raise BenchError(Problem("stored-predictions", "Some values are not finite.", where=where))
    return {}, columns, stamp.model_dump_json().encode()


def unpack_units(path: Path, cohort: Cohort, covered: ImageSet) -> dict[str, Floats]:
    """Read stored predictions by unit of evaluation: one for each study, where a cohort is scored by study.

    Raises:
        BenchError: As `read_packed`.
    """
    return read_units(path, cohort, covered).values


def read_units(path: Path, cohort: Cohort, covered: ImageSet) -> Unpacked:
    """Read stored predictions as `unpack_units`, with their hash and stamp; errors as `read_packed`."""
    by_image = read_packed(path, cohort, covered)
    return replace(by_image, values=combine_views(cohort, covered_rows(cohort, covered), by_image.values))


def _refuse_other_rows(meta: pyarrow.parquet.FileMetaData, expected: int, path: Path) -> None:
    """Refuse a file whose groups hold other rows than it states: memory is allocated by the groups."""
    groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    if meta.num_rows != expected:
        raise _refused(path, f"{meta.num_rows} rows, {expected} expected.")
    if sum(groups) != expected or min(groups, default=0) < 0:
        raise _refused(path, f"{sum(groups)} rows in {len(groups)} groups, {expected} expected.")


def _refuse_other_columns(file: pyarrow.parquet.ParquetFile, targets: list[str], path: Path) -> None:
    """Refuse other columns than float64 of targets, so that the size is known before they are unpacked."""
    schema = file.schema_arrow
    repeated = len(set(schema.names)) < len(schema)
    if repeated or not set(schema.names) <= set(targets) or any(f.type != pa.float64() for f in schema):
        message = f"Its {len(schema)} columns are not float64 columns of the cohort's targets."
        raise BenchError(Problem("stored-predictions", message, where=str(path)))


def _open(data: bytes, path: Path) -> tuple[pyarrow.parquet.ParquetFile, PackStamp]:
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
        text = (file.schema_arrow.metadata or {})[_KEY]
        return file, PackStamp.model_validate_json(text)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:  # pydantic's error is a ValueError
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> BenchError:
    return _refused(path, f"Stored predictions cannot be read ({type(error).__name__}).")


def _fault(path: Path) -> Fault:
    return lambda message, _: _refused(path, message)


def _refused(path: Path, message: str) -> BenchError:
    return BenchError(Problem("stored-predictions", message, where=str(path)))
