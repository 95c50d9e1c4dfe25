"""Read embeddings of a cohort's images: one matrix for each part, sizes bounded, nothing unpickled.

A folder holds, for each of train, val and test, either ``<part>.parquet`` with a column of image ids and a
column ``embedding`` of lists of float16 or float32, or ``<part>.npy`` with a float16 or float32 matrix and
``<part>_ids.txt`` with the image id of each row, one a line.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from bench.cohort.cohort import Cohort
from bench.cohort.image_ids import id_hint
from bench.cohort.split import PARTS, Part
from bench.errors import BenchError, Problem
from bench.sandbox.bounded_read import read_bounded
from bench.sandbox.reader import Fault, read_in_sandbox
from bench.submission.check_predictions import id_columns
from bench.submission.manifest import EmbeddingRecord
from bench.submission.read_parquet import MOST_ROWS

MOST_FEATURES: Final = 4096
MAX_BYTES: Final = 2**30
"""Most bytes of one file; all train images of CheXchoNet with the most features as float32 have fewer."""
COLUMN: Final = "embedding"
_LONGEST_ID = 1_000
_ROWS_AT_A_TIME = 4_096
_SHOWN = 5

Matrix = npt.NDArray[np.floating[Any]]
"""Embeddings (n, features), float16 or float32."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Checked embeddings of every image of a cohort.

    Attributes:
        parts: Part → (images of the part, features) float16 or float32, rows in canonical order.
        record: Dimension, type and hashes, as the manifest keeps them.
    """

    parts: Mapping[Part, Matrix]
    record: EmbeddingRecord


def read_embeddings(folder: Path, cohort: Cohort) -> Embeddings:
    """Read and check the embeddings of all parts.

    Args:
        folder: Holds the files of the three parts.
        cohort: Whose images were embedded.

    Raises:
        BenchError: Every fault of the files, with its count: they are missing or damaged
            (``embeddings-unreadable``), of another type (``embeddings-type``), of different or too many
            dimensions (``embeddings-dimension``), hold NaN or infinite values (``embeddings-not-finite``), or
            their ids are not those of the part (``embeddings-unknown-id``, ``embeddings-other-part``,
            ``embeddings-duplicate-id``, ``embeddings-missing-id``).
    """
    if not folder.is_dir():
        message = "It is a file." if folder.exists() else "There is no such folder."
        remedy = "Name the folder with the files of train, val and test."
        raise BenchError(Problem("embeddings-unreadable", message, str(folder), remedy))
    problems: list[Problem] = []
    parts: dict[Part, Matrix] = {}
    hashes: dict[Part, str] = {}
    for part in PARTS:
        try:
            parts[part], hashes[part] = _read_part(folder, part, cohort)
        except BenchError as error:
            problems += error.problems
    kinds = {part: (matrix.shape[1], matrix.dtype.name) for part, matrix in parts.items()}
    for at, code, what in ((0, "embeddings-dimension", "dimension"), (1, "embeddings-type", "type")):
        if len({kind[at] for kind in kinds.values()}) > 1:
            listed = ", ".join(f"{part} {kind[at]}" for part, kind in kinds.items())
            problems.append(Problem(code, f"The parts differ in {what}: {listed}.", str(folder)))
    if problems:
        raise BenchError(problems)
    dimension, kind = kinds["train"]
    return Embeddings(parts, EmbeddingRecord(dimension=dimension, dtype=kind, sha256=hashes))


def _read_part(folder: Path, part: Part, cohort: Cohort) -> tuple[Matrix, str]:
    """Read one part; return its rows in canonical order and the hash of the file that holds the matrix."""
    parquet, npy = folder / f"{part}.parquet", folder / f"{part}.npy"
    if parquet.exists() == npy.exists():
        message, remedy = "Both are there.", "Remove the one that is not meant."
        if not npy.exists():
            message, remedy = _missing_file(folder, part)
        raise BenchError(Problem("embeddings-unreadable", message, f"{parquet} or {npy.name}", remedy))
    path = parquet if parquet.exists() else npy
    fault = _fault(path)
    answer = read_in_sandbox(
        f"{__name__}:{'packed_parquet' if path is parquet else 'packed_npy'}",
        path,
        MAX_BYTES,
        fault,
        {"where": str(path), "id_names": list(id_columns(cohort))},
        most_bytes=2 * MAX_BYTES,
    )
    matrix = answer.arrays.get("matrix")
    if matrix is None or matrix.ndim != 2 or matrix.dtype not in (np.float16, np.float32):
        raise fault("The process that read it gave no valid answer.", "")
    if path is npy:
        id_file = folder / f"{part}_ids.txt"
        if not id_file.exists():
            remedy = f"Write the image id of each row of {npy.name}, one a line."
            raise _fault(id_file)("There is no such file.", remedy)
        ids = _ids_of_text(read_bounded(id_file, MAX_BYTES, _fault(id_file)), id_file)
    else:
        ids = _ids_of_bytes(answer.arrays, fault)
    if len(ids) != len(matrix):
        message, remedy = f"{len(ids):,} ids for {len(matrix):,} rows of embeddings.", ""
        blank = sum(not name.strip() for name in ids)
        if blank and len(ids) - blank == len(matrix):
            remedy = f"Remove the blank lines of the ids: there {'is 1' if blank == 1 else f'are {blank:,}'}."
        elif len(ids) == matrix.shape[1]:
            remedy = "Rows and columns are exchanged: write the transposed matrix, one row for each image."
        elif len(ids) == len(matrix) + 1 and ids[0] not in set(cohort.images):
            remedy = "The first line of the ids is no image of the cohort: remove it if it is a heading."
        raise BenchError(Problem("embeddings-missing-id", message, str(path), remedy))
    return _in_canonical_order(matrix, ids, part, cohort, path), answer.sha256


_OTHER_NAMES: Final = {
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "training": "train",
    "testing": "test",
}
"""Names of parts elsewhere."""


def _missing_file(folder: Path, part: Part) -> tuple[str, str]:
    """Message and remedy for a part without files; files are named by what may be the part's alone."""
    stems = {path.name: path.name.partition(".")[0].casefold() for path in folder.iterdir() if path.is_file()}
    near = sorted(name for name, stem in stems.items() if _OTHER_NAMES.get(stem, stem) == part)
    if not near:
        return (
            "Neither is there.",
            f"Write the embeddings of the {part} images with `numpy.save` or as Parquet.",
        )
    message = f"Neither is there, but {near[0]!r}."
    if near[0].endswith((".npy", ".parquet")):
        return message, f"Rename it to {part}.{near[0].rpartition('.')[2]}, and its ids to {part}_ids.txt."
    return message, f"Write {part}.npy with `numpy.save(path, matrix)`, or Parquet; other files are not read."


def _fault(path: Path) -> Fault:
    return lambda message, remedy: BenchError(Problem("embeddings-unreadable", message, str(path), remedy))


def _in_canonical_order(matrix: Matrix, ids: list[str], part: Part, cohort: Cohort, path: Path) -> Matrix:
    """Check ids and values, and return the rows of the part's images in canonical order.

    No id is named in a message, since it may hold a patient's: the rows are.
    """
    rows = cohort.rows(part)
    known = pd.Index(cohort.images).get_indexer(pd.Index(ids))
    of_part = np.isin(known, rows)
    repeated = pd.Series(ids).duplicated().to_numpy() & of_part
    lacking = len(rows) - len(np.unique(known[of_part]))
    wrong = ~np.array([bool(np.isfinite(block).all()) for block in matrix], bool)
    faults = (
        ("embeddings-unknown-id", "not in the cohort", known < 0),
        ("embeddings-other-part", f"of images of another part than {part}", (known >= 0) & ~of_part),
        ("embeddings-duplicate-id", "of an image that has one already", repeated),
        ("embeddings-not-finite", "with NaN or infinite values", wrong),
    )
    unknown = [ids[row] for row in np.flatnonzero(known < 0)[:500]]
    hints = {"embeddings-unknown-id": id_hint(unknown, cohort.images, cohort.patients)} if unknown else {}
    problems = [
        Problem(code, f"{_rows(at)} {what}.", str(path), hints.get(code, ""))
        for code, what, at in faults
        if at.any()
    ]
    if lacking:
        message = f"No embedding for {lacking:,} of the {len(rows):,} {part} images."
        problems.append(Problem("embeddings-missing-id", message, str(path)))
    if problems:
        raise BenchError(problems)
    return matrix[np.argsort(known)]


def _rows(at: npt.NDArray[np.bool_]) -> str:
    """Say how many rows, and the first of them, counted from 1."""
    first = ", ".join(f"{row + 1:,}" for row in np.flatnonzero(at)[:_SHOWN])
    return f"{at.sum():,} of {len(at):,} rows (first in row {first}) {'is' if at.sum() == 1 else 'are'}"


def _ids_of_text(data: bytes, path: Path) -> list[str]:
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        remedy = "Save the ids as UTF-8 text, one a line."
        raise _fault(path)(f"It is not UTF-8 text: {error.reason}.", remedy) from error


def _ids_of_bytes(arrays: Mapping[str, npt.NDArray[Any]], fault: Fault) -> list[str]:
    """Ids from their lengths and joined bytes, whose writer may have been taken over."""
    lengths, joined = arrays.get("lengths"), arrays.get("bytes")
    if (
        lengths is None
        or joined is None
        or lengths.ndim != 1
        or (lengths < 0).any()
        or lengths.sum() != len(joined)
    ):
        raise fault("The process that read it gave no valid answer.", "")
    ends, text = np.cumsum(lengths, dtype=np.int64), joined.tobytes()
    try:
        return [
            text[end - size : end].decode() for end, size in zip(ends.tolist(), lengths.tolist(), strict=True)
        ]
    except UnicodeDecodeError as error:
        raise fault("Its ids are not UTF-8 text.", "") from error


def _require_matrix(shape: tuple[int, ...], kind: str, where: str) -> None:
    """Refuse another type than float16 or float32, and shapes that are no matrix or too wide."""
    if kind not in ("float16", "float32"):
        raise BenchError(Problem("embeddings-type", f"Its values are of type {kind[:60]}.", where))
    if len(shape) != 2 or not 0 < shape[1] <= MOST_FEATURES:
        message = f"Its shape is {tuple(shape)}; rows of 1 to {MOST_FEATURES:,} features are read."
        raise BenchError(Problem("embeddings-dimension", message, where))


_NO_HEADER: Final = (ValueError, KeyError, TypeError, EOFError, SyntaxError, RecursionError, TokenError)
"""What NumPy raises for the header of a damaged file, which it parses as Python's literals."""


def packed_npy(
    data: bytes, *, where: str, id_names: list[str]
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]], bytes]:
    """Read a matrix in NumPy's format; runs in the sandboxed worker. Objects are never unpickled."""
    del id_names
    fault = _fault(Path(where))
    stream = io.BytesIO(data[: 2**16])
    try:
        version = np.lib.format.read_magic(stream)
        header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[version[0]]
        shape, by_columns, dtype = header(stream)
    except _NO_HEADER as error:
        raise fault(f"It is not a NumPy array: {str(error)[:200]}", "Write it with `numpy.save`.") from error
    _require_matrix(shape, "object" if dtype.hasobject else dtype.name, where)
    if len(data) - stream.tell() != shape[0] * shape[1] * dtype.itemsize:
        raise fault("It does not hold as many bytes as its header says: it is damaged or truncated.", "")
    values = np.frombuffer(data, dtype, offset=stream.tell())
    matrix = values.reshape(shape, order="F" if by_columns else "C")
    return {}, {"matrix": matrix.astype(dtype.newbyteorder("="), copy=False)}, b""


_TYPE_NAMES: Final = {
    pa.float16(): "float16",
    pa.float32(): "float32",
    pa.float64(): "float64",
    pa.string(): "text",
    pa.large_string(): "text",
}
"""Types of Arrow → their names in messages, where Arrow's differ from NumPy's."""


def _columns_remedy(named: list[str], schema: pa.Schema) -> str:
    """What to do about the columns of a Parquet file, by those that it has."""
    if len(named) > 1:
        return f"Keep one column of ids: there are {' and '.join(named)}."
    if not named:
        return "Write the image id of each row as a column beside the embeddings."
    lists = [f.name for f in schema if pa.types.is_nested(f.type)]
    if len(lists) == 1:
        return f"Rename the column {lists[0][:60]!r} to `{COLUMN}`."
    return f"Write the features of an image as one list in the column `{COLUMN}`."


def packed_parquet(
    data: bytes, *, where: str, id_names: list[str]
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]], bytes]:
    """Read ids and lists of numbers; runs in the sandboxed worker."""
    fault = _fault(Path(where))
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
        schema = file.schema_arrow
        named = [name for name in id_names if name in schema.names]
        if len(named) != 1 or COLUMN not in schema.names:
            message = f"It needs a column of ids ({' or '.join(id_names)}) and a column `{COLUMN}` of lists."
            raise fault(message, _columns_remedy(named, schema))
        kind = schema.field(COLUMN).type
        lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        inner = kind.value_type if lists else kind
        number = _TYPE_NAMES.get(inner, str(inner))
        _require_matrix((1, 1) if lists else (1,), number, where)
        if file.metadata.num_rows > MOST_ROWS:
            raise fault(f"It has {file.metadata.num_rows:,} rows.", "")
        blocks, ids, size = [], [], 0
        for batch in file.iter_batches(_ROWS_AT_A_TIME, columns=[named[0], COLUMN], use_threads=False):
            block, texts = _block(batch.column(COLUMN), where), batch.column(named[0]).cast(pa.string())
            size += block.nbytes + texts.nbytes
            if size > MAX_BYTES:
                raise fault(f"It unpacks to more than {MAX_BYTES // 2**20:,} MiB.", "")
            blocks.append(block)
            ids += [(text or "")[:_LONGEST_ID].encode() for text in texts.to_pylist()]
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        raise fault(f"The Parquet file is damaged or truncated: {str(error)[:200]}", "") from error
    if len({block.shape[1] for block in blocks}) > 1:
        raise _ragged(where)
    matrix = np.concatenate(blocks) if blocks else np.empty((0, 1), np.float32)
    lengths = np.array([len(text) for text in ids], np.int64)
    return {}, {"matrix": matrix, "lengths": lengths, "bytes": np.frombuffer(b"".join(ids), np.uint8)}, b""


def _block(column: pa.Array, where: str) -> npt.NDArray[Any]:
    """The lists of a batch as a matrix."""
    values = column.flatten()
    count = len(column)
    if column.null_count or values.null_count:
        missing = column.null_count or values.null_count
        raise BenchError(Problem("embeddings-not-finite", f"Missing values: {missing:,} or more.", where))
    width = len(values) // count
    if len(values) != width * count or not (np.asarray(column.value_lengths()) == width).all():
        raise _ragged(where)
    matrix: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False).reshape(count, width)
    _require_matrix(matrix.shape, matrix.dtype.name, where)
    return matrix


def _ragged(where: str) -> BenchError:
    return BenchError(Problem("embeddings-dimension", "Its rows do not all have the same dimension.", where))
