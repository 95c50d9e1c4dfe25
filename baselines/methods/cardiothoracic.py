"""Cardiothoracic ratio: widths of heart and chest measured on the image, and logistic regression on them."""

from __future__ import annotations

from typing import Any

import numpy as np

from baselines.api import Baseline, Result, TrainingTask, UnlabelledImages
from baselines.describe import describe
from baselines.tabular.fit import Matrix, fit_each_target

SIDE = 112  # resolves widths to one hundredth of the chest
BATCH = 128
MANY = 5000  # below this, starting processes takes longer than measuring

DESCRIPTION = (
    "Widths of heart and chest between the dark of the lungs, their ratio, and logistic regression on them, "
    "one per target. Where no two lungs are found it takes the training median."
)


def run(task: TrainingTask) -> Result:
    """Measure all images and fit one regression per target."""
    from baselines.tabular.chest import MEASURES

    train, test = _measured(task, task.train, "training"), _measured(task, task.test, "test")
    predictions = fit_each_target(task, train, test, _classifier)
    parameters = (len(MEASURES) + 2) * len(predictions)
    manifest = describe(task, "Cardiothoracic ratio", DESCRIPTION, ("image",), parameters=parameters)
    return Result(manifest, predictions)


def _measured(task: TrainingTask, view: UnlabelledImages, what: str) -> Matrix:
    """Measure a view's images (n, measures); large views use all cores."""
    from joblib import Parallel, delayed

    from baselines.tabular.chest import MEASURES, measure
    from bench.environment import usable_cores

    measured = np.empty((len(view), len(MEASURES)))
    parallel = Parallel(usable_cores() if len(view) >= MANY else 1, return_as="generator")
    measured_count = 0
    for rows in parallel(delayed(measure)(batch) for batch in view.pixels(SIDE, SIDE, batch=BATCH)):
        measured[measured_count : measured_count + len(rows)] = rows
        measured_count += len(rows)
        task.progress(f"measuring {what} images", measured_count, len(view))
    return measured


def _classifier() -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    imputer = SimpleImputer(strategy="median", keep_empty_features=True, add_indicator=True)
    return make_pipeline(imputer, StandardScaler(), LogisticRegression(max_iter=1000))


BASELINE = Baseline(
    "cardiothoracic",
    "heart and chest width measured on the image, logistic",
    run,
    needs_images=True,
    side=lambda *_: SIDE,
    quick=True,
)
