"""Loading of a cohort from its folder by its spec."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.cohort.cohort import Cohort, Subgroups
from bench.cohort.parts import MOST_WORDS, assign_parts
from bench.cohort.patient_ids import canonical_id, is_blank
from bench.cohort.spec import (
    BandSubgroups,
    BinaryTarget,
    CohortSpec,
    Contains,
    ContinuousTarget,
    PatientColumn,
    Target,
    ValueSubgroups,
)
from bench.cohort.split import Strings
from bench.cohort.studies import study_problems
from bench.cohort.tables import filtered_rows, find_tables, meanings_of_cells, read_tables
from bench.errors import Problem, raise_errors

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
    table, by_table = read_tables(spec, paths, notices)
    table, by_table, left_out = filtered_rows(spec, table, by_table, where, notices)
    images = _image_ids(table[spec.columns.image], where, problems)
    patients = _patients(spec, table, where, problems)
    studies = _studies(spec, table, where, problems)
    _require_distinct(spec, images, by_table, where, problems)
    raise_errors(problems)

    order = np.argsort(images.astype(str), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    for column in age_columns(spec):
        table[column] = _ages_in_years(table[column])
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
    column: pd.Series[str], what: str, where: str, problems: list[Problem], remedy: Callable[[], str] = str
) -> npt.NDArray[np.float64]:
    """Convert a text column to numbers (n,); blank cells are NaN, other text adds a problem.

    Args:
        column: Its cells.
        what: Name for messages.
        where: Of the table, for messages.
        problems: Gets the problem.
        remedy: Makes the text of what to do; by default that of the catalogue.
    """
    codes, words = pd.factorize(column.str.strip())  # a word is converted once, however many rows have it
    texts = pd.Series(["" if is_blank(word) else word for word in words], dtype=str)
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = (~np.isfinite(numbers) & (texts != "").to_numpy())[codes]
    values = numbers[codes]
    if bad := int(wrong.sum()):
        forms = _frequent_forms(texts.iloc[codes[wrong]])
        message = f"{bad} of {len(values)} values of {what} are not numbers; {forms}."
        problems.append(Problem("cohort-value", message, f"{where}, column {column.name}", remedy()))
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


def _ages_in_years(column: pd.Series[str]) -> pd.Series[str]:
    codes, ages = pd.factorize(column)  # a hundred distinct ages in a hundred thousand rows
    return pd.Series(np.array([_age_in_years(age) for age in ages], object)[codes], dtype=column.dtype)


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
    values = _numbers(labels, target.name, where, problems, partial(_label_remedy, target.source, labels))
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
        levels = meanings_of_cells(column, {value: k for k, value in enumerate(spec.values)}, -1)
        return Subgroups(spec.name, spec.label, tuple(spec.values.values()), np.array(levels, np.int8))
    remedy = _AGE_REMEDY if spec.column in ages else ""
    numbers = _numbers(column, spec.name, where, problems, lambda: remedy)
    if spec.name == "age" and spec.unit in {"", "years"}:
        numbers = np.where((numbers >= 0) & (numbers <= OLDEST), numbers, np.nan)
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
