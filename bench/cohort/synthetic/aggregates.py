"""Published totals of CheXchoNet that the synthetic cohort reproduces.

Sources: the data exploration notebook of the CheXchoNet repository (sbhave77/CheXchoNet, 2024-03-20), partly
read off its histograms; the tables of a fairness evaluation of the full data (sejalgupta, 2024); the abstract
of Bhave et al., Eur Heart J 2024;45:2002-2012. No row of the data was used.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final, Literal

import numpy as np

from bench.metrics.validation import Floats

Sex = Literal["F", "M"]
Measurement = Literal["ivsd", "lvpwd", "lvidd"]

PATIENTS: Final = 24_689
IMAGES_PER_PATIENT: Final = 71_589 / PATIENTS
FEMALE_SHARE: Final = 0.52088
HEART_TRANSPLANT_SHARE: Final = 0.09954
LUNG_TRANSPLANT_SHARE: Final = 0.12818
DEVICE_SHARE: Final[dict[Sex, float]] = {"F": 0.0557, "M": 0.0872}
MEAN_AGE: Final = 62.1
AGE_SPREAD: Final = 16.1  # standard deviation
TOP_CODED_AGE: Final = 90
YEARS: Final = (2012, 2018)

# Sex-specific limits (cm) of the authors' code; a label is positive strictly above.
LIMITS: Final[dict[Measurement, dict[Sex, float]]] = {
    "ivsd": {"F": 1.4, "M": 1.5},
    "lvpwd": {"F": 1.4, "M": 1.5},
    "lvidd": {"F": 5.3, "M": 5.9},
}

# Histograms (images) from 0 cm in bins of BIN_CM; LVIDD_TAIL continues the one of lvidd.
BIN_CM: Final[dict[Measurement, float]] = {"ivsd": 0.15, "lvpwd": 0.15, "lvidd": 0.35}
HISTOGRAMS: Final[dict[Measurement, dict[Sex, tuple[int, ...]]]] = {
    "ivsd": {
        "F": (0, 0, 0, 186, 1777, 7056, 10690, 8674, 5305, 2095, 875, 239, 106, 80, 53, 27, 27),
        "M": (0, 0, 0, 24, 407, 2587, 7257, 9653, 7976, 3521, 1581, 599, 311, 168, 48, 24, 24, 24),
    },
    "lvpwd": {
        "F": (0, 0, 0, 261, 2295, 8336, 11705, 8017, 4415, 1336, 465, 203, 58, 0, 29, 29),
        "M": (0, 0, 0, 102, 584, 3528, 8959, 10228, 6802, 2538, 888, 305, 178, 76, 51),
    },
    "lvidd": {
        "F": (0,) * 6 + (25, 50, 322, 1064, 3540, 7772, 9975, 7970, 3762, 1609, 520, 248, 124, 74),
        "M": (0,) * 7 + (22, 67, 333, 1222, 3778, 7578, 8956, 5489, 3533, 1533, 644, 333, 289),
    },
}
# Above the drawn range of the lvidd histograms (cm, images).
LVIDD_TAIL: Final[dict[Sex, tuple[tuple[float, int], ...]]] = {
    "F": ((7.6, 110), (8.6, 50), (9.6, 10)),
    "M": ((7.6, 320), (8.6, 140), (9.6, 40)),
}

# Age in years (exclusive upper end) and share of the images below it.
AGE_CUMULATIVE: Final = (
    (18, 0.0),
    (20, 0.00165),
    (23, 0.0082),
    (28, 0.0301),
    (33, 0.0647),
    (38, 0.0993),
    (40, 0.11294),
    (42, 0.1260),
    (47, 0.1671),
    (52, 0.2280),
    (57, 0.3191),
    (60, 0.38241),
    (62, 0.4310),
    (66, 0.5412),
    (71, 0.6792),
    (76, 0.7918),
    (80, 0.86294),
    (81, 0.8788),
    (86, 0.9394),
    (95, 1.0),
)

# Days between successive images of a patient: share below 19.8 days, 39.6 days, ...
GAP_BIN_DAYS: Final = 19.8
GAP_COUNTS: Final = (
    *(14140, 7368, 3895, 2807, 3123, 1860, 1719, 1228, 1158, 1088),
    *(807, 667, 561, 526, 456, 456, 421, 421, 491, 351),
)
GAP_TAIL_FIRST: Final = 211
GAP_TAIL_RATIO: Final = 0.935
GAP_BINS: Final = 100

YEAR_SHARES: Final = (0.02, 0.09, 0.19, 0.24, 0.21, 0.17, 0.08)  # mean 2015.3, sd 1.6, quartiles 2014/15/17
PIXEL_SPACINGS_MM: Final = ((0.194556, 0.8715), (0.1902, 0.0985), (0.2, 0.03))  # mean 0.19429


def cumulative(counts: tuple[float, ...]) -> Floats:
    """Compute the cumulative share (bins + 1,) below each edge of a histogram."""
    *_, total = accumulate(counts)  # not `sum`, which rounds differently from Python 3.12 on
    return np.array([0.0, *(part / total for part in accumulate(counts))])


def gap_quantiles() -> tuple[Floats, Floats]:
    """Return cumulative shares and days: the quantile function of the gaps between a patient's images."""
    tail = [GAP_TAIL_FIRST * GAP_TAIL_RATIO**k for k in range(GAP_BINS - len(GAP_COUNTS))]
    shares = cumulative((*GAP_COUNTS, *tail))
    days = np.linspace(0.0, GAP_BINS * GAP_BIN_DAYS, GAP_BINS + 1)
    return shares, days


def measurement_quantiles(measurement: Measurement, sex: Sex) -> tuple[Floats, Floats]:
    """Return cumulative shares and centimetres: the quantile function of a measurement within a sex."""
    counts = HISTOGRAMS[measurement][sex]
    edges = [BIN_CM[measurement] * k for k in range(len(counts) + 1)]
    if measurement == "lvidd":
        edges += [cm for cm, _ in LVIDD_TAIL[sex]]
        counts = (*counts, *(images for _, images in LVIDD_TAIL[sex]))
    shares = cumulative(counts)
    inside = np.concatenate([np.diff(shares) > 0, [False]]) | np.concatenate([[False], np.diff(shares) > 0])
    return shares[inside], np.array(edges)[inside]
