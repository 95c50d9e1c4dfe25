"""The table of the synthetic cohort: CheXchoNet's eighteen columns, with its coding and its traps.

The traps are deliberate: the time offset is text, `cxr_path` names a folder `cxrs` that does not exist, ages
are cut at 90, and a few measurements are impossible.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.cohort.synthetic import aggregates as figures
from bench.cohort.synthetic.aggregates import Measurement, Sex
from bench.cohort.synthetic.patients import Patients, invent_patients
from bench.cohort.synthetic.streams import Streams
from bench.metrics.validation import Bools, Floats

COLUMNS: Final = (
    "patient_id",
    "cxr_filename",
    "cxr_time_offset",
    "cxr_year",
    "cxr_path",
    "cxr_pixel_spacing_x",
    "cxr_pixel_spacing_y",
    "age",
    "sex",
    "ivsd",
    "lvpwd",
    "lvidd",
    "slvh",
    "dlv",
    "composite_slvh_dlv",
    "heart_transplant",
    "lung_transplant",
    "pacemaker_or_icd",
)

# The released table holds a few impossible measurements: in each 5,000 patients, one patient of each kind has
# its first echocardiogram multiplied, up to the extreme value of the release.
ODDITY_PERIOD: Final = 5_000
ODDITIES: Final[tuple[tuple[int, Measurement, float, float], ...]] = (
    (97, "lvpwd", 0.0, 0.0),
    (211, "lvidd", 0.0, 0.0),
    (389, "ivsd", 8.5, 9.881210),
    (467, "ivsd", 0.03, 0.025031),
    (541, "lvpwd", 5.0, 6.404550),
)


def demo_table(patients: int, seed: int) -> pd.DataFrame:
    """The synthetic cohort's table, one row per image, in order of patient and time.

    The same seed gives the same rows everywhere, and a smaller cohort is the beginning of a larger one.

    Args:
        patients: Number of patients, at least 1; CheXchoNet has 24,689.
        seed: Of every random number.
    """
    return table_of(invent_patients(patients, seed), seed)


def table_of(cohort: Patients, seed: int) -> pd.DataFrame:
    """The table of invented patients."""
    streams, n = Streams(seed), len(cohort)
    people = np.array(streams.hexadecimal("patient-id", int(cohort.patient[-1]) + 1, 32), dtype=object)
    patient_id = people[cohort.patient]
    suffix = np.array(streams.hexadecimal("image-id", n, 8), dtype=object)
    filename = patient_id + "_" + suffix + ".jpg"
    spacing = _pixel_spacing(streams, n)
    cm = _with_oddities(cohort)
    labels = label_rules(cm, cohort.female)
    columns: dict[str, object] = {
        "patient_id": patient_id,
        "cxr_filename": filename,
        "cxr_time_offset": _time_offsets(streams, cohort),
        "cxr_year": _years(streams, cohort),
        "cxr_path": "./cxrs/" + filename,
        "cxr_pixel_spacing_x": spacing,
        "cxr_pixel_spacing_y": spacing,
        "age": np.minimum(np.floor(cohort.age), figures.TOP_CODED_AGE).astype(np.int64),
        "sex": np.where(cohort.female, "F", "M"),
        "ivsd": cm["ivsd"],
        "lvpwd": cm["lvpwd"],
        "lvidd": cm["lvidd"],
        **{name: positive.astype(np.int64) for name, positive in labels.items()},
        "heart_transplant": cohort.heart_transplant.astype(np.int64),
        "lung_transplant": cohort.lung_transplant.astype(np.int64),
        "pacemaker_or_icd": cohort.device.astype(np.int64),
    }
    return pd.DataFrame(columns, columns=list(COLUMNS))


def label_rules(cm: dict[Measurement, Floats], female: Bools) -> dict[str, Bools]:
    """The three labels: a measurement strictly above the limit of the patient's sex."""

    def above(measurement: Measurement) -> Bools:
        limits: dict[Sex, float] = figures.LIMITS[measurement]
        result: Bools = cm[measurement] > np.where(female, limits["F"], limits["M"])
        return result

    slvh, dlv = above("ivsd") | above("lvpwd"), above("lvidd")
    return {"slvh": slvh, "dlv": dlv, "composite_slvh_dlv": slvh | dlv}


def _with_oddities(cohort: Patients) -> dict[Measurement, Floats]:
    cm = {measurement: values.copy() for measurement, values in cohort.cm.items()}
    for index, measurement, factor, extreme in ODDITIES:
        odd = (cohort.patient % ODDITY_PERIOD == index) & (cohort.echo == 0)
        cm[measurement][odd] = np.round(np.minimum(cm[measurement][odd] * factor, extreme), 6)
    return cm


def _pixel_spacing(streams: Streams, count: int) -> Floats:
    values, shares = zip(*figures.PIXEL_SPACINGS_MM, strict=True)
    kind = np.searchsorted(np.cumsum(shares)[:-1], streams.uniform("pixel-spacing", count))
    return np.array(values)[kind]


def _years(streams: Streams, cohort: Patients) -> npt.NDArray[np.int64]:
    """Calendar years: the anchor falls in a year by its share, then all images are moved into the period."""
    first_year, last_year = figures.YEARS
    years = last_year - first_year + 1
    patients = int(cohort.patient[-1]) + 1
    cumulative = figures.cumulative(figures.YEAR_SHARES)
    anchor = np.interp(streams.uniform("year", patients), cumulative, np.arange(years + 1))
    last = np.r_[cohort.first[1:], True]
    begin = anchor - cohort.anchor[cohort.first] / 365.25
    begin = np.clip(begin, 0.0, years - 1e-6 - cohort.days[last] / 365.25)
    return first_year + np.floor(begin[cohort.patient] + cohort.days / 365.25).astype(np.int64)


def _time_offsets(streams: Streams, cohort: Patients) -> list[str]:
    """Text such as `4314 days 09:20:05.326807`: a patient's own shift plus the time since the first."""
    shift_days = 400 + 5_000 * streams.uniform("time-shift", int(cohort.patient[-1]) + 1)
    seconds, microseconds = np.divmod(
        np.round((shift_days[cohort.patient] + cohort.days) * 86_400e6).astype(np.int64), 1_000_000
    )
    days, seconds = np.divmod(seconds, 86_400)
    hours, seconds = np.divmod(seconds, 3_600)
    minutes, seconds = np.divmod(seconds, 60)
    parts = zip(*(part.tolist() for part in (days, hours, minutes, seconds, microseconds)), strict=True)
    return [f"{d} days {h:02}:{m:02}:{s:02}.{us:06}" for d, h, m, s, us in parts]
