"""Numeric features from the text inputs of a view."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from baselines.api import UnlabelledImages
from bench.cohort.cohort import SEXES
from bench.cohort.load import OLDEST
from bench.metrics.validation import Floats


def numbers(images: UnlabelledImages, name: str) -> Floats:
    """Convert an input to numbers (n,); NaN for blank cells and other text."""
    return np.asarray(pd.to_numeric(images.inputs[name], errors="coerce"), np.float64)


def age_years(images: UnlabelledImages) -> Floats:
    """Return age in years (n,); NaN if missing or implausible (ChestX-ray14 has ages of 411 years)."""
    age = numbers(images, "age")
    return np.where((age >= 0) & (age <= OLDEST), age, np.nan)


def male(images: UnlabelledImages) -> Floats:
    """Return sex (n,): 1 for male, 0 for female, NaN otherwise."""
    words = images.inputs["sex"].str.strip().str.lower()
    return np.asarray(words.map(SEXES), np.float64)


def age_and_sex(images: UnlabelledImages) -> npt.NDArray[np.float64]:
    """Return age in years and male (n, 2); NaN if missing."""
    return np.column_stack([age_years(images), male(images)])
