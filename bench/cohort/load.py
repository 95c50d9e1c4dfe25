"""Reads a cohort from its folder, as its spec describes it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.cohort.cohort import Cohort, Subgroups
from bench.cohort.patient_ids import canonical_id, canonical_value, is_blank
from bench.cohort.read_table import UNNAMED_INDEX, TextTable, read_text_table
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
OLDEST = 120
"""Years; ages outside 0 to this one are in no subgroup."""
MOST_WORDS = 5
"""Distinct words of a column that a message names."""


def load_cohort(spec: CohortSpec, folder: Path) -> Cohort:
    """Reads the cohort's table; images are not touched.

    Raises:
        BenchError: The folder or table is missing (exit 3), or the table is not this cohort's; every fault is
            listed.
    """
    path = find_table(spec, folder)
    problems: list[Problem] = []
    notices: list[Problem] = []
    table = _with_columns(spec, read_text_table(path), path, notices)
    images = _image_ids(table[spec.columns.image], path, problems)
    patients = _patients(spec, table, path, problems)
    if repeated := len(images) - len(set(images)):
        message = f"{repeated} rows repeat an image id of another row ({len(images)} rows)."
        problems.append(Problem("cohort-duplicate-id", message, where=f"{path}, column {spec.columns.image}"))
    raise_errors(problems)

    order = np.argsort(images.astype(str), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    for column in age_columns(spec):
        table[column] = table[column].map(_age_in_years)
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
        notices=tuple(notices),
    )


def find_table(spec: CohortSpec, folder: Path) -> Path:
    """The cohort's table: the first of the spec's names that exists.

    Raises:
        BenchError: No folder (``cohort-missing``) or no table in it (``cohort-table-missing``); exit code 3.
    """
    if folder.is_file():
        message = f"This is a file; cohort {spec.id} is looked for in a folder."
        remedy = f"Name the folder that holds it: `--data {folder.parent}`."
        raise BenchError(Problem("cohort-missing", message, str(folder), remedy), EXIT_ENVIRONMENT)
    if not folder.is_dir():
        message = f"The folder of cohort {spec.id} is not there."
        raise BenchError(Problem("cohort-missing", message, where=str(folder)), EXIT_ENVIRONMENT)
    for name in spec.files.table:
        if (folder / name).is_file():
            return folder / name
    message = f"There is no {' or '.join(spec.files.table)} in the folder of cohort {spec.id}."
    raise BenchError(Problem("cohort-table-missing", message, where=str(folder)), EXIT_ENVIRONMENT)


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


def _with_columns(spec: CohortSpec, read: TextTable, path: Path, notices: list[Problem]) -> pd.DataFrame:
    """The table with the column names of the spec.

    A column whose name differs from the spec's by case, blanks or Unicode form alone is taken, with a notice,
    where it is the only one.
    """
    table = read.frame
    candidates: dict[str, list[str]] = {}
    for name in table.columns:
        candidates.setdefault(_folded(name), []).append(name)
    needed = _needed_columns(spec)
    absent = sorted(needed - set(table.columns))
    similar = {name: candidates.get(_folded(name), []) for name in absent}
    taken = {names[0]: name for name, names in similar.items() if len(names) == 1 and names[0] not in needed}
    if missing := [name for name in absent if name not in taken.values()]:
        raise BenchError(_missing_columns(spec, read, path, missing, similar))
    if taken:
        pairs = ", ".join(f"{found!r} for {wanted!r}" for found, wanted in taken.items())
        message = f"{_count(len(taken), 'column')} found by a name that differs in case or blanks: {pairs}."
        notices.append(Problem("cohort-column-case", message, str(path), severity="warning"))
    if table.empty:
        remedy = "Export the table again: it holds its header alone."
        raise BenchError(Problem("cohort-table", "The table has no rows.", str(path), remedy))
    return table.rename(columns=taken)


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
    if len(columns) == 1 and {";", "\t", "|"} & set(columns[0]):
        remedy = "Save the table with commas between columns."
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


def _image_ids(column: pd.Series[str], path: Path, problems: list[Problem]) -> Strings:
    values = column.str.strip().to_numpy(dtype=object)
    ids = ["" if is_blank(value) else value for value in values]
    _require_ids(ids, values.tolist(), "image", f"{path}, column {column.name}", problems)
    return values


def _require_ids(
    ids: Sequence[str], texts: Sequence[str], what: str, where: str, problems: list[Problem]
) -> None:
    """Adds a problem where ids are blank; words that stand for a missing value are counted."""
    words = [text.strip() for text, found in zip(texts, ids, strict=True) if not found]
    if words:
        named = ", ".join(f"{count:,} are {word!r}" for word, count in sorted(Counter(words).items()) if word)
        message = f"{len(words)} rows have no {what} id{f' ({named})' if named else ''}."
        problems.append(Problem("cohort-blank-id", message, where))


def _patients(spec: CohortSpec, table: pd.DataFrame, path: Path, problems: list[Problem]) -> Strings:
    column = table[patient_column(spec)]
    where = f"{path}, column {column.name}"
    texts = patient_texts(spec, column)
    if isinstance(spec.columns.patient, PatientColumn) and (failed := texts.count(None)):
        pattern = spec.columns.patient.pattern
        message = f"{failed} of {len(texts)} rows do not match the patient pattern {pattern!r}."
        problems.append(Problem("cohort-patient-pattern", message, where))
    canonical = {text: canonical_id(text or "") for text in set(texts)}
    ids = [canonical[text] for text in texts]
    matched = [k for k, text in enumerate(texts) if text is not None]
    _require_ids([ids[k] for k in matched], [texts[k] or "" for k in matched], "patient", where, problems)
    return np.array(ids, dtype=object)


def patient_column(spec: CohortSpec) -> str:
    """The column that patients are read from."""
    patient = spec.columns.patient
    return patient if isinstance(patient, str) else patient.column


def patient_texts(spec: CohortSpec, column: pd.Series[str]) -> list[str | None]:
    """Each row's patient as the table writes it; None where the spec's pattern does not match.

    A pattern with a group means the text of the group.
    """
    patient = spec.columns.patient
    if isinstance(patient, str):
        return list(column.to_numpy(dtype=object))
    pattern = re.compile(patient.pattern)
    matches = [pattern.search(text) for text in column.to_numpy(dtype=object)]
    return [match.group(pattern.groups) or None if match else None for match in matches]


def _numbers(
    column: pd.Series[str], what: str, path: Path, problems: list[Problem], remedy: str = ""
) -> npt.NDArray[np.float64]:
    """Numbers of a text column; blank is NaN, anything else is a problem."""
    codes, words = pd.factorize(column.str.strip())  # blanks of few distinct texts, not of every row
    text = pd.Series(np.array(["" if is_blank(word) else word for word in words], object)[codes], dtype=str)
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values) & (text != "").to_numpy()
    if bad := int(wrong.sum()):
        message = f"{bad} of {len(values)} values of {what} are not numbers; {_forms(text[wrong])}."
        problems.append(Problem("cohort-value", message, f"{path}, column {column.name}", remedy))
    return values


def _forms(texts: pd.Series[str]) -> str:
    """The most frequent forms of texts, with ``9`` for every digit and ``a`` for every letter."""
    forms = Counter(
        re.sub(r"a{4,}", "aaa…", re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text)))[:20] for text in texts
    )
    named = ", ".join(f"{form!r} ({count:,})" for form, count in forms.most_common(3))
    return f"forms, with 9 for a digit and a for a letter: {named}"


def age_columns(spec: CohortSpec) -> list[str]:
    """Columns that hold ages in years: that of the input ``age``, and of bands named ``age``."""
    bands = [s.column for s in spec.subgroups if isinstance(s, BandSubgroups) and s.name == "age"]
    return sorted({*bands, *([spec.columns.inputs["age"]] if "age" in spec.columns.inputs else [])})


_DICOM_AGE = re.compile(r"(\d{1,3})([DWMY])", re.ASCII | re.IGNORECASE)
_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}


def _age_in_years(text: str) -> str:
    """An age of the DICOM form (``058Y``, ``011M``, ``003W``, ``020D``; PS3.5, VR AS) in years."""
    match = _DICOM_AGE.fullmatch(text.strip())
    return f"{int(match[1]) / _PER_YEAR[match[2].upper()]:.6g}" if match else text


def _target(
    target: Target, table: pd.DataFrame, path: Path, problems: list[Problem]
) -> npt.NDArray[np.float64]:
    if isinstance(target, ContinuousTarget):
        values = _numbers(table[target.source], target.name, path, problems)
        low, high = target.plausible
        return np.where((values >= low) & (values <= high), values, np.nan)
    if isinstance(target.source, Contains):
        column = table[target.source.column]
        return _binary(target, _contains(target.source, column), path, problems)
    words = table[target.source].str.strip().str.lower()
    labels = table[target.source].mask(words == "true", "1").mask(words == "false", "0")
    before = len(problems)
    values = _numbers(labels, target.name, path, problems, _LABEL_WORDS)
    return values if len(problems) > before else _binary(target, values, path, problems)


_LABEL_WORDS = (
    "Write labels as 0 and 1, or True and False. Where the column holds words, name that of the positive "
    'images: `source = { column = "...", word = "..." }`.'
)


def _contains(source: Contains, column: pd.Series[str]) -> npt.NDArray[np.float64]:
    """1 where a list holds the word, 0 where it does not, NaN where the cell is blank."""
    codes, lists = pd.factorize(column)  # a few hundred distinct lists in a hundred thousand rows
    holds = [
        1.0 if source.word in list_words(text, source) else np.nan if is_blank(text) else 0.0
        for text in lists
    ]
    return np.array(holds, dtype=np.float64)[codes]


def list_words(text: str, source: Contains) -> set[str]:
    """The words of a separated list, also without brackets and quotes: those of ``['edema', 'mass']``."""
    words = {word.strip() for word in text.split(source.separator)}
    return words | {word.strip("[]{} '\"") for word in words}


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
        column = target.source.column if isinstance(target.source, Contains) else target.source
        problems.append(Problem("cohort-label", message, where=f"{path}, column {column}"))
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
        levels = _lookup(column, {value: k for k, value in enumerate(spec.values)}, -1)
        return Subgroups(spec.name, spec.label, tuple(spec.values.values()), np.array(levels, np.int8))
    numbers = _numbers(column, spec.name, path, problems)
    if spec.name == "age" and spec.unit in {"", "years"}:
        numbers = np.where((numbers >= 0) & (numbers <= OLDEST), numbers, np.nan)
    bands = np.searchsorted(np.array(spec.bands), numbers, side="right") - 1
    codes = np.where(np.isnan(numbers), -1, bands)
    return Subgroups(spec.name, spec.label, _band_names(spec), codes.astype(np.int8))


V = TypeVar("V")


def _lookup(column: pd.Series[str], meanings: dict[str, V], otherwise: V) -> list[V]:
    """What each cell of a column means; 1, 1.0 and True are one value, as 0, 0.0 and False are."""
    canonical = {canonical_value(word): meaning for word, meaning in meanings.items()}
    exact = {word.strip(): meaning for word, meaning in meanings.items()}
    codes, words = pd.factorize(column.str.strip())
    found = [exact.get(word, canonical.get(canonical_value(word), otherwise)) for word in words]
    return [found[code] for code in codes]


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
    words = {rule.train: "train", rule.test: "test"} | ({rule.val: "val"} if rule.val else {})
    parts = np.array(_lookup(table[rule.column], words, ""), dtype="U5")
    if other := int((parts == "").sum()):
        found = Counter(table[rule.column][parts == ""].str.strip()).most_common(MOST_WORDS + 1)
        named = ", ".join(f"{word!r} ({count:,})" for word, count in found)
        others = f"; they hold {named}" if len(found) <= MOST_WORDS else ""
        message = f"{other} of {len(parts)} rows are in none of {', '.join(words)}{others}."
        raise BenchError(Problem("cohort-split-column", message, where=f"column {rule.column}"))
    return parts


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
