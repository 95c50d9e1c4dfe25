"""The invented patients of the synthetic cohort: who they are, how often they were imaged, and their hearts.

One row per image. A heart is three correlated normal numbers, one per measurement, turned into centimetres by
the published distribution of the patient's sex. A gap of more than a year between two images starts a new
echocardiogram.

Two effects are planted stronger than published, so that a cohort of a few thousand patients shows them: age
raises the risk (published: hardly, from 40 to 80 years), and pacemakers and defibrillators are more frequent
and tied to dilatation. Prevalences and the distributions of age and of measurements stay as published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from bench.cohort.synthetic import aggregates as figures
from bench.cohort.synthetic.aggregates import Measurement, Sex
from bench.cohort.synthetic.streams import Streams
from bench.metrics.validation import Bools, Floats, Ints

# Images per patient: 1 + a negative binomial number (mean - 1, shape); overall standard deviation 2.85.
TRANSPLANT_IMAGES: Final = (6.0, 1.0)
OTHER_SHAPE: Final = 0.91
MOST_IMAGES: Final = 60

# Relative share of the images at an age that are of transplant patients (our choice: not published).
TRANSPLANT_AGES: Final = (18, 30, 45, 58, 68, 75, 80, 90)
HEART_BY_AGE: Final = (0.09, 0.11, 0.13, 0.14, 0.11, 0.05, 0.015, 0.002)
LUNG_BY_AGE: Final = (0.10, 0.12, 0.12, 0.16, 0.20, 0.09, 0.02, 0.002)

# Shift of the latent wall thickness and diameter with age, in standard deviations.
SHIFT_AGES: Final = (18, 30, 38, 42, 58, 62, 76, 84, 95)
WALL_SHIFT: Final = (-0.40, -0.38, -0.26, 0.03, 0.05, -0.10, -0.09, 0.33, 0.36)
DIAMETER_SHIFT: Final = (-0.01, -0.01, 0.0, 0.12, 0.12, -0.07, -0.07, 0.0, 0.0)

WALLS_CORRELATION: Final = 0.85
WALL_DIAMETER_CORRELATION: Final = 0.18
ECHO_CORRELATION: Final = 0.8  # of one latent between successive echocardiograms
NEW_ECHO_DAYS: Final = 365.0
LONGEST_DAYS: Final = 2500.0  # between a patient's first and last image: all are of seven years

# Planted: see above.
AGE_SLOPE: Final = 0.18  # standard deviations of all three latents per standard deviation of age
DEVICE_FACTOR: Final = 2.5  # of the published share of devices
DEVICE_DIAMETER_LOADING: Final = 0.8
DEVICE_AGE_LOADING: Final = 0.3


@dataclass(frozen=True, slots=True)
class Patients:
    """Invented patients, one row per image, in order of patient and time.

    Attributes:
        patient: (n,) index of the patient.
        first: (n,) whether the row is its patient's first.
        days: (n,) days since the patient's first image.
        anchor: (n,) days from the first image to the one that fixes age and year.
        age: (n,) exact age in years, not truncated.
        female: (n,) sex.
        heart_transplant: (n,) flag.
        lung_transplant: (n,) flag.
        device: (n,) pacemaker or defibrillator.
        latent: Measurement → (n,) standard normal severity.
        cm: Measurement → (n,) measured value, rounded to six decimals.
        echo: (n,) number of the echocardiogram within the patient, from 0.
    """

    patient: Ints
    first: Bools
    days: Floats
    anchor: Floats
    age: Floats
    female: Bools
    heart_transplant: Bools
    lung_transplant: Bools
    device: Bools
    latent: dict[Measurement, Floats]
    cm: dict[Measurement, Floats]
    echo: Ints

    def __len__(self) -> int:
        return len(self.patient)


def invent_patients(count: int, seed: int) -> Patients:
    """Invent `count` patients; those of a smaller count are the first of a larger one."""
    streams = Streams(seed)
    female = streams.uniform("sex", count) < figures.FEMALE_SHARE
    anchor_age, heart, lung = _ages_and_transplants(streams, count)
    images = _image_counts(streams.uniform("images", count), heart | lung)

    patient = np.repeat(np.arange(count), images)
    first = np.r_[True, patient[1:] != patient[:-1]]
    gaps = np.interp(streams.uniform("gap", len(patient)), *figures.gap_quantiles())
    days = _running_sum(np.where(first, 0.0, gaps), first)
    last = days[np.cumsum(images) - 1]
    days *= np.minimum(1.0, LONGEST_DAYS / np.maximum(last, LONGEST_DAYS))[patient]
    last = np.minimum(last, LONGEST_DAYS)
    anchor = (last * streams.uniform("anchor", count))[patient]
    age = np.maximum(anchor_age[patient] + (days - anchor) / 365.25, 18.0)

    echo = _running_sum((np.diff(days, prepend=0.0) > NEW_ECHO_DAYS) & ~first, first).astype(np.int64)
    latent = _latents(streams, first, echo, age[first][patient])
    cm = {m: _centimetres(m, latent[m], female[patient]) for m in get_args(Measurement)}
    device = _devices(streams, female, age[first], latent["lvidd"][first])
    return Patients(
        patient=patient,
        first=first,
        days=days,
        anchor=anchor,
        age=age,
        female=female[patient],
        heart_transplant=heart[patient],
        lung_transplant=lung[patient],
        device=device[patient],
        latent=latent,
        cm=cm,
        echo=echo,
    )


def _ages_and_transplants(streams: Streams, count: int) -> tuple[Floats, Bools, Bools]:
    """Age at the anchor, and transplant flags, such that the shares among *images* are the published ones.

    Transplant patients have more images each. With `share` the published share of the images at an age, `h`
    and `l` those of them with a transplanted heart or lung, and m0, m1 the mean images of other and
    transplant patients, the number of patients at that age is in proportion to
    `share * ((1 - h - l) / m0 + (h + l) / m1)`.
    """
    edges, below = (np.array(column, float) for column in zip(*figures.AGE_CUMULATIVE, strict=True))
    years = np.arange(edges[0], edges[-1] + 1)
    share = np.diff(np.interp(years, edges, below))
    middle = years[:-1] + 0.5
    heart = np.interp(middle, TRANSPLANT_AGES, HEART_BY_AGE)
    heart *= figures.HEART_TRANSPLANT_SHARE / (share @ heart)
    lung = np.interp(middle, TRANSPLANT_AGES, LUNG_BY_AGE)
    lung *= figures.LUNG_TRANSPLANT_SHARE / (share @ lung)

    patients = share * ((1 - heart - lung) / _other_mean() + (heart + lung) / TRANSPLANT_IMAGES[0])
    cumulative = np.r_[0.0, np.cumsum(patients) / patients.sum()]
    age = np.interp(streams.uniform("age", count), cumulative, years)
    year = np.searchsorted(years, age, side="right") - 1
    heart_share = (share * heart / TRANSPLANT_IMAGES[0] / patients)[year]
    lung_share = (share * lung / TRANSPLANT_IMAGES[0] / patients)[year]
    u = streams.uniform("transplant", count)
    return age, u < heart_share, (u >= heart_share) & (u < heart_share + lung_share)


def _other_mean() -> float:
    """Mean images of a patient without a transplant, given the means overall and of transplant patients."""
    transplant = figures.HEART_TRANSPLANT_SHARE + figures.LUNG_TRANSPLANT_SHARE
    patients = 1 / figures.IMAGES_PER_PATIENT - transplant / TRANSPLANT_IMAGES[0]
    return (1 - transplant) / patients


def _image_counts(u: Floats, transplant: Bools) -> Ints:
    many = np.searchsorted(_negative_binomial(TRANSPLANT_IMAGES[0] - 1, TRANSPLANT_IMAGES[1]), u)
    few = np.searchsorted(_negative_binomial(_other_mean() - 1, OTHER_SHAPE), u)
    return 1 + np.minimum(np.where(transplant, many, few), MOST_IMAGES - 1)


def _negative_binomial(mean: float, shape: float) -> Floats:
    """(MOST_IMAGES,) cumulative probabilities of 0, 1, ... by the recurrence of the probabilities."""
    odds = mean / (mean + shape)
    probability = [(1 - odds) ** shape]
    for k in range(1, MOST_IMAGES):
        probability.append(probability[-1] * odds * (k - 1 + shape) / k)
    return np.cumsum(probability)


def _running_sum(steps: npt.NDArray[np.generic], first: Bools) -> Floats:
    """Running sum within each patient."""
    total = np.cumsum(steps, dtype=np.float64)
    start = np.maximum.accumulate(np.where(first, np.arange(len(total)), 0))
    return total - total[start] + np.asarray(steps, np.float64)[start]


def _latents(streams: Streams, first: Bools, echo: Ints, age: Floats) -> dict[Measurement, Floats]:
    """Standard normal severities: shared by the images of one echocardiogram, shifted by age."""
    n = len(first)
    septum, wall, diameter = (_by_echo(streams.normal(f"latent-{k}", n), first, echo) for k in range(3))
    wall = WALLS_CORRELATION * septum + (1 - WALLS_CORRELATION**2) ** 0.5 * wall
    diameter = WALL_DIAMETER_CORRELATION * septum + (1 - WALL_DIAMETER_CORRELATION**2) ** 0.5 * diameter
    thicker = np.interp(age, SHIFT_AGES, WALL_SHIFT)
    wider = np.interp(age, SHIFT_AGES, DIAMETER_SHIFT)
    latents: dict[Measurement, Floats] = {
        "ivsd": septum + thicker,
        "lvpwd": wall + thicker,
        "lvidd": diameter + wider,
    }
    risk = AGE_SLOPE * (age - figures.MEAN_AGE) / figures.AGE_SPREAD
    return {m: (latent + risk) / (1 + AGE_SLOPE**2) ** 0.5 for m, latent in latents.items()}


def _by_echo(noise: Floats, first: Bools, echo: Ints) -> Floats:
    """One autoregressive value per echocardiogram, repeated over its images."""
    starts = first | np.r_[False, echo[1:] != echo[:-1]]
    value = noise[starts]
    number, fresh = echo[starts], (1 - ECHO_CORRELATION**2) ** 0.5
    for step in range(1, int(number.max(initial=0)) + 1):
        at = np.flatnonzero(number == step)
        value[at] = ECHO_CORRELATION * value[at - 1] + fresh * value[at]
    repeated: Floats = value[np.cumsum(starts) - 1]
    return repeated


def _centimetres(measurement: Measurement, latent: Floats, female: Bools) -> Floats:
    def of(sex: Sex) -> Floats:
        shares, cm = figures.measurement_quantiles(measurement, sex)
        return np.interp(latent, ndtri(np.clip(shares, 1e-6, 1 - 1e-6)), cm)

    cm: Floats = np.where(female, of("F"), of("M"))
    return np.round(cm, 6)


def _devices(streams: Streams, female: Bools, age: Floats, diameter: Floats) -> Bools:
    """Devices, more often in the old and in dilated hearts, in the published ratio of the sexes."""
    spread = (1 + DEVICE_DIAMETER_LOADING**2 + DEVICE_AGE_LOADING**2) ** 0.5
    severity = (
        streams.normal("device", len(female))
        + DEVICE_DIAMETER_LOADING * diameter
        + DEVICE_AGE_LOADING * (age - figures.MEAN_AGE) / figures.AGE_SPREAD
    )
    share = DEVICE_FACTOR * np.where(female, figures.DEVICE_SHARE["F"], figures.DEVICE_SHARE["M"])
    device: Bools = ndtr(severity / spread) > 1 - share
    return device
