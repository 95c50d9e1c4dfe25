"""Checks of a predictions file against a cohort: joined by id, every fault in one pass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.image_ids import id_hint
from bench.cohort.load import id_texts
from bench.cohort.patient_ids import canonical_id
from bench.cohort.split import Part
from bench.errors import BenchError, Problem, Severity, did_you_mean, nearest, raise_errors
from bench.metrics.validation import Floats
from bench.submission.check_values import column_values, judge_values
from bench.submission.read_predictions import RawPredictions, read_predictions_file

GENERIC_ID = "image_id"
STUDY_IDS = ("study_id", "Study", "study")
"""Names of a column of study ids, where the cohort is scored by study."""
INDEX_COLUMNS = ("", "Unnamed: 0", "__index_level_0__", "index")
"""Names that pandas gives to the index of a table that is written with it."""
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
        values[target] = column_values(cells, spec, lines, raw, scores, f"{path}, column {column}", problems)
    raise_errors(problems)
    problems += judge_values(values, cohort, rows, str(path))
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
        some = ids.filter(pa.array(unknown)).slice(0, 500).to_pylist()
        hint = "" if by_study else id_hint(some, cohort.images, cohort.patients)
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
