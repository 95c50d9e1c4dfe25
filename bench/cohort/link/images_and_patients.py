"""Images of MIMIC-CXR-JPG and patients of MIMIC-IV, and the tables that a link reads of each release."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from bench.cohort.link.measurements import COLUMNS, severity, subject_numbers
from bench.cohort.link.releases import Release, TableFile, read_columns
from bench.errors import Problem, raise_errors

FRONTAL: Final = ("AP", "PA")

CXR: Final = Release(
    "MIMIC-CXR-JPG 2.x",
    "--cxr",
    {
        "metadata": TableFile(
            ("mimic-cxr-2.0.0-metadata.csv",),
            ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate", "StudyTime"),
        ),
        "split": TableFile(("mimic-cxr-2.0.0-split.csv",), ("dicom_id", "split")),
    },
    {
        "cxr-record-list.csv.gz": "MIMIC-CXR in DICOM form",
        "mimic-cxr-map.csv.gz": "MIMIC-CXR 1",
        "structured-measurement.csv.gz": "MIMIC-IV-ECHO",
        "hosp": "MIMIC-IV",
    },
)
ECHO: Final = Release(
    "MIMIC-IV-ECHO 1.x",
    "--echo",
    {"measurements": TableFile(("structured-measurement.csv", "structured_measurement.csv"), COLUMNS)},
    {
        "echo-record-list.csv": "MIMIC-IV-ECHO 0.1, which has images and no measurements",
        "echo-study-list.csv": "MIMIC-IV-ECHO 0.1, which has images and no measurements",
        "mimic-cxr-2.0.0-metadata.csv.gz": "MIMIC-CXR-JPG",
        "hosp": "MIMIC-IV",
    },
)
IV: Final = Release(
    "MIMIC-IV 2.0 or later",
    "--iv",
    {
        "patients": TableFile(("hosp/patients.csv",), ("subject_id", "gender", "anchor_age", "anchor_year")),
        "admissions": TableFile(("hosp/admissions.csv",), ("subject_id", "admittime", "race")),
    },
    {
        "core/patients.csv.gz": "MIMIC-IV 1 or 0.4",
        "PATIENTS.csv.gz": "MIMIC-III",
        "structured-measurement.csv.gz": "MIMIC-IV-ECHO",
        "mimic-cxr-2.0.0-metadata.csv.gz": "MIMIC-CXR-JPG",
    },
)

RACES: Final = {
    "WHITE": "White",
    "BLACK": "Black",
    "HISPANIC": "Hispanic or Latino",
    "ASIAN": "Asian",
    "UNKNOWN": "",
    "UNABLE": "",
    "PATIENT DECLINED": "",
}
"""Beginning of a race in MIMIC-IV → group of the table; others are ``Other``, blank is unknown."""
OTHER_RACE: Final = "Other"


def read_images(metadata: Path, split: Path, problems: list[Problem]) -> pd.DataFrame:
    """Read the images with their official part; unreadable dates are NaT and reported."""
    frame = read_columns(metadata, CXR.tables["metadata"].columns)
    parts = read_columns(split, CXR.tables["split"].columns)
    for table, path in ((frame, metadata), (parts, split)):
        if repeated := int(table["dicom_id"].duplicated().sum()):
            message = f"{repeated:,} of {len(table):,} rows repeat a dicom_id."
            problems.append(Problem("link-damaged", message, str(path)))
    if absent := int((~frame["dicom_id"].isin(parts["dicom_id"])).sum()):
        message = f"{absent:,} of {len(frame):,} images of the metadata are not in the list of the split."
        problems.append(Problem("link-damaged", message, str(split)))
    raise_errors(problems)
    part = parts.set_index("dicom_id")["split"]
    path_of_patient = "p" + frame["subject_id"].str[:2] + "/p" + frame["subject_id"]
    frame = frame.assign(
        split=frame["dicom_id"].map(part).str.strip(),
        path=path_of_patient + "/s" + frame["study_id"] + "/" + frame["dicom_id"] + ".jpg",
        subject_id=subject_numbers(frame["subject_id"], metadata),
        view=frame["ViewPosition"].str.strip().str.upper(),
        time=_study_time(frame["StudyDate"], frame["StudyTime"]),
    )
    frontal = frame["view"].isin(FRONTAL)
    if wrong := int((frontal & frame["time"].isna()).sum()):
        message = f"{wrong:,} of {int(frontal.sum()):,} frontal images have an unreadable date or time."
        where = f"{metadata}, columns StudyDate and StudyTime"
        problems.append(Problem("link-dates", message, where, severity=severity(wrong, int(frontal.sum()))))
    return frame[["dicom_id", "path", "subject_id", "study_id", "view", "split", "time"]]


def _study_time(date: pd.Series[str], time: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    """Parse ``yyyymmdd`` and ``hhmmss.fff``, whose zeros at the front may be missing."""
    day = date.str.strip().str.removesuffix(".0")
    clock = time.str.strip().str.partition(".")[0].str.zfill(6)
    readable = day.str.fullmatch(r"\d{8}") & clock.str.fullmatch(r"\d{6}")
    return pd.to_datetime((day + clock).where(readable), format="%Y%m%d%H%M%S", errors="coerce")


def read_patients(patients: Path, admissions: Path, problems: list[Problem]) -> pd.DataFrame:
    """Read sex, anchor of the age and race of each patient, indexed by subject_id."""
    frame = read_columns(patients, IV.tables["patients"].columns)
    subjects = subject_numbers(frame["subject_id"], patients)
    sex = frame["gender"].str.strip().str.upper()
    people = pd.DataFrame(
        {
            "sex": sex.where(sex.isin(["M", "F"])),
            "anchor_age": pd.to_numeric(frame["anchor_age"], errors="coerce"),
            "anchor_year": pd.to_numeric(frame["anchor_year"], errors="coerce"),
        }
    ).set_index(pd.Index(subjects, name="subject_id"))
    if repeated := int(people.index.duplicated().sum()):
        message = f"{repeated:,} of {len(people):,} rows repeat a patient."
        problems.append(Problem("link-damaged", message, str(patients)))
        people = people[~people.index.duplicated()]
    return people.join(_race(admissions))


def _race(admissions: Path) -> pd.Series[str]:
    """Return the group of race of each patient: the most frequent known one, of ties the latest."""
    frame = read_columns(admissions, IV.tables["admissions"].columns)
    words = frame["race"].str.strip().str.upper()
    groups = {word: _race_group(word) for word in words.unique()}
    frame = frame.assign(race=words.map(groups), subject_id=subject_numbers(frame["subject_id"], admissions))
    known = frame[frame["race"] != ""]
    counts = known.groupby(["subject_id", "race"])["admittime"].agg(["size", "max"]).reset_index()
    counts = counts.sort_values(["subject_id", "size", "max", "race"])
    return counts.drop_duplicates("subject_id", keep="last").set_index("subject_id")["race"]


def _race_group(word: str) -> str:
    if not word:
        return ""
    return next((group for start, group in RACES.items() if word.startswith(start)), OTHER_RACE)
