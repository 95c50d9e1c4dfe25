"""Synthetic patients in the files of MIMIC-CXR-JPG, MIMIC-IV-ECHO and MIMIC-IV, with every trap planted.

```
cxr/mimic-cxr-2.0.0-metadata.csv.gz, mimic-cxr-2.0.0-split.csv.gz, files/p10/p1…/s5…/<dicom_id>.jpg
echo/structured-measurement.csv.gz
iv/hosp/patients.csv.gz, admissions.csv.gz
```

The traps are those of the real files: walls in mm or cm depending on the era, with or without a unit; results
that are no number; measurements that are missing; several studies near one X-ray; other kinds of study;
lateral views; withheld patients; dates that cannot be read. Each kind is counted, so that a reader can be
checked.
"""

from __future__ import annotations

import gzip
import io
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from bench.cohort.synthetic.patients import Patients, invent_patients
from bench.cohort.synthetic.streams import Streams
from bench.cohort.synthetic.table import table_of
from bench.cohort.synthetic.write import DEFAULT_SEED, MARKER, check_folder, draw_all, subjects_of
from bench.files import write_atomic
from bench.metrics.validation import Floats
from bench.progress import Progress

FIRST_SUBJECT: Final = 10_000_032
FIRST_STUDY: Final = 50_000_014
SEPTUM, WALL, DIAMETER = "septal_thickness", "inf_lat_thickness", "lvedd"
OTHER_DIAMETER: Final = "left_ventricular_end_diastolic_diameter"
RACES: Final = (
    ("WHITE", 0.45),
    ("WHITE - RUSSIAN", 0.05),
    ("BLACK/AFRICAN AMERICAN", 0.17),
    ("HISPANIC/LATINO - PUERTO RICAN", 0.10),
    ("ASIAN - CHINESE", 0.08),
    ("PORTUGUESE", 0.05),
    ("UNKNOWN", 0.06),
    ("UNABLE TO OBTAIN", 0.04),
)
TRAPS: Final = (
    ("mm", 0.22),
    ("mm without unit", 0.10),
    ("mm as cm", 0.05),
    ("cm as mm", 0.03),
    ("unit in the result", 0.04),
    ("no number", 0.02),
    ("unknown unit", 0.005),
    ("implausible", 0.02),
    ("repeated", 0.04),
    ("disagree", 0.03),
    ("not measured", 0.06),
    ("unreadable date", 0.005),
)
"""What happens to a measurement, and its share; the others are written in cm."""
MARKER_TEXT: Final = (
    "These files are synthetic, in the layout of MIMIC. No patient in them is real.\n\n"
    "seed {seed}\npatients {patients}\n"
)


@dataclass(frozen=True, slots=True)
class SyntheticMimic:
    """Result of `write_mimic`.

    Attributes:
        cxr: Folder in the layout of MIMIC-CXR-JPG.
        echo: Folder in the layout of MIMIC-IV-ECHO.
        iv: Folder in the layout of MIMIC-IV.
        planted: Length (ivsd, lvpwd, lvidd) → trap → measurements.
        images: ``dicom_id``, ``subject_id``, ``study_id``, ``view``, ``time`` (NaT if unreadable), ``sex``
            and ``age`` (None without a row of MIMIC-IV) of every image.
        days: ``subject_id``, ``time`` and the true lengths in cm of each day with an echocardiogram, NaN
            where they cannot be read from the files.
        studies: Patients with a transthoracic study.
    """

    cxr: Path
    echo: Path
    iv: Path
    planted: dict[str, dict[str, int]]
    images: pd.DataFrame
    days: pd.DataFrame
    studies: frozenset[int]


def write_mimic(
    folder: Path,
    *,
    patients: int = 600,
    seed: int = DEFAULT_SEED,
    images: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> SyntheticMimic:
    """Write three synthetic releases to `folder`; equal seeds give equal files.

    Args:
        folder: New, empty, or written by this function before.
        patients: Number of patients.
        seed: Seed of every random number.
        images: Whether to draw the frontal images.
        jobs: Number of processes that draw.
        progress: Called with (images drawn, total).

    Raises:
        BenchError: `folder` holds other files (``demo-folder``).
    """
    check_folder(folder)
    cohort = invent_patients(patients, seed)
    streams = Streams(seed)
    subjects = FIRST_SUBJECT + 37 * np.arange(patients)
    begin = _first_times(streams, patients)
    frame = _images(streams, cohort, subjects, begin)
    people = _people(streams, cohort, subjects, begin)
    echo, days, planted, studies = _echocardiograms(streams, cohort, subjects, begin)
    marker = mimic_marker(patients, seed)
    for name in ("cxr", "echo", "iv"):
        write_atomic(folder / name / MARKER, marker)
    write_atomic(folder / MARKER, marker)
    metadata = frame[["dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate", "StudyTime"]]
    parts = frame[["dicom_id", "study_id", "subject_id", "split"]]
    _write_gz(folder / "cxr" / "mimic-cxr-2.0.0-metadata.csv.gz", metadata.assign(Rows=2544, Columns=3056))
    _write_gz(folder / "cxr" / "mimic-cxr-2.0.0-split.csv.gz", parts)
    _write_gz(folder / "echo" / "structured-measurement.csv.gz", echo)
    known = people["in_iv"]
    _write_gz(folder / "iv" / "hosp" / "patients.csv.gz", people[known].drop(columns=["in_iv", "race"]))
    _write_gz(folder / "iv" / "hosp" / "admissions.csv.gz", _admissions(people[known], begin))
    if images:
        _draw(folder / "cxr" / "files", cohort, frame, seed, jobs, progress)
    sex = people.set_index("subject_id").loc[frame["subject_id"]]
    present = sex["in_iv"].to_numpy()
    truth = frame[["dicom_id", "subject_id", "study_id", "view", "time"]].assign(
        sex=sex["gender"].where(sex["in_iv"]).to_numpy(),
        age=np.where(
            present, sex["anchor_age"] + frame["time"].dt.year.to_numpy() - sex["anchor_year"], np.nan
        ),
    )
    return SyntheticMimic(
        folder / "cxr", folder / "echo", folder / "iv", planted, truth, days, frozenset(studies)
    )


def mimic_marker(patients: int, seed: int) -> bytes:
    """Return the content of ``SYNTHETIC.txt`` of files in MIMIC's layout."""
    return MARKER_TEXT.format(patients=patients, seed=seed).encode()


def _write_gz(path: Path, frame: pd.DataFrame) -> None:
    sink = io.BytesIO()
    with gzip.GzipFile(fileobj=sink, mode="wb", mtime=0) as file:
        file.write(frame.to_csv(index=False, lineterminator="\n").encode())
    write_atomic(path, sink.getvalue())


def _first_times(streams: Streams, patients: int) -> pd.Series[pd.Timestamp]:
    """Return the shifted time of each patient's first image, in the years 2110 to 2190."""
    days = np.floor(streams.uniform("mimic-shift", patients) * 80 * 365.25)
    return pd.Series(pd.Timestamp("2110-01-01") + pd.to_timedelta(days, unit="D"))


def _images(
    streams: Streams, cohort: Patients, subjects: np.ndarray, begin: pd.Series[pd.Timestamp]
) -> pd.DataFrame:
    """Return one row for each image: the frontal ones, and a lateral of every third study."""
    n = len(cohort)
    clock = np.floor(streams.uniform("mimic-clock", n) * 86_400)
    time = begin.to_numpy()[cohort.patient] + pd.to_timedelta(
        np.floor(cohort.days) * 86_400 + clock, unit="s"
    )
    view = np.where(streams.uniform("mimic-view", n) < 0.6, "AP", "PA")
    frontal = pd.DataFrame(
        {
            "row": np.arange(n),
            "subject_id": subjects[cohort.patient],
            "study_id": FIRST_STUDY + 3 * np.arange(n),
            "view": view,
            "time": time,
        }
    )
    lateral = frontal[::3].assign(view=np.resize(["LATERAL", "LL", ""], len(frontal[::3])), row=-1)
    frame = pd.concat([frontal, lateral], ignore_index=True)
    part = np.where(
        frame["subject_id"] % 10 == 2, "test", np.where(frame["subject_id"] % 10 == 5, "validate", "train")
    )
    names = streams.hexadecimal("mimic-dicom", len(frame), 32)
    unreadable = (frame["row"] >= 0) & (frame["row"] % 397 == 11)
    shown = frame["time"].dt.strftime("%H%M%S").str.lstrip("0").where(lambda t: t != "", "0")
    return frame.assign(
        dicom_id=["-".join(name[k : k + 8] for k in range(0, 32, 8)) for name in names],
        ViewPosition=frame["view"],
        StudyDate=frame["time"].dt.strftime("%Y%m%d").where(~unreadable, "2180-xx-xx"),
        StudyTime=shown + ".125",
        split=part,
        time=frame["time"].where(~unreadable),
    )


def _people(
    streams: Streams, cohort: Patients, subjects: np.ndarray, begin: pd.Series[pd.Timestamp]
) -> pd.DataFrame:
    """Return a row of MIMIC-IV for each patient; every fiftieth is not in it."""
    first = np.flatnonzero(cohort.first)
    cumulative = np.cumsum([share for _, share in RACES])
    race = np.array([name for name, _ in RACES], dtype=object)
    anchor = np.floor(cohort.age[first]).astype(int)
    return pd.DataFrame(
        {
            "subject_id": subjects,
            "gender": np.where(cohort.female[first], "F", "M"),
            "anchor_age": np.where(anchor > 89, 91, anchor),
            "anchor_year": begin.dt.year,
            "anchor_year_group": "2014 - 2016",
            "dod": "",
            "race": race[
                np.minimum(
                    np.searchsorted(cumulative, streams.uniform("mimic-race", len(subjects))), len(race) - 1
                )
            ],
            "in_iv": np.arange(len(subjects)) % 50 != 7,
        }
    )


def _admissions(people: pd.DataFrame, begin: pd.Series[pd.Timestamp]) -> pd.DataFrame:
    """Return three admissions of each patient, one of which may say that the race is unknown."""
    table = people.loc[people.index.repeat(3)]
    number = np.tile(np.arange(3), len(people))
    unknown = (number == 2) & (table["subject_id"].to_numpy() % 4 == 0)
    time = begin.loc[table.index] + pd.to_timedelta(100 * number, unit="D").to_numpy()
    return pd.DataFrame(
        {
            "subject_id": table["subject_id"].to_numpy(),
            "hadm_id": 20_000_000 + np.arange(len(table)),
            "admittime": time.dt.strftime("%Y-%m-%d %H:%M:%S").to_numpy(),
            "race": np.where(unknown, "UNKNOWN", table["race"].to_numpy()),
        }
    )


def _echocardiograms(
    streams: Streams, cohort: Patients, subjects: np.ndarray, begin: pd.Series[pd.Timestamp]
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, dict[str, int]], set[int]]:
    """Write the measurements of every echocardiogram; return rows, true days, traps and patients with one."""
    starts = np.flatnonzero(cohort.first | np.r_[True, cohort.echo[1:] != cohort.echo[:-1]])
    u = {
        name: streams.uniform(f"mimic-{name}", 3 * len(starts))
        for name in ("trap", "offset", "value", "again")
    }
    rows: list[tuple[object, ...]] = []
    days: list[dict[str, object]] = []
    planted = {length: Counter[str]() for length in ("ivsd", "lvpwd", "lvidd")}
    studies: set[int] = set()
    identifier = 7_000_000
    for k, start in enumerate(starts):
        patient = int(cohort.patient[start])
        if patient % 20 == 3:  # withheld
            continue
        subject = int(subjects[patient])
        offset = np.floor(cohort.days[start] + (u["offset"][k] - 0.5) * (60 if k % 9 else 1_000))
        truth = {length: float(round(cohort.cm[length][start], 2)) for length in planted}  # type: ignore[index]
        for repeat in range(1 + (k % 4 == 1)):  # a second study some weeks later, slightly different
            time = begin[patient] + pd.Timedelta(days=offset + 21 * repeat, hours=8 + repeat, minutes=k % 60)
            shifted = {length: round(cm + 0.05 * repeat, 2) for length, cm in truth.items()}
            study = _Study(subject, identifier, time, rows, planted)
            identifier += 1
            centimetres = {
                length: study.write(length, cm, (k * 3 + j) % len(u["trap"]), u, repeat)
                for j, (length, cm) in enumerate(shifted.items())
            }
            study.others(k)
            studies.add(subject)
            if any(cm == cm for cm in centimetres.values()):
                days.append({"subject_id": subject, "time": time, **centimetres})
    columns = [
        "subject_id",
        "measurement_id",
        "measurement_datetime",
        "test_type",
        "measurement",
        "measurement_description",
        "result",
        "unit",
    ]
    counts = {
        length: {trap: centimetres[trap] for trap, _ in TRAPS} | {"plain": centimetres["plain"]}
        for length, centimetres in planted.items()
    }
    return pd.DataFrame(rows, columns=columns), pd.DataFrame(days), counts, studies


@dataclass(frozen=True, slots=True)
class _Study:
    """A study that writes its rows, each by the trap drawn for it."""

    subject: int
    identifier: int
    time: pd.Timestamp
    rows: list[tuple[object, ...]]
    planted: dict[str, Counter[str]]

    def write(self, length: str, cm: float, k: int, u: dict[str, Floats], repeat: int) -> float:
        """Write a length; return its value in cm as it can be read, NaN if it cannot."""
        low = 0.3 if length != "lvidd" else 1.5
        high = 3.0 if length != "lvidd" else 10.0
        cm = min(max(cm, low + 0.1), high - 0.2)
        trap = self._trap(u["trap"][k] if not repeat else u["again"][k])
        if trap == "cm as mm" and cm < 0.31:  # looks like millimetres
            trap = "plain"
        self.planted[length][trap] += 1
        name = {"ivsd": SEPTUM, "lvpwd": WALL}.get(
            length, OTHER_DIAMETER if self.identifier % 3 else DIAMETER
        )
        in_mm, in_cm = f"{cm * 10:.1f}", f"{cm:.2f}"
        if trap == "not measured":
            return np.nan
        if trap in ("no number", "unknown unit", "implausible", "unreadable date"):
            result, unit = {
                "no number": (("not measured", "<0.6", "1.1-1.3", "")[k % 4], "cm"),
                "unknown unit": (in_cm, "inch"),
                "implausible": (("0.1", "999")[k % 2], "cm"),
                "unreadable date": (in_cm, "cm"),
            }[trap]
            self._row(name, result, unit, dated=trap != "unreadable date")
            return np.nan
        result, unit = {
            "mm": (in_mm, "mm"),
            "mm without unit": (in_mm, ""),
            "mm as cm": (in_mm, "CM"),
            "cm as mm": (in_cm, "mm"),
            "unit in the result": (f"{in_cm} cm", ""),
        }.get(trap, (in_cm, "cm"))
        self._row(name, result, unit)
        if trap == "repeated":
            self._row(name, f"{cm + 0.1:.2f}", "cm")
            return (float(in_cm) + float(f"{cm + 0.1:.2f}")) / 2
        if trap == "disagree":
            self._row(name, f"{cm + (0.4 if cm < high - 0.6 else -0.4):.2f}", "cm")
            return np.nan
        return float(result.removesuffix(" cm")) / (10 if trap.startswith("mm") else 1)

    @staticmethod
    def _trap(u: float) -> str:
        below = 0.0
        for trap, share in TRAPS:
            below += share
            if u < below:
                return trap
        return "plain"

    def _row(self, name: str, result: str, unit: str, *, test: str = "tte", dated: bool = True) -> None:
        time = self.time.strftime("%Y-%m-%d %H:%M:%S") if dated else "2180-13-45 09:00"
        described = f"{name.replace('_', ' ')}, end of diastole"
        self.rows.append((self.subject, self.identifier, time, test, name, described, result, unit))

    def others(self, k: int) -> None:
        """Write measurements that the link does not use: other names, and the same ones of other studies."""
        self._row("lvef", f"{55 + k % 10}", "%")
        self._row("mitral_regurg", ("mild", 'moderate, "eccentric"', "none\nseen")[k % 3], "")
        if k % 5 == 0:
            self._row(SEPTUM, "2.90", "cm", test=("stress", "tee")[k % 2])


def _draw(
    folder: Path,
    cohort: Patients,
    frame: pd.DataFrame,
    seed: int,
    jobs: int,
    progress: Progress | None,
) -> None:
    """Draw the frontal images to their places."""
    frontal = frame[frame["row"] >= 0].sort_values("row")
    subject = frontal["subject_id"].astype(str)
    paths = (
        "p"
        + subject.str[:2]
        + "/p"
        + subject
        + "/s"
        + frontal["study_id"].astype(str)
        + "/"
        + frontal["dicom_id"]
        + ".jpg"
    )
    for name in sorted(set(paths.str.rsplit("/", n=1).str[0])):
        (folder / name).mkdir(parents=True, exist_ok=True)
    subjects = [
        replace(s, image=path)
        for s, path in zip(subjects_of(cohort, table_of(cohort, seed)), paths, strict=True)
    ]
    draw_all(folder, subjects, seed, jobs, progress)
