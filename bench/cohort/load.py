"""Reads a cohort from its folder, as its spec describes it."""

from __future__ import annotations

import io
import re
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from bench.cohort.cohort import Cohort, Subgroups
from bench.cohort.spec import (
    AllTest,
    BandSubgroups,
    BinaryTarget,
    CohortSpec,
    ColumnSplit,
    Contains,
    ContinuousTarget,
    HashSplit,
    ListSplit,
    PatientColumn,
    Target,
    ValueSubgroups,
)
from bench.cohort.split import Split, Strings, hash_parts, make_split, patient_uniform
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem, nearest, raise_errors

SYNTHETIC_MARKER = "SYNTHETIC.txt"


def load_cohort(spec: CohortSpec, folder: Path) -> Cohort:
    """Reads the cohort's table; images are not touched.

    Raises:
        BenchError: The folder or table is missing (exit 3), or the table is not this cohort's; every fault is
            listed.
    """
    path = find_table(spec, folder)
    table = _read_text_table(path)
    _require_columns(spec, table, path)
    problems: list[Problem] = []
    images = _identifiers(table[spec.columns.image], "image", path, problems)
    patients = _patients(spec, table, path, problems)
    if repeated := len(images) - len(set(images)):
        message = f"{repeated} rows repeat an image id of another row ({len(images)} rows)."
        problems.append(Problem("cohort-duplicate-id", message, where=f"{path}, column {spec.columns.image}"))
    raise_errors(problems)

    order = np.argsort(images.astype(str), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    images, patients = images[order], patients[order]
    targets = {t.name: _target(t, table, path, problems) for t in spec.targets}
    time = _time(spec, table, path, problems)
    subgroups = tuple(_subgroups(s, table, path, problems) for s in spec.subgroups)
    raise_errors(problems)
    return Cohort(
        spec=spec,
        folder=folder,
        synthetic=spec.synthetic or (folder / SYNTHETIC_MARKER).is_file(),
        images=images,
        patients=patients,
        time=time,
        targets=targets,
        subgroups=subgroups,
        split=_split(spec, table, folder, images, patients),
        table=table,
    )


def find_table(spec: CohortSpec, folder: Path) -> Path:
    """The cohort's table: the first of the spec's names that exists.

    Raises:
        BenchError: No folder (``cohort-missing``) or no table in it (``cohort-table-missing``); exit code 3.
    """
    if not folder.is_dir():
        message = f"The folder of cohort {spec.id} is not there."
        raise BenchError(Problem("cohort-missing", message, where=str(folder)), EXIT_ENVIRONMENT)
    for name in spec.files.table:
        if (folder / name).is_file():
            return folder / name
    message = f"There is no {' or '.join(spec.files.table)} in the folder of cohort {spec.id}."
    raise BenchError(Problem("cohort-table-missing", message, where=str(folder)), EXIT_ENVIRONMENT)


def _read_text_table(path: Path) -> pd.DataFrame:
    """Every cell as text, so that no reader's guess about types can change an id."""
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path).map(_as_text)
        table, ragged = _read_csv(path)
    except PermissionError as error:
        raise BenchError(
            Problem("cohort-table", "It may not be read.", str(path), "Change its permissions.")
        ) from error
    except (ValueError, OSError, EOFError, zlib.error) as error:  # pandas' and Arrow's errors are ValueErrors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BenchError(Problem("cohort-table", f"Cannot be read: {reason}", where=str(path))) from error
    if ragged:
        message = f"{ragged:,} of {ragged + len(table):,} rows are longer or shorter than the header."
        raise BenchError(Problem("cohort-table", message, where=str(path)))
    return table


def _read_csv(path: Path) -> tuple[pd.DataFrame, int]:
    """The table, and how many rows were left out because they do not have the columns of the header."""
    with pa.input_stream(path, compression="detect") as stream:
        data = stream.read()
    data.decode("utf-8")
    names = list(pd.read_csv(io.BytesIO(data), nrows=0, encoding="utf-8-sig").columns)
    ragged = []

    def note(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(row.actual_columns)
        return "skip"

    table = pyarrow.csv.read_csv(
        pa.BufferReader(data),
        read_options=pyarrow.csv.ReadOptions(column_names=names, skip_rows=1),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )
    return table.to_pandas(), len(ragged)


def _as_text(value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _needed_columns(spec: CohortSpec) -> set[str]:
    patient = spec.columns.patient
    needed = {spec.columns.image, patient.column if isinstance(patient, PatientColumn) else patient}
    needed |= {spec.columns.time} if spec.columns.time else set()
    needed |= set(spec.columns.inputs.values()) | {s.column for s in spec.subgroups}
    for target in spec.targets:
        needed.add(target.source.column if isinstance(target.source, Contains) else target.source)
    needed |= {threshold.column for rule in spec.label_rules for threshold in rule.any_of}
    if isinstance(spec.split, ColumnSplit):
        needed.add(spec.split.column)
    return needed


def _require_columns(spec: CohortSpec, table: pd.DataFrame, path: Path) -> None:
    if missing := sorted(_needed_columns(spec) - set(table.columns)):
        meant = {name: nearest(name, table.columns)[:1] for name in missing}
        named = [f"{name} (is it {near[0]!r}?)" if near else name for name, near in meant.items()]
        message = f"{len(missing)} columns of cohort {spec.id} are missing: {', '.join(named)}."
        other = len(table.columns) == 1 and {";", "\t", "|"} & set(table.columns[0])
        remedy = "Save the table with commas between columns." if other else ""
        raise BenchError(Problem("cohort-columns", message, str(path), remedy))
    if table.empty:
        raise BenchError(Problem("cohort-table", "The table has no rows.", where=str(path)))


def _identifiers(column: pd.Series[str], what: str, path: Path, problems: list[Problem]) -> Strings:
    values = column.str.strip().to_numpy(dtype=object)
    if blank := int((values == "").sum()):
        where = f"{path}, column {column.name}"
        problems.append(Problem("cohort-blank-id", f"{blank} rows have no {what} id.", where=where))
    return values


def _patients(spec: CohortSpec, table: pd.DataFrame, path: Path, problems: list[Problem]) -> Strings:
    source = spec.columns.patient
    if isinstance(source, str):
        return _identifiers(table[source], "patient", path, problems)
    pattern = re.compile(source.pattern)
    matches = [pattern.search(text) for text in table[source.column]]
    if failed := sum(match is None for match in matches):
        message = f"{failed} of {len(matches)} rows do not match the patient pattern {source.pattern!r}."
        problems.append(Problem("cohort-patient-pattern", message, where=f"{path}, column {source.column}"))
    return np.array([match.group() if match else "" for match in matches], dtype=object)


def _numbers(
    column: pd.Series[str], what: str, path: Path, problems: list[Problem]
) -> npt.NDArray[np.float64]:
    """Numbers of a text column; blank is NaN, anything else is a problem."""
    text = column.str.strip()
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if bad := int((~np.isfinite(values) & (text != "").to_numpy()).sum()):
        message = f"{bad} of {len(values)} values of {what} are not numbers."
        problems.append(Problem("cohort-value", message, where=f"{path}, column {column.name}"))
    return values


def _target(
    target: Target, table: pd.DataFrame, path: Path, problems: list[Problem]
) -> npt.NDArray[np.float64]:
    if isinstance(target, ContinuousTarget):
        values = _numbers(table[target.source], target.name, path, problems)
        low, high = target.plausible
        return np.where((values >= low) & (values <= high), values, np.nan)
    if isinstance(target.source, Contains):
        return _contains(target.source, table[target.source.column])
    return _binary(target, _numbers(table[target.source], target.name, path, problems), path, problems)


def _contains(source: Contains, column: pd.Series[str]) -> npt.NDArray[np.float64]:
    codes, lists = pd.factorize(column)  # a few hundred distinct lists in a hundred thousand rows
    holds = [source.word in map(str.strip, text.split(source.separator)) for text in lists]
    return np.array(holds, dtype=np.float64)[codes]


def _binary(
    target: BinaryTarget, values: npt.NDArray[np.float64], path: Path, problems: list[Problem]
) -> npt.NDArray[np.float64]:
    stated = {"exclude": np.nan, "positive": 1.0, "negative": 0.0, "error": -1.0}
    blank, uncertain = np.isnan(values), values == -1
    values = np.where(uncertain, stated[target.uncertain], values)
    values = np.where(blank, stated[target.blank], values)
    if bad := int((~np.isnan(values) & (values != 0) & (values != 1)).sum()):
        message = (
            f"{bad} of {len(values)} labels of {target.name} are not 0 or 1 "
            f"({int(uncertain.sum())} are -1, {int(blank.sum())} blank)."
        )
        problems.append(Problem("cohort-label", message, where=f"{path}, column {target.source}"))
    return values


def _time(
    spec: CohortSpec, table: pd.DataFrame, path: Path, problems: list[Problem]
) -> npt.NDArray[np.float64]:
    column = spec.columns.time
    if column is None:
        return np.full(len(table), np.nan)
    if spec.columns.time_kind == "number":
        return _numbers(table[column], "time", path, problems)
    deltas = pd.to_timedelta(table[column], errors="coerce")
    if bad := int(deltas.isna().sum()):
        message = f"{bad} of {len(table)} time offsets are not of the form '12 days 09:20:05.3'."
        problems.append(Problem("cohort-value", message, where=f"{path}, column {column}"))
    return np.asarray(deltas / pd.Timedelta(days=1), dtype=np.float64)


def _subgroups(
    spec: ValueSubgroups | BandSubgroups, table: pd.DataFrame, path: Path, problems: list[Problem]
) -> Subgroups:
    column = table[spec.column]
    if isinstance(spec, ValueSubgroups):
        codes = pd.Index(list(spec.values)).get_indexer(pd.Index(column.str.strip()))
        return Subgroups(spec.name, spec.label, tuple(spec.values.values()), codes.astype(np.int8))
    numbers = _numbers(column, spec.name, path, problems)
    bands = np.searchsorted(np.array(spec.bands), numbers, side="right") - 1
    codes = np.where(np.isnan(numbers), -1, bands)
    return Subgroups(spec.name, spec.label, _band_names(spec), codes.astype(np.int8))


def _band_names(spec: BandSubgroups) -> tuple[str, ...]:
    unit = f" {spec.unit}" if spec.unit else ""
    limits = [f"{limit:g}" for limit in spec.bands]
    whole = all(limit.is_integer() for limit in spec.bands)
    closed = [
        f"{low}–{int(high) - 1}{unit}" if whole else f"{low} to <{high}{unit}"
        for low, high in zip(limits, (f"{h:g}" for h in spec.bands[1:]), strict=False)
    ]
    return (*closed, f"{limits[-1]}+{unit}")


def _split(spec: CohortSpec, table: pd.DataFrame, folder: Path, images: Strings, patients: Strings) -> Split:
    rule = spec.split
    salt = rule.salt if isinstance(rule, HashSplit) else f"{spec.id}-folds"
    if isinstance(rule, HashSplit):
        parts = hash_parts(rule, patient_uniform(rule.salt, patients))
    elif isinstance(rule, AllTest):
        parts = np.full(len(images), "test")
    elif isinstance(rule, ColumnSplit):
        parts = _column_parts(rule, table)
    else:
        salt = rule.otherwise.salt
        parts = _list_parts(rule, folder, images, patients)
    return make_split(f"{spec.id} {spec.version}", images, patients, parts, salt)


def _column_parts(rule: ColumnSplit, table: pd.DataFrame) -> npt.NDArray[np.str_]:
    values = table[rule.column].str.strip()
    words = {rule.train: "train", rule.test: "test"} | ({rule.val: "val"} if rule.val else {})
    parts = values.map(words)
    if other := int(parts.isna().sum()):
        message = f"{other} of {len(parts)} rows are in none of {', '.join(words)}."
        raise BenchError(Problem("cohort-split-column", message, where=f"column {rule.column}"))
    return parts.to_numpy(dtype="U5")


def _list_parts(rule: ListSplit, folder: Path, images: Strings, patients: Strings) -> npt.NDArray[np.str_]:
    path = folder / rule.test_file
    u = patient_uniform(rule.otherwise.salt, patients)
    if not path.is_file():
        return hash_parts(rule.otherwise, u)
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchError(
            Problem("cohort-split-list", f"Not UTF-8 text: {error.reason}.", str(path))
        ) from error
    listed = {line.strip() for line in text.splitlines() if line.strip()}
    test = np.array([image in listed for image in images])
    if absent := len(listed) - int(test.sum()):
        message = f"{absent} of {len(listed)} listed test images are not in the table."
        raise BenchError(Problem("cohort-split-list", message, where=str(path)))
    share = rule.otherwise.val / (1 - rule.otherwise.test)
    return np.where(test, "test", np.where(u < share, "val", "train"))
