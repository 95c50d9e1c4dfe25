"""Numbers from the text of a view's inputs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from baselines.api import UnlabelledImages
from bench.metrics.validation import Floats

OLDEST_YEARS = 120


def numbers(images: UnlabelledImages, name: str) -> Floats:
    """(n,) an input as numbers; NaN where it is blank or no number."""
    return np.asarray(pd.to_numeric(images.inputs[name], errors="coerce"), np.float64)


def age_years(images: UnlabelledImages) -> Floats:
    """(n,) age; NaN where missing or impossible (ChestX-ray14 has patients of 411 years)."""
    age = numbers(images, "age")
    return np.where((age >= 0) & (age <= OLDEST_YEARS), age, np.nan)


def male(images: UnlabelledImages) -> Floats:
    """(n,) 1 for M, 0 for F, NaN for anything else."""
    sex = images.inputs["sex"].str.strip().str.upper().str[:1]
    return np.asarray(sex.map({"M": 1.0, "F": 0.0}), np.float64)


def age_and_sex(images: UnlabelledImages) -> npt.NDArray[np.float64]:
    """(n, 2) age in years and male; NaN where missing."""
    return np.column_stack([age_years(images), male(images)])
