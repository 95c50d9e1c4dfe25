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
from bench.cohort.parts import MOST_WORDS, assign_parts
from bench.cohort.patient_ids import canonical_id, canonical_value, is_blank
from bench.cohort.read_table import UNNAMED_INDEX, TextTable, read_text_table
from bench.cohort.spec import (
    BandSubgroups,
    BinaryTarget,
    CohortSpec,
    ColumnSplit,
    Contains,
    ContinuousTarget,
    PatientColumn,
    TableSplit,
    Target,
    ValueSubgroups,
)
from bench.cohort.split import Part, Strings
from bench.cohort.studies import study_problems
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem, nearest, raise_errors

SYNTHETIC_MARKER = "SYNTHETIC.txt"
OLDEST = 120
"""Upper limit of plausible ages in years; other ages are in no subgroup."""


def load_cohort(spec: CohortSpec, folder: Path) -> Cohort:
    """Read a cohort's table or tables and derive ids, targets, subgroups and split; images are not read.

    Raises:
        BenchError: The folder or a table is missing (exit 3), or a table does not fit the spec; every fault
            is listed.
    """
    problems: list[Problem] = []
    notices: list[Problem] = []
    paths = find_tables(spec, folder)
    where = ", ".join(map(str, paths.values()))
    table, by_table = _read_tables(spec, paths, notices)
    table, by_table, left_out = _filtered(spec, table, by_table, where, notices)
    images = _image_ids(table[spec.columns.image], where, problems)
    patients = _patients(spec, table, where, problems)
    studies = _studies(spec, table, where, problems)
    _require_distinct(spec, images, by_table, where, problems)
    raise_errors(problems)

    order = np.argsort(images.astype(str), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    for column in age_columns(spec):
        table[column] = table[column].map(_age_in_years)
    images, patients = images[order], patients[order]
    targets = {t.name: _target(t, table, where, problems) for t in spec.targets}
    time = _time(spec, table, where, problems)
    ages = age_columns(spec)
    subgroups = tuple(_subgroups(s, table, where, problems, ages) for s in spec.subgroups)
    raise_errors(problems)
    split = assign_parts(
        spec, table, folder, images, patients, by_table=by_table[order], left_out=left_out, notices=notices
    )
    if studies is not None and spec.study is not None:
        studies = studies[order]
        column = f"{where}, column {spec.study.column}"
        raise_errors(study_problems(studies, patients, split.parts, targets, column))
    return Cohort(
        spec=spec,
        folder=folder,
        synthetic=spec.synthetic or (folder / SYNTHETIC_MARKER).is_file(),
        images=images,
        patients=patients,
        studies=studies,
        time=time,
        targets=targets,
        subgroups=subgroups,
        split=split,
        table=table,
        notices=tuple(notices),
    )


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


def _read_tables(
    spec: CohortSpec, paths: dict[Part | None, Path], notices: list[Problem]
) -> tuple[pd.DataFrame, npt.NDArray[np.str_]]:
    """Read the tables as one, and the part (n,) whose table holds each row, empty for a single table."""
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


def _filtered(
    spec: CohortSpec,
    table: pd.DataFrame,
    by_table: npt.NDArray[np.str_],
    where: str,
    notices: list[Problem],
) -> tuple[pd.DataFrame, npt.NDArray[np.str_], frozenset[str]]:
    """Keep the rows that the spec's filters admit; return them, their parts and the other rows' image ids."""
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


def _require_distinct(
    spec: CohortSpec,
    images: Strings,
    by_table: npt.NDArray[np.str_],
    where: str,
    problems: list[Problem],
) -> None:
    if not (repeated := len(images) - len(set(images))):
        return
    message = f"{repeated} rows repeat an image id of another row ({len(images)} rows)."
    across = pd.Series(by_table).groupby(images).nunique()
    if shared := int((across > 1).sum()):
        message += f" {shared:,} images are in the tables of several parts."
    problems.append(Problem("cohort-duplicate-id", message, where=f"{where}, column {spec.columns.image}"))


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
    taken = {names[0]: name for name, names in similar.items() if len(names) == 1 and names[0] not in needed}
    missing = [name for name in absent if name not in taken.values()]
    blank = [n for n in missing if n in _descriptive_columns(spec) and _folded(n) in elsewhere]
    if lacking := [name for name in missing if name not in blank]:
        raise BenchError(_missing_columns(spec, read, path, lacking, similar))
    if blank:
        message = (
            f"{_count(len(blank), 'column')} of other parts' tables missing here: {', '.join(blank)}. These "
            f"{len(table):,} images have no such input and are in no such subgroup."
        )
        notices.append(Problem("cohort-part-columns", message, str(path), severity="warning"))
    if taken:
        pairs = ", ".join(f"{table_name!r} for {spec_name!r}" for table_name, spec_name in taken.items())
        message = f"{_count(len(taken), 'column')} found by a name that differs in case or blanks: {pairs}."
        notices.append(Problem("cohort-column-case", message, str(path), severity="warning"))
    if table.empty:
        remedy = "Export the table again: it holds only its header."
        raise BenchError(Problem("cohort-table", "The table has no rows.", str(path), remedy))
    return table.rename(columns=taken).assign(**dict.fromkeys(blank, ""))


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


def _image_ids(column: pd.Series[str], where: str, problems: list[Problem]) -> Strings:
    values = column.str.strip().to_numpy(dtype=object)
    ids = ["" if is_blank(value) else value for value in values]
    _require_ids(ids, values.tolist(), "image", f"{where}, column {column.name}", problems)
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


def _patients(spec: CohortSpec, table: pd.DataFrame, where: str, problems: list[Problem]) -> Strings:
    column = table[patient_column(spec)]
    where = f"{where}, column {column.name}"
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


def _studies(spec: CohortSpec, table: pd.DataFrame, where: str, problems: list[Problem]) -> Strings | None:
    """Return the study id of each row; None where the spec evaluates by image."""
    if spec.study is None:
        return None
    where = f"{where}, column {spec.study.column}"
    texts = id_texts(table[spec.study.column], spec.study.pattern)
    if failed := texts.count(None):
        message = f"{failed} of {len(texts)} rows do not match the study pattern {spec.study.pattern!r}."
        problems.append(Problem("cohort-patient-pattern", message, where))
    ids = [canonical_id(text or "") for text in texts]
    matched = [k for k, text in enumerate(texts) if text is not None]
    _require_ids([ids[k] for k in matched], [texts[k] or "" for k in matched], "study", where, problems)
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
    return id_texts(column, "" if isinstance(patient, str) else patient.pattern)


def id_texts(column: pd.Series[str], pattern: str) -> list[str | None]:
    """Extract the id in each cell by a pattern, see `PatientColumn`; the whole cell without a pattern."""
    cells = list(column.to_numpy(dtype=object))
    if not pattern:
        return cells
    compiled = re.compile(pattern)
    matches = map(compiled.search, cells)
    return [match.group(compiled.groups) or None if match else None for match in matches]


def _numbers(
    column: pd.Series[str], what: str, where: str, problems: list[Problem], remedy: str = ""
) -> npt.NDArray[np.float64]:
    """Convert a text column to numbers (n,); blank cells are NaN, other text adds a problem.

    Args:
        column: Its cells.
        what: Name for messages.
        where: Of the table, for messages.
        problems: Gets the problem.
        remedy: What to do; by default that of the catalogue.
    """
    codes, words = pd.factorize(column.str.strip())  # blanks of few distinct texts, not of every row
    text = pd.Series(np.array(["" if is_blank(word) else word for word in words], object)[codes], dtype=str)
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~np.isfinite(values) & (text != "").to_numpy()
    if bad := int(wrong.sum()):
        message = f"{bad} of {len(values)} values of {what} are not numbers; {_frequent_forms(text[wrong])}."
        problems.append(Problem("cohort-value", message, f"{where}, column {column.name}", remedy))
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
    target: Target, table: pd.DataFrame, where: str, problems: list[Problem]
) -> npt.NDArray[np.float64]:
    if isinstance(target, ContinuousTarget):
        values = _numbers(table[target.source], target.name, where, problems)
        low, high = target.plausible
        return np.where((values >= low) & (values <= high), values, np.nan)
    if isinstance(target.source, Contains):
        column = table[target.source.column]
        return _binary(target, _contains(target.source, column), where, problems)
    words = table[target.source].str.strip().str.lower()
    labels = table[target.source].mask(words == "true", "1").mask(words == "false", "0")
    before = len(problems)
    values = _numbers(labels, target.name, where, problems, _label_remedy(target.source, labels))
    return values if len(problems) > before else _binary(target, values, where, problems)


_POSITIVE_WORDS = frozenset(
    {"yes", "y", "t", "positive", "pos", "+", "present", "abnormal", "case", "on", "ja", "oui", "x"}
)


def _label_remedy(column: str, labels: pd.Series[str]) -> str:
    """Describe how to name the word of the positive images, where a column has few words."""
    counts = Counter(word for word in labels.str.strip().tolist() if not is_blank(word))
    named = ", ".join(f"{word!r} ({count:,})" for word, count in counts.most_common())
    positive = [word for word in counts if word.lower() in _POSITIVE_WORDS]
    word = positive[0] if len(positive) == 1 else "..."
    contents = f"The column holds {named}. " if len(counts) <= MOST_WORDS else ""
    return (
        f"{contents}Write labels as 0 and 1, or True and False; or name the word of the positive images in "
        f'the spec: `source = {{ column = "{column}", word = "{word}" }}`.'
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
    target: BinaryTarget, values: npt.NDArray[np.float64], where: str, problems: list[Problem]
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
        problems.append(Problem("cohort-label", message, f"{where}, column {column}", remedy))
    return values


def _time(
    spec: CohortSpec, table: pd.DataFrame, where: str, problems: list[Problem]
) -> npt.NDArray[np.float64]:
    column = spec.columns.time
    if column is None:
        return np.full(len(table), np.nan)
    if spec.columns.time_kind == "number":
        return _numbers(table[column], "time", where, problems)
    deltas = pd.to_timedelta(table[column], errors="coerce")
    if bad := int(deltas.isna().sum()):
        message = f"{bad} of {len(table)} time offsets are not of the form '12 days 09:20:05.3'."
        problems.append(Problem("cohort-value", message, where=f"{where}, column {column}"))
    return np.asarray(deltas / pd.Timedelta(days=1), dtype=np.float64)


def _subgroups(
    spec: ValueSubgroups | BandSubgroups,
    table: pd.DataFrame,
    where: str,
    problems: list[Problem],
    ages: Sequence[str],
) -> Subgroups:
    column = table[spec.column]
    if isinstance(spec, ValueSubgroups):
        levels = _lookup(column, {value: k for k, value in enumerate(spec.values)}, -1)
        return Subgroups(spec.name, spec.label, tuple(spec.values.values()), np.array(levels, np.int8))
    remedy = _AGE_REMEDY if spec.column in ages else ""
    numbers = _numbers(column, spec.name, where, problems, remedy)
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
