"""Checks of a predictions file against a cohort: joined by id, every fault in one pass."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.load import id_texts
from bench.cohort.patient_ids import canonical_id
from bench.cohort.spec import BinaryTarget, ContinuousTarget, Target
from bench.cohort.split import Part
from bench.errors import BenchError, Problem, Severity, did_you_mean, nearest, raise_errors
from bench.metrics.validation import Floats
from bench.submission.read_predictions import RawPredictions, read_predictions_file

GENERIC_ID = "image_id"
STUDY_IDS = ("study_id", "Study", "study")
"""Names of a column of study ids, where the cohort is scored by study."""
INDEX_COLUMNS = ("", "Unnamed: 0", "__index_level_0__", "index")
"""Names that pandas gives to the index of a table that is written with it."""
FEW_DISTINCT = 10
FEWEST_OF_TRUTH = 50
"""Images that it takes to say that predictions are the truth itself."""
TRUTH_SHARE = 0.9
"""Share of predictions equal to the measured values that no model reaches."""
TRUTH_CORRELATION = 0.999
"""Correlation with the measured values, or of the ranks, that no model reaches: two readers of one
echocardiogram differ by more."""
LABEL_SPREAD = 0.1
"""Largest spread of the values of one class, in gaps between the classes, at which values are the labels."""
_UNIT_FACTORS = (1.0, 10.0, 0.1, 100.0, 0.01)
_ENDINGS = re.compile(r"(\.[a-z][a-z0-9]*)+$")
ImageSet = Track | Literal["holdout", "cv5", "val"]
"""Images that a file must cover: those of a track, or those of the val part."""
_TEMPLATES: dict[ImageSet, str] = {
    Track.HOLDOUT: "`bench template --out DIR` lists all test images.",
    "val": "`bench template --images val --out DIR` lists all val images.",
    Track.CV5: "`bench template --images all --out DIR` lists all images, which the track cv5 needs; an "
    'entry of test images alone says `track = "holdout"` in its manifest.',
}


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions of one entry, rows in canonical order.

    Attributes:
        values: Target → (n,) float64, one value for each image of the track.
        notices: Warnings and notices; the errors were raised.
        source_sha256: Hash of the file that was read; empty for a table in memory.
    """

    values: dict[str, Floats]
    notices: tuple[Problem, ...]
    source_sha256: str = ""


def covered_rows(cohort: Cohort, covered: ImageSet) -> npt.NDArray[np.intp]:
    """Rows of the cohort that a file must predict: the test images, all for ``cv5``, or the val images.

    Raises:
        BenchError: The split has no such image (``split-empty``).
    """
    part: Part = "val" if covered == "val" else "test"
    rows = np.arange(len(cohort)) if covered == "cv5" else cohort.rows(part)
    if not len(rows):
        message = f"The split of cohort {cohort.spec.id} ({cohort.spec.split.rule}) has no {part} image."
        raise BenchError(Problem("split-empty", message))
    return rows


def load_predictions(
    path: Path,
    cohort: Cohort,
    *,
    scores: Literal["probability", "uncalibrated"] = "probability",
    covered: ImageSet = Track.HOLDOUT,
) -> Predictions:
    """Read and check a predictions file.

    Args:
        path: CSV (optionally gzip) or Parquet, one row per image.
        cohort: What is predicted.
        scores: ``uncalibrated`` accepts any finite score, otherwise binary targets must lie in [0, 1].
        covered: Which images are expected.

    Raises:
        BenchError: Every fault of the file, with counts and line numbers.
    """
    ids = (*id_columns(cohort), *INDEX_COLUMNS)
    targets = [target.name for target in cohort.spec.targets]
    used = {*ids, *targets, *cohort.spec.prediction_aliases}
    raw, sha256 = read_predictions_file(path, ids, used, len(cohort))
    return replace(check_predictions(raw, path, cohort, scores, covered), source_sha256=sha256)


def id_columns(cohort: Cohort) -> tuple[str, ...]:
    """Names that the column of ids may have: of images, and of studies where these are scored."""
    study = cohort.spec.study
    own = (cohort.spec.columns.image, GENERIC_ID)
    return own if study is None else (*own, *(n for n in (study.column, *STUDY_IDS) if n not in own))


def check_predictions(
    raw: RawPredictions,
    path: Path,
    cohort: Cohort,
    scores: Literal["probability", "uncalibrated"] = "probability",
    covered: ImageSet = Track.HOLDOUT,
) -> Predictions:
    """Check predictions that were read from a file or handed over as a table.

    Args:
        raw: The table.
        path: What messages name as its place.
        cohort: What is predicted.
        scores: ``uncalibrated`` accepts any finite score, otherwise binary targets must lie in [0, 1].
        covered: Which images are expected.

    Raises:
        BenchError: Every fault, with counts and the first rows.
    """
    columns = _choose_columns(raw, cohort, path)
    problems = list(columns.problems)
    rows = covered_rows(cohort, covered)
    lines = _join(raw, columns.image, cohort, covered, path, problems)
    values: dict[str, Floats] = {}
    for target, column in columns.targets.items():
        spec = next(t for t in cohort.spec.targets if t.name == target)
        cells = raw.table.column(column)
        values[target] = _column(cells, spec, lines, raw, scores, f"{path}, column {column}", problems)
    raise_errors(problems)
    for label in cohort.spec.binary_targets:
        if label.name in values:
            problems += judge(label, values[label.name], cohort.targets[label.name][rows], str(path))
    for measure in cohort.spec.continuous_targets:
        if measure.name in values:
            problems += _judge_units(measure, values[measure.name], str(path))
    for any_target in cohort.spec.targets:
        if any_target.name in values:
            problems += _judge_truth(any_target, values[any_target.name], cohort, rows, str(path))
    raise_errors(problems)
    return Predictions(values, tuple(problems))


def _no_ids(names: list[str], cohort: Cohort, path: Path) -> Problem:
    """Build the problem of a file without a column of ids; an id of a file without a header is not quoted."""
    column = cohort.spec.columns.image
    expected = f"where {column!r}, {cohort.spec.headline!r} and other targets are expected"
    known = set(map(_plain_id, (*cohort.images, *cohort.patients)))
    if not known.isdisjoint(map(_plain_id, names)):
        message = f"There is no header: the first line holds an id, {expected}."
        return Problem("predictions-header", message, str(path))
    if any(map(_is_number, names)):  # what stands beside a number may be an id in a form not known here
        message = f"There is no header: the first line holds a number, {expected}."
        return Problem("predictions-header", message, str(path))
    message = f"There is no column {column!r} or {GENERIC_ID!r}; the header is {_quoted(names)}."
    return Problem("predictions-header", message, str(path), _rename([column, GENERIC_ID], names))


def _plain_id(name: str) -> str:
    """An id as it would be compared by eye: without folders, blanks, endings and upper case."""
    last = name.strip().replace("\\", "/").rpartition("/")[2].strip()
    return _ENDINGS.sub("", last[:300].lower())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _quoted(names: list[str]) -> str:
    return ", ".join(repr(name[:60]) for name in names[:8]) + (", …" if len(names) > 8 else "")


def _rename(wanted: list[str], names: list[str]) -> str:
    """Suggest to rename a column that has nearly the name of a missing one."""
    for column in wanted:
        if near := nearest(column, names):
            blank = "; remove the blanks around the names" if near[0] != near[0].strip() else ""
            return f"If {near[0][:60]!r} is meant, rename it to {column!r}{blank}."
    return ""


@dataclass(frozen=True, slots=True)
class _Columns:
    image: str
    targets: dict[str, str]
    problems: tuple[Problem, ...]


def _refuse_nested(nested: Mapping[str, str], cohort: Cohort, path: Path) -> None:
    """Refuse lists or records where ids or predictions are expected; others are not read."""
    spec = cohort.spec
    read = {spec.columns.image, GENERIC_ID, *spec.prediction_aliases, *(t.name for t in spec.targets)}
    if wrong := {name: kind for name, kind in nested.items() if name in read}:
        subject = "1 column holds" if len(wrong) == 1 else f"{len(wrong)} columns hold"
        shown = ", ".join(f"{name!r} ({kind})" for name, kind in list(wrong.items())[:8])
        message = f"{subject} lists or records, where single values are expected: {shown}."
        remedy = "Write the one value of each list: `table[name] = table[name].str[0]` in pandas."
        raise BenchError(Problem("predictions-header", message, str(path), remedy))


def _index_of_ids(raw: RawPredictions, cohort: Cohort) -> str | None:
    """The column that the index of a pandas table became, where it holds ids of the cohort."""
    for name in INDEX_COLUMNS:
        if name in raw.table.column_names:
            known = pc.is_in(raw.table.column(name), value_set=cohort.image_ids)
            if len(known) and (pc.mean(known).as_py() or 0) > 0.5:
                return name
    return None


def _choose_columns(raw: RawPredictions, cohort: Cohort, path: Path) -> _Columns:
    """Find the columns of the ids and the targets; aliases of known formats go before plain names.

    A file in the authors' format also holds the true labels under the plain names: where the headline has an
    alias, plain names are not read.
    """
    spec = cohort.spec
    _refuse_nested(raw.nested, cohort, path)
    names = raw.table.column_names
    image = next((name for name in id_columns(cohort) if name in names), None)
    image = _index_of_ids(raw, cohort) if image is None else image
    if image is None:
        raise BenchError(_no_ids(names, cohort, path))
    aliased = {target: name for name, target in spec.prediction_aliases.items() if name in names}
    plain = {t.name: t.name for t in spec.targets if t.name in names}
    targets = aliased if spec.headline in aliased else plain | aliased
    if spec.headline not in targets:
        wanted = [spec.headline, *(a for a, t in spec.prediction_aliases.items() if t == spec.headline)]
        message = (
            f"The headline target has no column; expected {' or '.join(map(repr, wanted))}; the header is "
            f"{_quoted(names)}."
        )
        remedy = _rename(wanted, [name for name in names if name not in plain])
        raise BenchError(Problem("predictions-header", message, str(path), remedy))
    problems = []
    read = {image, *targets.values()}
    if ignored := [name for name in (*names, *raw.nested) if name not in read]:
        absent = [t.name for t in spec.targets if t.name not in {*names, *targets}]
        meant = next(filter(None, (did_you_mean(name, absent) for name in ignored[:8])), "")
        count = "1 column is" if len(ignored) == 1 else f"{len(ignored)} columns are"
        message = f"{count} not read: {_quoted(ignored)}.{meant}"
        severity: Severity = "warning" if meant else "notice"  # a target misspelt would be left out unseen
        problems.append(Problem("predictions-ignored-columns", message, str(path), severity=severity))
    return _Columns(image, targets, tuple(problems))


def _join(
    raw: RawPredictions,
    column: str,
    cohort: Cohort,
    covered: ImageSet,
    path: Path,
    problems: list[Problem],
) -> npt.NDArray[np.intp]:
    """(n,) the file's row of each image that it must cover, -1 where it has none.

    In a file by study, all images of a study have its row.
    """
    rows = covered_rows(cohort, covered)
    where = f"{path}, column {column}"
    ids = raw.table.column(column)
    by_study = column not in (cohort.spec.columns.image, GENERIC_ID, *INDEX_COLUMNS)
    unit, units, keys, unit_of_row = "image", "images", cohort.image_ids, rows
    if by_study and cohort.studies is not None and cohort.spec.study is not None:
        distinct, codes = np.unique(cohort.studies.astype(str), return_inverse=True)
        unit, units, keys, unit_of_row = "study", "studies", pa.array(distinct), codes[rows]
        texts = id_texts(pd.Series(ids.to_pylist(), dtype=str), cohort.spec.study.pattern)
        ids = pa.chunked_array([pa.array([canonical_id(text or "") for text in texts], pa.string())])
    matched = pc.index_in(ids, value_set=keys).fill_null(-1).to_numpy().astype(np.intp)
    unknown = matched < 0
    if count := int(unknown.sum()):
        place = raw.first(np.flatnonzero(unknown))
        message = f"{count:,} of {len(ids):,} ids are not in cohort {cohort.spec.id}; {place}."
        hint = "" if by_study else _id_hint(ids.filter(pa.array(unknown)), cohort)
        problems.append(Problem("predictions-unknown-id", message, where, hint))
    expected = np.zeros(len(keys), bool)
    expected[unit_of_row] = True
    kept = np.flatnonzero(~unknown & expected[matched])
    if dropped := int(len(ids) - len(kept) - unknown.sum()):
        message = f"{dropped:,} rows of other parts of the split are dropped."
        problems.append(Problem("predictions-dropped", message, where, severity="notice"))
    counts = np.bincount(matched[kept], minlength=len(keys))
    if repeated := int((counts > 1).sum()):
        place = raw.first(kept[counts[matched[kept]] > 1])
        rows_of_them = int(counts[counts > 1].sum())
        several = f"1 {unit} has" if repeated == 1 else f"{repeated:,} {units} have"
        message = f"{several} more than one row ({rows_of_them:,} rows); {place}."
        problems.append(Problem("predictions-duplicate-id", message, where))
    missing = int((counts[expected] == 0).sum())
    if missing and not (len(ids) and unknown.all()):  # ids that are all unknown leave nothing else to say
        message = f"{missing:,} of {int(expected.sum()):,} {units} have no row."
        remedy = f"Predict the missing {units}. {_TEMPLATES[covered]}"
        problems.append(Problem("predictions-missing-id", message, where, remedy))
    line = np.full(len(keys), -1, np.intp)
    line[matched[kept]] = kept
    return line[unit_of_row]


def _id_hint(unknown: pa.ChunkedArray, cohort: Cohort) -> str:
    """Name the change of form, or the two, that would make unknown ids known; "" if there is none."""
    sample = [str(value) for value in unknown.slice(0, 500).to_pylist()]
    forms = _id_forms(cohort)
    known = frozenset(cohort.images)

    def enough(*steps: Callable[[str], str]) -> bool:
        changed = sample
        for step in steps:
            changed = [step(value) for value in changed]
        return sum(value in known for value in changed) > len(sample) / 2

    for advice, form in forms.items():
        if enough(form):
            return advice
    for first, convert in forms.items():
        for second, convert_again in forms.items():
            if first != second and enough(convert, convert_again):
                return f"{first} {second}"
    if all(value.isdecimal() and int(value) <= len(cohort) for value in sample):
        return "These are row numbers: write the image column of the table beside the predictions."
    patients = frozenset(cohort.patients)
    if sum(value in patients for value in sample) > len(sample) / 2:
        return "These are ids of patients: write one row for each image, with the id of the image."
    return ""


def _id_forms(cohort: Cohort) -> dict[str, Callable[[str], str]]:
    """Remedies for ids of another form → conversion of such an id to the cohort's form."""
    images = [str(image) for image in cohort.images]
    endings = sorted({PurePosixPath(image).suffix for image in images[:1000]} - {""})
    cases = {image.casefold(): image for image in images}
    zeros = {image.lstrip("0"): image for image in images if image.startswith("0")}
    forms: dict[str, Callable[[str], str]] = {
        "Remove the folders from the ids.": lambda s: PurePosixPath(s.replace("\\", "/")).name,
        "Remove the blanks around the ids.": str.strip,
        "Remove the invisible characters from the ids.": _without_invisible,
        "Remove the quotes around the ids.": lambda s: s.strip().strip(_QUOTES),
        "Write the ids alone, without the brackets of a list, tuple or path.": lambda s: _BRACKETS.sub(
            "", s
        ).strip(_QUOTES),
        "Write the ids in the cohort's Unicode form.": lambda s: unicodedata.normalize("NFKC", s),
        "Decode the ids: they are written as Python's bytes, b'…'.": lambda s: (
            s[2:-1] if s[:2] in ("b'", 'b"') and s[-1:] in ("'", '"') else s
        ),
        "Remove the decimals `.0` from the ids: they are text, not numbers.": lambda s: s.removesuffix(".0"),
        "Remove the file ending from the ids.": lambda s: PurePosixPath(s).stem,
        **{f"Add the file ending {end} to the ids.": ("{}" + end).format for end in endings},
    }
    for end in endings:
        forms[f"The ids have another file ending; the cohort's end in {end}."] = _with_ending(end)
    forms["Write the ids in the cohort's upper and lower case."] = lambda s: cases.get(s.casefold(), s)
    if zeros:
        advice = "Keep the zeros in front of the ids: read and write them as text, `dtype=str` in pandas."
        forms[advice] = lambda s: zeros.get(s.lstrip("0"), s)
    return forms


_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
_BRACKETS = re.compile(r"^(?:\w*Path)?[\[({]|,?[\])}]$")


def _without_invisible(text: str) -> str:
    return "".join(c for c in text if unicodedata.category(c) not in {"Cf", "Cc"})


def _with_ending(end: str) -> Callable[[str], str]:
    return lambda s: str(PurePosixPath(s).with_suffix(end)) if PurePosixPath(s).name else s


_EMPTY = "Fill in the column; one that is not the headline target may be left out."


def _column(
    cells: pa.ChunkedArray,
    target: Target,
    lines: npt.NDArray[np.intp],
    raw: RawPredictions,
    scores: str,
    where: str,
    problems: list[Problem],
) -> Floats:
    """(n,) values of one target; what is wrong with them goes to `problems`."""
    present = lines >= 0
    taken = cells.take(pa.array(lines[present]))
    values, text = _to_float(taken)
    blank = np.isnan(values) & ~text
    infinite = np.isinf(values)
    checks = [
        (text, "predictions-not-a-number", "are not numbers"),
        (blank, "predictions-nan", "are empty or NaN"),
        (infinite, "predictions-infinite", "are infinite or too large"),
    ]
    if isinstance(target, BinaryTarget) and scores == "probability":
        outside = np.isfinite(values) & ((values < 0) | (values > 1))
        checks.append((outside, "predictions-out-of-range", f"lie outside [0, 1], {span(values[outside])}"))
    for wrong, code, what in checks:
        if count := int(wrong.sum()):
            place = raw.first(np.sort(lines[present][wrong]))
            message = f"{count:,} of {len(values):,} values {what}; {place}."
            remedy = _EMPTY if code == "predictions-nan" and count == len(values) else ""
            if code == "predictions-not-a-number":
                form, remedy = _form(taken.filter(pa.array(wrong)).slice(0, 100))
                message = f"{message[:-1]}, {form}." if form else message
            if code == "predictions-out-of-range" and rounding_alone(values[wrong]):
                remedy = ROUNDING_REMEDY
            problems.append(Problem(code, message, where, remedy))
    filled = np.full(len(lines), np.nan)
    filled[present] = values
    return filled


def span(values: Floats) -> str:
    """The range of some values, with as many digits as it takes to see that 1.0000001 is not 1."""
    low, high = (
        f"{float(limit):.10g}" for limit in (values.min(initial=np.inf), values.max(initial=-np.inf))
    )
    return f"from {low} to {high}" if len(values) else ""


ROUNDING_REMEDY = "They lie outside by rounding alone: clip them, `numpy.clip(values, 0, 1)`."


def rounding_alone(values: Floats) -> bool:
    """Return whether values lie outside [0, 1] by rounding of single precision alone."""
    return bool(((values > -1e-6) & (values < 1 + 1e-6)).all())


_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?")
_WORDS = re.compile(r"[^\W\d_]+")
_KNOWN_WORDS = {"tensor", "torch", "np", "numpy", "float", "double", "array", "list", "device", "cuda", "cpu"}
_KNOWN_WORDS |= {
    "grad",
    "fn",
    "sigmoidbackward",
    "softmaxbackward",
    "dtype",
    "decimal",
    "cm",
    "mm",
    "percent",
}
_CLASSES = {"true", "false", "yes", "no", "positive", "negative", "high", "low", "normal", "abnormal"}
_KNOWN_WORDS |= {*_CLASSES, "tf", "jax", "shape", "none", "b", "e", "d", "j", "div", "value", "ref", "nan"}
_NOT_CLASSES = "Write the probability of the positive class, a number such as 0.125, instead of the class."
_FORM_REMEDIES = (
    ("%", "Divide percentages by 100 and write plain decimal numbers such as 0.125."),
    ("tensor", "Write the number of each tensor: `value.item()`; plain decimal numbers such as 0.125."),
    ("(", "Write the number itself: `float(value)`; plain decimal numbers such as 0.125."),
    ("[", "Write the one element of each list: `values[0]`; plain decimal numbers such as 0.125."),
    ("cm", "Leave out the unit and write plain decimal numbers such as 4.2."),
    ("mm", "Leave out the unit and write plain decimal numbers such as 4.2."),
)


def _form(cells: pa.ChunkedArray) -> tuple[str, str]:
    """The form of values that are not numbers and what to do; empty where they could name a patient.

    Numbers are left out, and a value is only shown where what remains are signs and words of programming.
    """
    kind = cells.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        remedy = (
            _NOT_CLASSES if pa.types.is_boolean(kind) else "Write the predictions as floating-point numbers."
        )
        return f"of type {str(kind)[:60]}", remedy
    for cell in cells.to_pylist():
        text = str(cell).strip()
        form = _NUMBER.sub("…", text)
        words = {word.lower() for word in _WORDS.findall(form)}
        if (form == text and not words) or not words <= _KNOWN_WORDS or len(form) > 80:
            continue
        if form == "…" and "," in text:
            return "with a decimal comma", "Write a decimal point instead of the comma, such as 0.125."
        if not text.isascii() and any(c.isdecimal() and not c.isascii() for c in text):
            return "with digits that are not ASCII", "Write the digits 0 to 9, such as 0.125."
        if form == "… …":
            return f"of the form `{form}`", "Write one number in each cell: that of the positive class."
        if words and words <= _CLASSES:
            return f"of the form `{form}`", _NOT_CLASSES
        remedy = next((advice for sign, advice in _FORM_REMEDIES if sign in form.lower()), "")
        return f"of the form `{form}`", remedy
    return "", ""


def _to_float(cells: pa.ChunkedArray) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Floats as float64 (NaN where empty or not a number), and where they are text that is no number."""
    kind = cells.type
    if pa.types.is_dictionary(kind):  # pandas' categories
        cells = cells.cast(kind.value_type)
        kind = cells.type
    if pa.types.is_decimal(kind):  # of SQL, Spark and DuckDB
        cells = cells.cast(pa.string())
        kind = cells.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return cells.cast(pa.float64(), safe=False).to_numpy(), np.zeros(len(cells), bool)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        return np.full(len(cells), np.nan), np.ones(len(cells), bool)
    stripped = pc.utf8_trim_whitespace(cells.cast(pa.string())).fill_null("")
    words = pd.Series(stripped.to_numpy())
    values = pd.to_numeric(words, errors="coerce").to_numpy(dtype=np.float64)
    empty = words.str.lower().isin({"", "nan", "na", "n/a", "null", "none"}).to_numpy()
    return values, np.isnan(values) & ~empty


def judge(target: BinaryTarget, values: Floats, labels: Floats, where: str) -> list[Problem]:
    """Problems of a column of valid numbers: constant, coarse, inverted, or the labels themselves."""
    from bench.metrics.discrimination import auroc

    labelled = ~np.isnan(labels)
    where = f"{where}, target {target.name}"
    middle = np.partition(values, len(values) // 2)[len(values) // 2]
    alike = int((values == middle).sum())  # a value that most rows share is their median
    y = labels[labelled]
    if len(values) >= FEWEST_OF_TRUTH and 0 < y.sum() < len(y) and _are_labels(values[labelled], y):
        return [Problem("predictions-are-labels", f"All {len(y):,} values equal the labels.", where)]
    if alike == len(values):
        message = f"All {len(values):,} values are {middle:g}."
        return [Problem("predictions-constant", message, where, severity="warning")]
    if len(values) >= 10 and alike > 0.99 * len(values):
        message = f"{alike:,} of {len(values):,} values are {middle:g}."
        return [Problem("predictions-constant", message, where, severity="warning")]
    notices = []
    few = len(np.unique(values[:1000])) < FEW_DISTINCT  # spares sorting all rows in the usual case
    distinct = len(np.unique(values)) if few else FEW_DISTINCT
    if distinct < FEW_DISTINCT <= len(values) / 5:
        message = f"Only {distinct} distinct values in {len(values):,} rows."
        notices.append(Problem("predictions-few-distinct", message, where, severity="warning"))
    area = auroc(y, values[labelled])
    if area is not None and area < 0.5 - chance_margin(y):
        # Only `bench score`, which counts attempts, shows the value itself.
        message = "The AUROC is below 0.5 by more than chance."
        notices.append(Problem("predictions-inverted", message, where, severity="warning"))
    return notices


def chance_margin(labels: Floats) -> float:
    """Half the width of the 95% interval around 0.5 of the AUROC of scores without information.

    The standard error of the Mann-Whitney statistic without ties (Mann and Whitney 1947), every image counted
    as independent.

    Args:
        labels: (n,) 0 or 1, both present.
    """
    positives = float(labels.sum())
    negatives = len(labels) - positives
    return 1.96 * float(((len(labels) + 1) / (12 * positives * negatives)) ** 0.5)


def _are_labels(values: Floats, labels: Floats) -> bool:
    """Return whether values are the labels, or two numbers in their place, with a little noise or without.

    The values of each class then lie together, in a span of at most `LABEL_SPREAD` of the gap between the
    classes; 1 − label is found too.
    """
    positive, negative = values[labels == 1], values[labels == 0]
    gap = max(positive.min() - negative.max(), negative.min() - positive.max())
    return bool(gap > 0 and max(np.ptp(positive), np.ptp(negative)) <= LABEL_SPREAD * gap)


def _judge_truth(
    target: Target, values: Floats, cohort: Cohort, rows: npt.NDArray[np.intp], where: str
) -> list[Problem]:
    """Refuse true values of any target that are submitted as predictions of this one.

    The labels of a binary target itself are left to `judge`.

    Args:
        target: The target that is predicted.
        values: (n,) its predictions.
        cohort: The cohort.
        rows: (n,) rows of the cohort that are predicted.
        where: Named in the problem.
    """
    inputs = set(cohort.spec.columns.inputs.values())
    for other in sorted(cohort.spec.targets, key=lambda t: t.name != target.name):
        own = other.name == target.name
        column = other.source if isinstance(other.source, str) else other.source.column
        if own and isinstance(target, BinaryTarget):
            continue
        if not own and column in inputs:
            continue  # what a model may see
        truth = cohort.targets[other.name][rows]
        known = np.isfinite(truth)
        y, v = truth[known], values[known]
        if len(y) < FEWEST_OF_TRUTH or np.ptp(v) == 0 or np.ptp(y) == 0:
            continue
        evidence = _labels_found(v, y) if isinstance(other, BinaryTarget) else _measurements_found(v, y)
        if evidence:
            of_other = "" if own else f" of {other.name}"
            message = f"{evidence}{of_other}."
            return [Problem("predictions-are-labels", message, f"{where}, target {target.name}")]
    return []


def _labels_found(values: Floats, labels: Floats) -> str:
    return f"All {len(labels):,} values equal the labels" if _are_labels(values, labels) else ""


def _measurements_found(values: Floats, measured: Floats) -> str:
    """Say how many values equal measured ones, in any unit and however rounded, or follow closely."""
    correlation = abs(float(np.corrcoef(measured, values)[0, 1]))
    if correlation >= 0.9:
        equal = max(_equal_in_unit(values, measured * factor) for factor in _UNIT_FACTORS)
        if equal >= TRUTH_SHARE * len(measured):
            return f"{equal:,} of {len(measured):,} values equal the measured ones"
    ranks = abs(float(np.corrcoef(pd.Series(measured).rank(), pd.Series(values).rank())[0, 1]))
    if max(correlation, ranks) < TRUTH_CORRELATION:
        return ""
    return (
        f"{len(measured):,} values have a correlation of {max(correlation, ranks):.4f} with the measured ones"
    )


def _equal_in_unit(values: Floats, measured: Floats) -> int:
    """Count values equal to measured ones, which may be rounded to 0 to 4 digits."""
    equal = 0
    for truth in (measured, *(np.round(measured, digits) for digits in range(5))):
        if len(np.unique(truth[:1000])) >= FEW_DISTINCT:  # few values are hit by chance
            equal = max(equal, int(np.isclose(values, truth, rtol=1e-6, atol=1e-9).sum()))
    return equal


def _judge_units(target: ContinuousTarget, values: Floats, where: str) -> list[Problem]:
    low, high = target.plausible
    outside = int(((values < low) | (values > high)).sum())
    if outside <= len(values) / 2:
        return []
    message = (
        f"{outside:,} of {len(values):,} values lie outside {low:g} to {high:g} {target.unit}, "
        f"median {np.median(values):g}."
    )
    where = f"{where}, target {target.name}"
    return [Problem("predictions-unit", message, where, severity="warning")]
