"""The tables of a cohort: found, read as one with the column names of the spec, and filtered by row."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.cohort.patient_ids import canonical_value
from bench.cohort.read_table import UNNAMED_INDEX, TextTable, read_text_table
from bench.cohort.spec import CohortSpec, ColumnSplit, Contains, PatientColumn, TableSplit
from bench.cohort.split import Part
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem, nearest

V = TypeVar("V")


def find_tables(spec: CohortSpec, folder: Path) -> dict[Part | None, Path]:
    """Return the cohort's tables: one for each part of the split, or one (key None) for all.

    Of several names of a table the first that exists is taken.

    Raises:
        BenchError: No folder (``cohort-missing``) or a table is not in it (``cohort-table-missing``); exit
            code 3.
    """
    if folder.is_file():
        message = f"This is a file; cohort {spec.id} is looked for in a folder."
        remedy = f"Name the folder that holds it: `--data {folder.parent}`."
        raise BenchError(Problem("cohort-missing", message, str(folder), remedy), EXIT_ENVIRONMENT)
    if not folder.is_dir():
        message = f"The folder of cohort {spec.id} is not there."
        raise BenchError(Problem("cohort-missing", message, where=str(folder)), EXIT_ENVIRONMENT)
    names: dict[Part | None, tuple[str, ...]] = {None: spec.files.table}
    if isinstance(spec.split, TableSplit):
        names = dict(spec.split.tables.items())
    tables = {
        part: folder / name
        for part, of_part in names.items()
        for name in [next((name for name in of_part if (folder / name).is_file()), None)]
        if name
    }
    if absent := [" or ".join(names[part]) for part in names if part not in tables]:
        message = f"There is no {' and no '.join(absent)} in the folder of cohort {spec.id}."
        raise BenchError(Problem("cohort-table-missing", message, where=str(folder)), EXIT_ENVIRONMENT)
    return tables


def read_tables(
    spec: CohortSpec, paths: dict[Part | None, Path], notices: list[Problem]
) -> tuple[pd.DataFrame, npt.NDArray[np.str_]]:
    """Read the tables as one, and the part (n,) whose table holds each row, empty for a single table.

    Raises:
        BenchError: A table cannot be read, has no rows (``cohort-table``) or lacks columns of the spec
            (``cohort-columns``).
    """
    read = {part: read_text_table(path) for part, path in paths.items()}
    frames, parts = [], []
    for part, path in paths.items():
        elsewhere = {
            _folded(c) for other, table in read.items() if other != part for c in table.frame.columns
        }
        frames.append(_named_by_spec(spec, read[part], path, notices, elsewhere))
        parts += [part or ""] * len(frames[-1])
    table = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True).fillna("")
    return table, np.array(parts, dtype="U5")


def filtered_rows(
    spec: CohortSpec,
    table: pd.DataFrame,
    by_table: npt.NDArray[np.str_],
    where: str,
    notices: list[Problem],
) -> tuple[pd.DataFrame, npt.NDArray[np.str_], frozenset[str]]:
    """Keep the rows that the spec's filters admit; return them, their parts and the other rows' image ids.

    Raises:
        BenchError: A filter admits no row (``cohort-rows``).
    """
    kept = np.ones(len(table), bool)
    for rule in spec.rows:
        codes, cells = pd.factorize(table[rule.column].str.strip())
        pattern = re.compile(rule.pattern)
        words = {canonical_value(word) for word in rule.values}
        admitted = [bool(pattern.search(c)) if rule.pattern else canonical_value(c) in words for c in cells]
        inside = np.array(admitted, dtype=bool)[codes]
        place = f"{where}, column {rule.column}"
        if not (kept & inside).any():
            message = f"None of {len(table):,} rows is among the {rule.label}."
            raise BenchError(Problem("cohort-rows", message, place))
        if dropped := int((kept & ~inside).sum()):
            message = f"{dropped:,} of {len(table):,} rows are not {rule.label} and not part of the cohort."
            notices.append(Problem("cohort-rows", message, place, severity="notice"))
        kept &= inside
    if kept.all():
        return table, by_table, frozenset()
    left_out = frozenset(table[spec.columns.image][~kept].str.strip())
    return table[kept].reset_index(drop=True), by_table[kept], left_out


def meanings_of_cells(column: pd.Series[str], meanings: dict[str, V], otherwise: V) -> list[V]:
    """Map each cell of a column to its meaning; 1, 1.0 and True are equal, as are 0, 0.0 and False."""
    canonical = {canonical_value(word): meaning for word, meaning in meanings.items()}
    exact = {word.strip(): meaning for word, meaning in meanings.items()}
    codes, words = pd.factorize(column.str.strip())
    values_of_words = [exact.get(word, canonical.get(canonical_value(word), otherwise)) for word in words]
    return [values_of_words[code] for code in codes]


def _descriptive_columns(spec: CohortSpec) -> set[str]:
    """Return the columns that the table of a part may lack: inputs and subgroups."""
    return set(spec.columns.inputs.values()) | {s.column for s in spec.subgroups}


def _needed_columns(spec: CohortSpec) -> set[str]:
    patient = spec.columns.patient
    needed = {spec.columns.image, patient.column if isinstance(patient, PatientColumn) else patient}
    needed |= {spec.columns.time} if spec.columns.time else set()
    needed |= {spec.columns.image_file} if spec.columns.image_file else set()
    needed |= {spec.study.column} if spec.study else set()
    needed |= {rule.column for rule in spec.rows} | _descriptive_columns(spec)
    for target in spec.targets:
        needed.add(target.source.column if isinstance(target.source, Contains) else target.source)
    needed |= {threshold.column for rule in spec.label_rules for threshold in rule.any_of}
    if isinstance(spec.split, ColumnSplit):
        needed.add(spec.split.column)
    return needed


def _named_by_spec(
    spec: CohortSpec, read: TextTable, path: Path, notices: list[Problem], elsewhere: set[str]
) -> pd.DataFrame:
    """Rename the table's columns to the names in the spec.

    A column whose name differs only by case, blanks or Unicode form is accepted with a warning if it is the
    only such column. The table of a part may lack columns of inputs and subgroups that the table of another
    part has (`elsewhere`): its cells are blank.
    """
    table = read.frame
    candidates: dict[str, list[str]] = {}
    for name in table.columns:
        candidates.setdefault(_folded(name), []).append(name)
    needed = _needed_columns(spec)
    absent = sorted(needed - set(table.columns))
    similar = {name: candidates.get(_folded(name), []) for name in absent}
    single = {name: names[0] for name, names in similar.items() if len(names) == 1}
    renamed = {present: name for name, present in single.items() if present not in needed}
    missing = [name for name in absent if name not in renamed.values()]
    blank = [n for n in missing if n in _descriptive_columns(spec) and _folded(n) in elsewhere]
    if lacking := [name for name in missing if name not in blank]:
        raise BenchError(_missing_columns(spec, read, path, lacking, similar))
    if blank:
        message = (
            f"{_count(len(blank), 'column')} of other parts' tables missing here: {', '.join(blank)}. These "
            f"{len(table):,} images have no such input and are in no such subgroup."
        )
        notices.append(Problem("cohort-part-columns", message, str(path), severity="warning"))
    if renamed:
        pairs = ", ".join(f"{table_name!r} for {spec_name!r}" for table_name, spec_name in renamed.items())
        message = f"{_count(len(renamed), 'column')} found by a name that differs in case or blanks: {pairs}."
        notices.append(Problem("cohort-column-case", message, str(path), severity="warning"))
    if table.empty:
        remedy = "Export the table again: it holds only its header."
        raise BenchError(Problem("cohort-table", "The table has no rows.", str(path), remedy))
    return table.rename(columns=renamed).assign(**dict.fromkeys(blank, ""))


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()


def _missing_columns(
    spec: CohortSpec, read: TextTable, path: Path, missing: list[str], similar: dict[str, list[str]]
) -> Problem:
    named = []
    columns = list(read.frame.columns)
    for name in missing:
        near = similar[name] if len(similar[name]) > 1 else nearest(name, columns)[:1]
        if name in read.left_out:
            named.append(f"{name} (its type is {read.left_out[name]}, which cannot be read as text)")
        else:
            named.append(f"{name} (is it {' or '.join(map(repr, near))}?)" if near else name)
    message = f"{len(missing)} columns of cohort {spec.id} are missing: {', '.join(named)}."
    remedy = ""
    if len(columns) == 1 and sum(name in columns[0] for name in missing) > 1:
        remedy = "Save the table with commas between columns."
    elif any(name.strip("'`\u2018\u2019\u201c\u201d") in missing for name in columns if name not in missing):
        remedy = 'Save the table with double quotes (") around text, or without quotes.'
    elif set(missing) & set(read.left_out):
        remedy = "Write these columns as text or numbers; a list of words as text with | between them."
    elif any(UNNAMED_INDEX.fullmatch(name) for name in columns):
        remedy = (
            "The table has a pandas index without a name. If it holds the ids, name it before writing: "
            f"frame.rename_axis({missing[0]!r}).to_parquet(...)."
        )
    return Problem("cohort-columns", message, str(path), remedy)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
