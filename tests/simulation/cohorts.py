"""Simulated cohorts with a known truth: labels and scores that are alike within a patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtri


@dataclass(frozen=True)
class Setting:
    """How cohorts are drawn.

    Attributes:
        name: As printed.
        patients: Number of patients.
        images: Images per patient, or mean of a geometric distribution with `varying`.
        varying: Whether the number of images varies (geometric from 1).
        label_alike: Correlation of the liability behind the label within a patient; 1 makes labels constant.
        score_alike: Correlation of the scores within a patient, given the labels.
        prevalence: Share of positive images.
        auroc: True AUROC of the first score.
    """

    name: str
    patients: int
    images: float
    varying: bool = False
    label_alike: float = 0.5
    score_alike: float = 0.3
    prevalence: float = 0.14
    auroc: float = 0.80

    @property
    def shift(self) -> float:
        """Distance of the classes in standard deviations of the score."""
        return float(np.sqrt(2) * ndtri(self.auroc))


SETTINGS = (
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


@dataclass(frozen=True)
class Cohort:
    """One draw: labels, two probabilities (the second of a weaker, correlated model) and patients."""

    y: np.ndarray
    first: np.ndarray
    second: np.ndarray
    patient: np.ndarray


WEAKER = 0.85
"""Shift of the second score as a share of the first's."""

MODELS_ALIKE = 0.7
"""Correlation of the two scores of an image, given its label."""


def draw(setting: Setting, rng: np.random.Generator, patients: int | None = None) -> Cohort:
    """Draws a cohort, or a population of many patients to read the truth from."""
    count = patients or setting.patients
    size = (
        rng.geometric(1 / setting.images, count) if setting.varying else np.full(count, int(setting.images))
    )
    patient = np.repeat(np.arange(count), size)

    def alike(correlation: float) -> np.ndarray:
        common = rng.normal(size=count)[patient]
        return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.normal(size=len(patient))

    y = alike(setting.label_alike) > ndtri(1 - setting.prevalence)
    noise, other = alike(setting.score_alike), alike(setting.score_alike)
    first = setting.shift * y + noise
    weaker = WEAKER * setting.shift
    second = weaker * y + MODELS_ALIKE * noise + np.sqrt(1 - MODELS_ALIKE**2) * other
    return Cohort(
        y, _probability(first, setting, setting.shift), _probability(second, setting, weaker), patient
    )


def _probability(score: np.ndarray, setting: Setting, shift: float) -> np.ndarray:
    """A model that is somewhat too extreme: the true log odds, stretched by 1.25 and moved by -0.2."""
    odds = np.log(setting.prevalence / (1 - setting.prevalence)) + shift * score - shift**2 / 2
    return expit(-0.2 + 1.25 * odds)
