"""Age and sex alone, by logistic regression: what a model must beat to have seen anything in the image."""

from __future__ import annotations

from typing import Any

from baselines.api import Baseline, Result, TrainingTask
from baselines.describe import describe
from baselines.features import age_and_sex
from baselines.tabular import fit_each_target

DESCRIPTION = (
    "Logistic regression on age, age squared and sex, one per target; a missing age is the training median. "
    "It sees no image: what an image model scores above it, it owes to the image."
)


def run(task: TrainingTask) -> Result:
    """One regression per target."""
    train, test = age_and_sex(task.train), age_and_sex(task.test)
    predictions = fit_each_target(task, train, test, classifier)
    manifest = describe(task, "Age and sex", DESCRIPTION, ("age", "sex"), parameters=4 * len(predictions))
    return Result(manifest, predictions)


def classifier() -> Any:
    """Imputes, expands age and regresses."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    curve = make_pipeline(StandardScaler(), PolynomialFeatures(degree=2, include_bias=False))
    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        ColumnTransformer([("age", curve, [0])], remainder="passthrough"),
        LogisticRegression(max_iter=1000),
    )


BASELINE = Baseline(
    "demographics", "age and sex, logistic regression", run, needs_inputs=("age", "sex"), quick=True
)
