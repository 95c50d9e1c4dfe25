"""Loading of a cohort from its folder by its spec."""

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
"""Upper limit of plausible ages in years; other ages are in no subgroup."""
MOST_WORDS = 5
"""Number of distinct words of a column that a message may name."""


def load_cohort(spec: CohortSpec, folder: Path) -> Cohort:
    """Read a cohort's table and derive ids, targets, subgroups and split; images are not read.

    Raises:
        BenchError: The folder or table is missing (exit 3), or the table does not fit the spec; every fault
            is listed.
    """
    path = find_table(spec, folder)
    problems: list[Problem] = []
    notices: list[Problem] = []
    table = _named_by_spec(spec, read_text_table(path), path, notices)
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
    ages = age_columns(spec)
    subgroups = tuple(_subgroups(s, table, path, problems, ages) for s in spec.subgroups)
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
    """Return the path of the cohort's table: the first of the spec's names that exists.

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


def _named_by_spec(spec: CohortSpec, read: TextTable, path: Path, notices: list[Problem]) -> pd.DataFrame:
    """Rename the table's columns to the names in the spec.

    A column whose name differs only by case, blanks or Unicode form is accepted with a warning if it is the
    only such column.
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
        pairs = ", ".join(f"{table_name!r} for {spec_name!r}" for table_name, spec_name in taken.items())
        message = f"{_count(len(taken), 'column')} found by a name that differs in case or blanks: {pairs}."
        notices.append(Problem("cohort-column-case", message, str(path), severity="warning"))
    if table.empty:
        remedy = "Export the table again: it holds only its header."
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


def _image_ids(column: pd.Series[str], path: Path, problems: list[Problem]) -> Strings:
    values = column.str.strip().to_numpy(dtype=object)
    ids = ["" if is_blank(value) else value for value in values]
    _require_ids(ids, values.tolist(), "image", f"{path}, column {column.name}", problems)
    return values


def _require_ids(
    ids: Sequence[str], texts: Sequence[str], what: str, where: str, problems: list[Problem]
) -> None:
    """Add a problem if ids are blank; words for a missing value are counted."""
    words = [text.strip() for text, id_text in zip(texts, ids, strict=True) if not id_text]
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
    """Return the name of the column with the patient id."""
    patient = spec.columns.patient
    return patient if isinstance(patient, str) else patient.column


def patient_texts(spec: CohortSpec, column: pd.Series[str]) -> list[str | None]:
    """Extract each row's patient id as written in the table; None if the spec's pattern does not match.

    If the pattern has a group, the id is the text of the group.
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
    """Convert a text column to numbers (n,); blank cells are NaN, other text adds a problem.

    Args:
        column: Its cells.
        what: Name for messages.
        path: Of the table, for messages.
        problems: Gets the problem.
        remedy: What to do; by default that of the catalogue.
    """
    codes, words = pd.factorize(column.str.strip())  # blanks of few distinct texts, not of every row
    text = pd.Series(np.array(["" if is_blank(word) else word for word in words], object)[codes], dtype=str)
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values) & (text != "").to_numpy()
    if bad := int(wrong.sum()):
        message = f"{bad} of {len(values)} values of {what} are not numbers; {_frequent_forms(text[wrong])}."
        problems.append(Problem("cohort-value", message, f"{path}, column {column.name}", remedy))
    return values


def _frequent_forms(texts: pd.Series[str]) -> str:
    """Describe the most frequent forms of texts, with ``9`` for every digit and ``a`` for every letter."""
    forms = Counter(
        re.sub(r"a{4,}", "aaa…", re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", text)))[:20] for text in texts
    )
    named = ", ".join(f"{form!r} ({count:,})" for form, count in forms.most_common(3))
    return f"forms, with 9 for a digit and a for a letter: {named}"


def age_columns(spec: CohortSpec) -> list[str]:
    """Return the columns with ages in years: the input ``age`` and bands named ``age``."""
    bands = [s.column for s in spec.subgroups if isinstance(s, BandSubgroups) and s.name == "age"]
    return sorted({*bands, *([spec.columns.inputs["age"]] if "age" in spec.columns.inputs else [])})


_AGE_REMEDY = (
    "Write ages as numbers of years, such as 45 or 0.5, or in the DICOM form (045Y, 006M); of an open or "
    "closed range (90+, 40-49) its lower limit. Leave unknown ages blank."
)
_DICOM_AGE = re.compile(r"(\d{1,3})([DWMY])", re.ASCII | re.IGNORECASE)
_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}


def _age_in_years(text: str) -> str:
    """Convert a DICOM age (``058Y``, ``011M``, ``003W``, ``020D``; PS3.5, VR AS) to years."""
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
    values = _numbers(labels, target.name, path, problems, _label_remedy(target.source, labels))
    return values if len(problems) > before else _binary(target, values, path, problems)


_POSITIVE_WORDS = frozenset(
    {"yes", "y", "t", "positive", "pos", "+", "present", "abnormal", "case", "on", "ja", "oui", "x"}
)


def _label_remedy(column: str, labels: pd.Series[str]) -> str:
    """Describe how to name the word of the positive images, where a column has few words."""
    counts = Counter(word for word in labels.str.strip().tolist() if not is_blank(word))
    named = ", ".join(f"{word!r} ({count:,})" for word, count in counts.most_common())
    positive = [word for word in counts if word.lower() in _POSITIVE_WORDS]
    word = positive[0] if len(positive) == 1 else "..."
    held = f"The column holds {named}. " if len(counts) <= MOST_WORDS else ""
    return (
        f"{held}Write labels as 0 and 1, or True and False; or name the word of the positive images in the "
        f'spec: `source = {{ column = "{column}", word = "{word}" }}`.'
    )


def _contains(source: Contains, column: pd.Series[str]) -> npt.NDArray[np.float64]:
    """Return (n,) 1 if a list contains the word, 0 if not, NaN for a blank cell."""
    codes, lists = pd.factorize(column)  # a few hundred distinct lists in a hundred thousand rows
    holds = [
        1.0 if source.word in list_words(text, source) else np.nan if is_blank(text) else 0.0
        for text in lists
    ]
    return np.array(holds, dtype=np.float64)[codes]


def list_words(text: str, source: Contains) -> set[str]:
    """Split a list into words, with and without brackets and quotes as in ``['edema', 'mass']``."""
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
        others = np.unique(values[~np.isnan(values) & (values != 0) & (values != 1) & (values != -1)])
        remedy = ""
        if len(others):
            named = ", ".join(f"{value:g}" for value in others[:MOST_WORDS])
            remedy = (
                f"The column holds {named}{' and more' if len(others) > MOST_WORDS else ''}. Write labels as "
                "0 and 1, or name the value of the positive images in the spec: "
                f'`source = {{ column = "{column}", word = "{others[-1]:g}" }}`.'
            )
        problems.append(Problem("cohort-label", message, f"{path}, column {column}", remedy))
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
    spec: ValueSubgroups | BandSubgroups,
    table: pd.DataFrame,
    path: Path,
    problems: list[Problem],
    ages: Sequence[str],
) -> Subgroups:
    column = table[spec.column]
    if isinstance(spec, ValueSubgroups):
        levels = _lookup(column, {value: k for k, value in enumerate(spec.values)}, -1)
        return Subgroups(spec.name, spec.label, tuple(spec.values.values()), np.array(levels, np.int8))
    remedy = _AGE_REMEDY if spec.column in ages else ""
    numbers = _numbers(column, spec.name, path, problems, remedy)
    if spec.name == "age" and spec.unit in {"", "years"}:
        numbers = np.where((numbers >= 0) & (numbers <= OLDEST), numbers, np.nan)
    bands = np.searchsorted(np.array(spec.bands), numbers, side="right") - 1
    codes = np.where(np.isnan(numbers), -1, bands)
    return Subgroups(spec.name, spec.label, _band_names(spec), codes.astype(np.int8))


V = TypeVar("V")


def _lookup(column: pd.Series[str], meanings: dict[str, V], otherwise: V) -> list[V]:
    """Map each cell of a column to its meaning; 1, 1.0 and True are equal, as are 0, 0.0 and False."""
    canonical = {canonical_value(word): meaning for word, meaning in meanings.items()}
    exact = {word.strip(): meaning for word, meaning in meanings.items()}
    codes, words = pd.factorize(column.str.strip())
    values_of_words = [exact.get(word, canonical.get(canonical_value(word), otherwise)) for word in words]
    return [values_of_words[code] for code in codes]


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
    if unassigned := int((parts == "").sum()):
        frequent = Counter(table[rule.column][parts == ""].str.strip()).most_common(MOST_WORDS + 1)
        named = ", ".join(f"{word!r} ({count:,})" for word, count in frequent)
        others = f"; they hold {named}" if len(frequent) <= MOST_WORDS else ""
        message = f"{unassigned} of {len(parts)} rows are in none of {', '.join(words)}{others}."
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
    val_share = rule.otherwise.val / (1 - rule.otherwise.test)
    return np.where(test, "test", np.where(u < val_share, "val", "train"))
