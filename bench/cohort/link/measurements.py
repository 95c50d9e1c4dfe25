"""Measurements of MIMIC-IV-ECHO: streamed, selected, converted to centimetres, one value for each day.

The table is long: one row for each measurement of each study, its result and unit as text. Names and units
drift between the two measurement systems of the years, and walls are in millimetres or centimetres.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench.cohort.link.releases import Progress, read_batches
from bench.errors import BenchError, Problem, did_you_mean

COLUMNS: Final = (
    "subject_id",
    "measurement_id",
    "measurement_datetime",
    "test_type",
    "measurement",
    "result",
    "unit",
)
WORDS: Final = ("test_type", "measurement", "unit")
TRANSTHORACIC: Final = "tte"
DATE_FORM: Final = r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?"


@dataclass(frozen=True, slots=True)
class Length:
    """A length measured in an echocardiogram.

    Attributes:
        label: What it is, for the report.
        names: Names of the measurement over the years, in lower case.
        highest_cm: A larger number without a unit, or in cm, is in mm: no heart is that large in cm.
        plausible: Limits in cm (inclusive); values outside are left out.
    """

    label: str
    names: tuple[str, ...]
    highest_cm: float
    plausible: tuple[float, float]


LENGTHS: Final = {
    "ivsd": Length("interventricular septum", ("septal_thickness",), 3.0, (0.3, 3.0)),
    "lvpwd": Length("inferolateral wall", ("inf_lat_thickness",), 3.0, (0.3, 3.0)),
    "lvidd": Length(
        "left ventricular diameter",
        ("lvedd", "left_ventricular_end_diastolic_diameter"),
        10.0,
        (1.5, 10.0),
    ),
}
CM_PER_UNIT: Final = {
    "": 1.0,
    "cm": 1.0,
    "centimeter": 1.0,
    "centimeters": 1.0,
    "mm": 0.1,
    "millimeter": 0.1,
    "millimeters": 0.1,
}
AGREE_CM: Final = 0.2
"""Two values of one day that differ by more disagree: neither is used."""
MOST_LEFT_OUT: Final = 0.01
"""Share of rows with an unreadable date or unit above which the table is not what it is taken for."""
FEW: Final = 20
"""Number of such rows that is never too many."""

# Kinds of correction, in the order of the report.
UNREADABLE_DATE = "date that cannot be read, left out"
NO_NUMBER = "result that is not one number, left out"
UNKNOWN_UNIT = "unknown unit, left out"
MM = "in mm, converted"
MM_WITHOUT_UNIT = "in mm without a unit, converted"
MM_AS_CM = "in mm with unit cm, converted"
CM_AS_MM = "in cm with unit mm, kept"
IMPLAUSIBLE = "outside the plausible range, left out"
REPEATED = "second value of a day that agrees, averaged"
DISAGREE = "values of a day that disagree, left out"
CORRECTIONS: Final = (
    UNREADABLE_DATE,
    NO_NUMBER,
    UNKNOWN_UNIT,
    MM,
    MM_WITHOUT_UNIT,
    MM_AS_CM,
    CM_AS_MM,
    IMPLAUSIBLE,
    REPEATED,
    DISAGREE,
)


@dataclass(frozen=True, slots=True)
class Measurements:
    """Measured lengths of all patients.

    Attributes:
        days: One row for each patient and day with a usable length: ``subject_id``, ``time`` (of the day's
            first measurement) and a column in cm for each of `LENGTHS`, NaN where it was not measured.
        subjects: Patients with a transthoracic study.
        rows: Rows of the table.
        by_test: Type of study → rows.
        selected: Length → rows of transthoracic studies.
        corrections: Length → kind of correction → rows.
    """

    days: pd.DataFrame
    subjects: npt.NDArray[np.int64]
    rows: int
    by_test: dict[str, int]
    selected: dict[str, int]
    corrections: dict[str, dict[str, int]]


def read_measurements(path: Path, problems: list[Problem], progress: Progress | None = None) -> Measurements:
    """Stream the table of measurements and keep the lengths of transthoracic studies.

    Args:
        path: The table of MIMIC-IV-ECHO.
        problems: Warnings are appended, and errors about dates, units and names.
        progress: Called with (bytes read, bytes of the file).

    Raises:
        BenchError: The file is cut short or damaged (``link-damaged``), or has none of the measurements
            (``link-measurements``).
    """
    of_name = {name: key for key, length in LENGTHS.items() for name in length.names}
    wanted = pa.array(list(of_name))
    by_test, names = Counter[str](), set[str]()
    kept, subjects, rows = [], [], 0
    for batch in read_batches(path, COLUMNS, words=WORDS, progress=progress):
        rows += len(batch)
        tests, measured = (_lower(batch.column(name)) for name in ("test_type", "measurement"))
        for pair in pc.value_counts(tests).to_pylist():
            by_test[pair["values"]] += pair["counts"]
        names |= set(pc.unique(measured).to_pylist())
        transthoracic = pc.equal(tests, TRANSTHORACIC)
        subjects.append(pc.unique(batch.column("subject_id").filter(transthoracic)))
        chosen = pc.and_(transthoracic, pc.is_in(measured, value_set=wanted))
        units = _lower(batch.column("unit"))
        columns = {name: batch.column(name) for name in ("subject_id", "measurement_datetime", "result")}
        table = pa.table({**columns, "measurement": measured, "unit": units}).filter(chosen)
        kept.append(table)
    if not by_test[TRANSTHORACIC]:
        message = f"None of {rows:,} rows is of a transthoracic study (test_type {TRANSTHORACIC!r})."
        raise BenchError(Problem("link-measurements", message, str(path)))
    for length in LENGTHS.values():
        if not names.intersection(length.names):
            hint = did_you_mean(length.names[0], names).strip()
            message = f"No measurement of the {length.label} ({' or '.join(length.names)}). {hint}".strip()
            problems.append(Problem("link-measurements", message, str(path)))
    frame = pa.concat_tables(kept).to_pandas()
    frame["length"] = frame.pop("measurement").map(of_name)
    selected = frame["length"].value_counts()
    corrections: dict[str, Counter[str]] = {key: Counter() for key in LENGTHS}
    days = _by_day(_in_centimetres(frame, corrections, path, problems), corrections)
    distinct = pc.unique(pa.chunked_array(subjects, pa.string()))
    return Measurements(
        days=days,
        subjects=subject_numbers(pd.Series(distinct.to_pandas()), path),
        rows=rows,
        by_test=dict(by_test),
        selected={key: int(selected.get(key, 0)) for key in LENGTHS},
        corrections={
            key: {kind: counts[kind] for kind in CORRECTIONS} for key, counts in corrections.items()
        },
    )


def severity(count: int, rows: int) -> Literal["error", "warning"]:
    """Return whether so many unreadable rows are an error, see `MOST_LEFT_OUT`."""
    return "error" if count > max(FEW, MOST_LEFT_OUT * rows) else "warning"


def _lower(column: pa.Array) -> pa.Array:
    """Return the words of a dictionary column in lower case, without blanks at the ends."""
    words = pc.utf8_lower(pc.utf8_trim_whitespace(column.dictionary))
    return words.take(column.indices)


def subject_numbers(column: pd.Series[str], path: Path) -> npt.NDArray[np.int64]:
    """Convert MIMIC's patient ids to whole numbers.

    Raises:
        BenchError: Cells that are no whole number (``link-damaged``).
    """
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    if wrong := int((~np.isfinite(numbers) | (numbers % 1 != 0)).sum()):
        message = (
            f"{wrong:,} of {len(numbers):,} values of {column.name or 'subject_id'} are not whole numbers."
        )
        raise BenchError(Problem("link-damaged", message, str(path)))
    return numbers.astype(np.int64)


def _in_centimetres(
    frame: pd.DataFrame, corrections: dict[str, Counter[str]], path: Path, problems: list[Problem]
) -> pd.DataFrame:
    """Return subject, time, length and value in cm of the usable rows; count the others."""
    lengths = frame["length"].to_numpy(dtype=object)

    def note(kind: str, mask: npt.NDArray[np.bool_]) -> None:
        for key, count in Counter(lengths[mask]).items():
            corrections[key][kind] += count

    form = frame["measurement_datetime"].str.strip().str.fullmatch(DATE_FORM).to_numpy(bool)
    time = pd.to_datetime(
        frame["measurement_datetime"].str.strip().where(form), errors="coerce", format="ISO8601"
    )
    dated = time.notna().to_numpy()
    note(UNREADABLE_DATE, ~dated)
    _warn(UNREADABLE_DATE, "link-dates", ~dated, path, "measurement_datetime", problems)
    parts = frame["result"].str.strip().str.lower().str.extract(r"^(\d+\.?\d*|\.\d+)\s*([a-z]*)\.?$")
    number = pd.to_numeric(parts[0], errors="coerce").to_numpy(np.float64)
    numeric = dated & np.isfinite(number)
    note(NO_NUMBER, dated & ~numeric)
    unit = (
        frame["unit"].str.rstrip(".").where(frame["unit"] != "", parts[1].fillna("")).to_numpy(dtype=object)
    )
    factor = np.array([CM_PER_UNIT.get(word, np.nan) for word in unit])
    known = numeric & ~np.isnan(factor)
    note(UNKNOWN_UNIT, numeric & ~known)
    _warn_units(numeric & ~known, unit, path, problems)

    highest = np.array([LENGTHS[key].highest_cm for key in lengths])
    low, high = (np.array([LENGTHS[key].plausible[k] for key in lengths]) for k in (0, 1))
    stated_mm = factor == CM_PER_UNIT["mm"]
    with np.errstate(invalid="ignore"):
        too_large = known & ~stated_mm & (number > highest)
        too_small = known & stated_mm & (number * 0.1 < low) & (number >= low)
    cm = np.round(number * np.where(too_large, 0.1, np.where(too_small, 1.0, factor)), 6)
    plausible = known & (cm >= low) & (cm <= high)
    note(IMPLAUSIBLE, known & ~plausible)
    note(MM, plausible & stated_mm & ~too_small)
    note(MM_WITHOUT_UNIT, plausible & too_large & (unit == ""))
    note(MM_AS_CM, plausible & too_large & (unit != ""))
    note(CM_AS_MM, plausible & too_small)
    usable = frame[plausible]
    return pd.DataFrame(
        {
            "subject_id": subject_numbers(usable["subject_id"], path),
            "time": time[plausible].to_numpy(),
            "length": lengths[plausible],
            "cm": cm[plausible],
        }
    )


def _warn(
    what: str, code: str, mask: npt.NDArray[np.bool_], path: Path, column: str, problems: list[Problem]
) -> None:
    """Warn of rows that are left out; an error where they are more than `MOST_LEFT_OUT`."""
    if count := int(mask.sum()):
        message = f"{count:,} of {len(mask):,} rows of wall and diameter: {what}."
        where = f"{path}, column {column}"
        problems.append(Problem(code, message, where, severity=severity(count, len(mask))))


def _warn_units(
    mask: npt.NDArray[np.bool_], unit: npt.NDArray[np.object_], path: Path, problems: list[Problem]
) -> None:
    frequent = Counter(str(word)[:20] for word in unit[mask]).most_common(3)
    named = ", ".join(f"{word!r} ({count:,})" for word, count in frequent)
    _warn(f"{UNKNOWN_UNIT} ({named})", "link-units", mask, path, "unit", problems)


def _by_day(rows: pd.DataFrame, corrections: dict[str, Counter[str]]) -> pd.DataFrame:
    """Return one row for each patient and day, with the mean of values that agree."""
    rows = rows.assign(day=rows["time"].dt.floor("D"))
    groups = rows.groupby(["subject_id", "day", "length"], sort=False)["cm"]
    values = groups.agg(["min", "max", "mean", "size"]).reset_index()
    agree = values["max"] - values["min"] <= AGREE_CM + 1e-9
    for key, counts in corrections.items():
        of_length = values["length"] == key
        counts[REPEATED] = int((values["size"] - 1)[of_length & agree].sum())
        counts[DISAGREE] = int(values["size"][of_length & ~agree].sum())
    wide = values[agree].set_index(["subject_id", "day", "length"])["mean"].unstack()  # noqa: PD010
    wide = wide.reindex(columns=list(LENGTHS)).round(6)
    first = rows.groupby(["subject_id", "day"])["time"].min()
    joined = wide.join(first.rename("time")).reset_index().drop(columns="day")
    return joined.rename_axis(columns=None).sort_values(["subject_id", "time"], ignore_index=True)
