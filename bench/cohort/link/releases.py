"""Folders of PhysioNet releases: their tables, other versions, and columns read as text."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem, nearest, raise_errors
from bench.file_kinds import GZIP, kind_instead_of_text
from bench.files import read_sums, sha256_file

SUMS = ("SHA256SUMS.txt", "SHA256SUMS")
BLOCK_BYTES = 8 * 2**20

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class TableFile:
    """A table of a release.

    Attributes:
        names: File names in use, tried in this order, each also with ``.gz``.
        columns: Columns that are read.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """A release as it is published.

    Attributes:
        name: Name and versions that are read.
        option: Option of the command line that names its folder.
        tables: Key → table.
        others: File of another release or version → what that is.
    """

    name: str
    option: str
    tables: dict[str, TableFile]
    others: dict[str, str] = field(default_factory=dict)

    def find(self, folder: Path, problems: list[Problem]) -> dict[str, Path]:
        """Return the path of each table; a table that is missing, cut short or changed adds a problem."""
        if not folder.is_dir():
            message, remedy = f"The folder of {self.name} is not there.", f"Name it with `{self.option}`."
            if folder.exists():
                message = f"This is a file; {self.name} is looked for in a folder."
                remedy = f"Name the folder that holds it: `{self.option} {folder.parent}`."
            problems.append(Problem("link-missing", message, str(folder), remedy))
            return {}
        by_key = {key: self._first(folder, table) for key, table in self.tables.items()}
        absent = [" or ".join(self.tables[key].names) for key, path in by_key.items() if path is None]
        if absent:
            problems.append(self._absent(folder, absent))
        paths = {key: path for key, path in by_key.items() if path is not None}
        problems += _damaged(folder, paths)
        for key, path in paths.items():
            problems += self._columns(key, path) if path.stat().st_size else []
        return paths

    def _first(self, folder: Path, table: TableFile) -> Path | None:
        names = (folder / f"{name}{ending}" for name in table.names for ending in (".gz", ""))
        return next((path for path in names if path.is_file()), None)

    def _absent(self, folder: Path, absent: list[str]) -> Problem:
        other = next((what for name, what in self.others.items() if (folder / name).exists()), None)
        if other is not None:
            message = f"This is {other}; {self.name} is needed."
            remedy = f"Name the folder of {self.name} with `{self.option}`; PhysioNet has it."
            return Problem("link-version", message, str(folder), remedy)
        message = f"{self.name}: there is no {' and no '.join(absent)} (.gz or not)."
        beside = [path.name for path in folder.glob("*.csv*") if path.is_file()]
        if near := next((name for word in absent for name in nearest(word, beside)[:1]), ""):
            message += f" There is {near!r}."
        around = [folder.parent, *sorted(folder.glob("*/"))]
        whole = [p for p in around if all(self._first(p, table) for table in self.tables.values())]
        place = "above" if whole[:1] == [folder.parent] else "in"
        remedy = f"Name the folder {place} it: `{self.option} {whole[0]}`." if whole else ""
        return Problem("link-missing", message, str(folder), remedy)

    def _columns(self, key: str, path: Path) -> list[Problem]:
        wanted = self.tables[key].columns
        try:
            header = read_header(path)
        except BenchError as error:
            return list(error.problems)
        missing = [name for name in wanted if name not in header]
        if not missing:
            return []
        named = [f"{name}{_near(name, header)}" for name in missing]
        message = f"{len(missing)} of {len(wanted)} columns of {self.name} missing: {', '.join(named)}."
        single = len(header) == 1 and any(name in header[0] for name in wanted)
        remedy = "Use the table as it was published, with commas between columns." if single else ""
        return [Problem("link-version", message, str(path), remedy)]


def _near(name: str, header: list[str]) -> str:
    near = nearest(name, header)[:1]
    return f" (there is {near[0]!r})" if near else ""


def _damaged(folder: Path, paths: Mapping[str, Path]) -> list[Problem]:
    """Report empty tables, and tables whose SHA-256 differs from the list of the release, if there is one."""
    problems = []
    listed: dict[str, str] = {}
    for name in SUMS:
        if (folder / name).is_file():
            try:
                listed = read_sums((folder / name).read_bytes())[0]
            except UnicodeDecodeError:
                problems.append(Problem("link-damaged", "Not UTF-8 text.", str(folder / name)))
    for path in paths.values():
        expected = listed.get(path.relative_to(folder).as_posix())
        if path.stat().st_size == 0:
            problems.append(Problem("link-damaged", "The file is empty.", str(path)))
        elif expected is not None and sha256_file(path) != expected:
            message = "The SHA-256 differs from the release's list: cut short, damaged or changed."
            problems.append(Problem("link-damaged", message, str(path)))
    return problems


def read_header(path: Path) -> list[str]:
    """Return the column names of a CSV table, gzipped or not.

    Raises:
        BenchError: Not readable (``link-damaged``).
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            line = file.readline(2**16).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    return [name.strip().strip('"') for name in line.split(",")]


def _unreadable(path: Path, error: Exception) -> BenchError:
    """Describe a table that cannot be read, without its cells."""
    with path.open("rb") as file:
        kind = kind_instead_of_text(file.read(4096))
    short = "truncated" in str(error).lower() or isinstance(error, EOFError)
    reason = "The file is cut short" if short else f"The file cannot be read ({type(error).__name__})"
    if kind and (path.suffix != ".gz" or kind != GZIP):
        reason = f"It is {kind}, not the table"
    return BenchError(Problem("link-damaged", f"{reason}.", str(path)), EXIT_ENVIRONMENT)


@contextmanager
def _stream(path: Path, progress: Progress | None) -> Iterator[tuple[pa.NativeFile, Callable[[], None]]]:
    """Open a table, unpacked; the function that comes with it reports the bytes read so far."""
    size = path.stat().st_size
    with pa.OSFile(str(path)) as raw:
        stream = pa.CompressedInputStream(raw, "gzip") if path.suffix == ".gz" else raw

        def report() -> None:
            if progress is not None:
                progress(min(raw.tell(), size), size)

        yield stream, report


def read_batches(
    path: Path, columns: tuple[str, ...], *, words: tuple[str, ...] = (), progress: Progress | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the columns of a table as text, in blocks of bounded memory.

    Args:
        path: CSV table, gzipped or not.
        columns: Columns that are read.
        words: Those of them with few distinct texts; they come as dictionaries.
        progress: Called with (bytes read, bytes of the file).

    Raises:
        BenchError: The file is cut short, or not readable (``link-damaged``).
    """
    text = pa.string()
    types = {name: pa.dictionary(pa.int32(), text) if name in words else text for name in columns}
    ragged = [0]

    def count(_row: pyarrow.csv.InvalidRow) -> str:
        ragged[0] += 1
        return "skip"

    try:
        with _stream(path, progress) as (stream, report):
            reader = pyarrow.csv.open_csv(
                stream,
                read_options=pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES),
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=count),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=list(columns), column_types=types, strings_can_be_null=False
                ),
            )
            for batch in reader:
                report()
                yield batch
    except (pa.ArrowException, OSError, EOFError, KeyError) as error:
        raise _unreadable(path, error) from error
    if ragged[0]:
        message = f"{ragged[0]:,} rows are longer or shorter than the header: cut short or damaged."
        raise_errors([Problem("link-damaged", message, str(path))])


def read_columns(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read columns of a table as text; errors as `read_batches`."""
    batches = list(read_batches(path, columns))
    if not batches:
        return pd.DataFrame({name: pd.Series(dtype=str) for name in columns})
    frame: pd.DataFrame = pa.Table.from_batches(batches).to_pandas()
    return frame
