"""Simulated cohorts with a known truth: labels and scores that are alike within a patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtri


@dataclass(frozen=True)
class Setting:
    """Parameters from which cohorts are drawn.

    Attributes:
        name: As printed.
        patients: Number of patients.
        images: Images per patient, or mean of a geometric distribution with `varying`.
        varying: Whether the number of images varies (geometric from 1).
        label_alike: Correlation of the liability behind the label within a patient; 1 makes labels constant.
        score_alike: Correlation of the scores within a patient, given the labels.
        prevalence: Share of positive images.
        auroc: True AUROC of the first score.
        heavy: Share of all images that belong to one patient, beyond the patients' own sizes.
        levels: Number of values that scores are rounded to; 0 for none.
        informative: Whether patients with a high liability have more images.
    """

    name: str
    patients: int
    images: float
    varying: bool = False
    label_alike: float = 0.5
    score_alike: float = 0.3
    prevalence: float = 0.14
    auroc: float = 0.80
    heavy: float = 0.0
    levels: int = 0
    informative: bool = False

    @property
    def shift(self) -> float:
        """Distance of the classes in standard deviations of the score."""
        return float(np.sqrt(2) * ndtri(self.auroc))


FIRST = (
    Setting("300 × 3, moderate", 300, 3),
    Setting("300 × 3, strong", 300, 3, label_alike=0.95, score_alike=0.8),
    Setting("300 × 3, label constant in a patient", 300, 3, label_alike=1.0, score_alike=0.7),
    Setting("100 × 9, strong", 100, 9, label_alike=0.95, score_alike=0.8),
    Setting(
        "300 × 3, rare, AUROC 0.95",
        300, 3, label_alike=0.7, score_alike=0.5, prevalence=0.04, auroc=0.95,
    ),
    Setting("300 × 3, independent", 300, 3, label_alike=0.0, score_alike=0.0),
    Setting("300 × geometric(2.9), strong", 300, 2.9, True, 0.95, 0.8),
    Setting("300 × geometric(2.9), AUROC 0.95", 300, 2.9, True, 0.95, 0.8, auroc=0.95),
    Setting("1,235 × geometric(2.9), 6%, strong", 1235, 2.9, True, 0.95, 0.8, prevalence=0.06),
    Setting("60 × 5", 60, 5, label_alike=0.5, score_alike=0.5, prevalence=0.3),
    Setting("50 × geometric(2.9)", 50, 2.9, True, 0.9, 0.7, prevalence=0.3),
    Setting("200 × geometric(9), rare", 200, 9, True, 0.95, 0.7, prevalence=0.08),
)  # fmt: skip
"""The settings of the first simulation."""

HARDER = (
    Setting(
        "300 × 3, one patient with 20% of the images",
        300, 3, label_alike=0.95, score_alike=0.8, heavy=0.2,
    ),
    *(
        Setting(f"1,235 × geometric(2.9), {share}%", 1235, 2.9, True, 0.9, 0.7, prevalence=share / 100)
        for share in (1, 2, 3)
    ),
    *(
        Setting(f"400 × geometric(2.9), AUROC {area}", 400, 2.9, True, 0.9, 0.7, auroc=area)
        for area in (0.5, 0.6, 0.97, 0.99)
    ),
    Setting("400 × geometric(2.9), five score levels", 400, 2.9, True, 0.9, 0.7, levels=5),
    Setting("400 × geometric(2.9), informative size", 400, 2.9, True, 0.9, 0.7, informative=True),
    *(
        Setting(
            f"{patients} × 3, labels {'constant' if alike == 1 else 'varying'}",
            patients, 3, label_alike=alike, score_alike=0.6, prevalence=0.3,
        )
        for patients in (30, 60, 120)
        for alike in (1.0, 0.5)
    ),
)  # fmt: skip
"""Few patients, rare labels, areas near 0.5 and 1, heavy patients, coarse scores, informative sizes."""

SETTINGS = FIRST + HARDER


@dataclass(frozen=True)
class Cohort:
    """One draw: labels, two probabilities (the second of a weaker, correlated model), patients, measurements.

    Attributes:
        y: (n,) labels.
        first: (n,) probabilities of the first model.
        second: (n,) probabilities of the second.
        patient: (n,) whole numbers.
        member: (n,) whether the patient belongs to a subgroup that differs in nothing.
        measured: (n,) a measurement.
        predicted: (n,) its prediction, with a bias.
    """

    y: np.ndarray
    first: np.ndarray
    second: np.ndarray
    patient: np.ndarray
    member: np.ndarray
    measured: np.ndarray
    predicted: np.ndarray


WEAKER = 0.85
"""Shift of the second score as a share of the first's."""

MODELS_ALIKE = 0.7
"""Correlation of the two scores of an image, given its label."""


def draw(setting: Setting, rng: np.random.Generator, patients: int | None = None) -> Cohort:
    """Draw a cohort, or a population of many patients to read the truth from."""
    count = patients or setting.patients
    liability = rng.normal(size=count)
    size = _sizes(setting, rng, count, liability, population=patients is not None)
    patient = np.repeat(np.arange(count), size)

    def alike(correlation: float, common: np.ndarray) -> np.ndarray:
        own = rng.normal(size=len(patient))
        return np.sqrt(correlation) * common[patient] + np.sqrt(1 - correlation) * own

    inclined = alike(setting.label_alike, liability)
    y = inclined > ndtri(1 - setting.prevalence)
    noise, other = (alike(setting.score_alike, rng.normal(size=count)) for _ in range(2))
    first = setting.shift * y + noise
    weaker = WEAKER * setting.shift
    second = weaker * y + MODELS_ALIKE * noise + np.sqrt(1 - MODELS_ALIKE**2) * other
    measured = 1.1 + 0.2 * inclined
    return Cohort(
        y,
        _probability(first, setting, setting.shift),
        _probability(second, setting, weaker),
        patient,
        (rng.random(count) < 0.5)[patient],
        measured,
        measured + 0.03 + 0.15 * noise,
    )


def _sizes(
    setting: Setting, rng: np.random.Generator, count: int, liability: np.ndarray, *, population: bool
) -> np.ndarray:
    """Images of each patient."""
    if setting.informative:
        mean = setting.images * np.exp(0.5 * liability - 0.125)
        return rng.geometric(1 / np.maximum(mean, 1.0))
    if setting.varying:
        return rng.geometric(1 / setting.images, count)
    size = np.full(count, int(setting.images))
    if setting.heavy and not population:
        size[rng.integers(count)] += round(setting.heavy / (1 - setting.heavy) * size.sum())
    return size


def _probability(score: np.ndarray, setting: Setting, shift: float) -> np.ndarray:
    """A model that is somewhat too extreme: the true log odds, stretched by 1.25 and moved by -0.2.

    At an AUROC of 0.5 the true log odds are constant, and those of a model with an AUROC of 0.6 are given.
    """
    if setting.levels:
        score = np.clip(np.round(score * setting.levels / 4), -1, setting.levels - 2) * 4 / setting.levels
    used = shift if shift > 0.01 else np.sqrt(2) * ndtri(0.6)
    odds = np.log(setting.prevalence / (1 - setting.prevalence)) + used * score - used**2 / 2
    return expit(-0.2 + 1.25 * odds)
