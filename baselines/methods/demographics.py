"""Logistic regression on age and sex, without the image."""

from __future__ import annotations

from typing import Any

import numpy as np

from baselines.api import Baseline, Result, TrainingTask
from baselines.describe import describe
from baselines.tabular.features import age_and_sex
from baselines.tabular.fit import Matrix, fit_each_target

BENDS_YEARS = (40.0, 60.0, 80.0)
MIDDLE_YEARS = 60.0

DESCRIPTION = (
    "Logistic regression on age and sex, one per target, with bends at 40, 60 and 80 years, since the risk "
    "need not rise with age. A missing age is the training median. It sees no image: what an image model "
    "scores above it, it owes to the image."
)


def run(task: TrainingTask) -> Result:
    """Fit one regression per target."""
    train, test = age_and_sex(task.train), age_and_sex(task.test)
    predictions = fit_each_target(task, train, test, classifier)
    manifest = describe(task, "Age and sex", DESCRIPTION, ("age", "sex"), parameters=6 * len(predictions))
    return Result(manifest, predictions)


def classifier() -> Any:
    """Build the pipeline: imputation, piecewise-linear age, logistic regression."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return make_pipeline(imputer, FunctionTransformer(bent_age), LogisticRegression(tol=1e-6, max_iter=1000))


def bent_age(age_and_male: Matrix) -> Matrix:
    """Return (n, 5): age in decades from the middle, its excess over each bend, and male."""
    age, male = age_and_male[:, :1], age_and_male[:, 1:]
    excess = np.maximum(0.0, age - np.array([BENDS_YEARS]))
    return np.hstack([(age - MIDDLE_YEARS) / 10, excess / 10, male])


BASELINE = Baseline(
    "demographics", "age and sex, logistic regression", run, needs_inputs=("age", "sex"), quick=True
)
