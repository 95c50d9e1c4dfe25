"""Fits a scikit-learn classifier of table columns for each binary target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from baselines.api import TrainingTask
from bench.errors import BenchError, Problem
from bench.metrics.validation import Floats

Matrix = npt.NDArray[np.float64]


def require_val(task: TrainingTask) -> None:
    """Refuses a split that leaves nothing to choose on (``baseline-no-training``)."""
    if not len(task.val):
        message = f"There are {len(task.train)} training images and none for val, which this baseline needs."
        raise BenchError(Problem("baseline-no-training", message, where=f"cohort {task.cohort}"))


def fit_each_target(
    task: TrainingTask, train: Matrix, test: Matrix, classifier: Callable[[], Any]
) -> dict[str, Floats]:
    """Probabilities of every binary target for the test images.

    Args:
        task: Whose training labels are fitted; images whose label is excluded are left out.
        train: (n, k) features of the training images, NaN where missing.
        test: (m, k) features of the test images.
        classifier: Makes an unfitted classifier with ``predict_proba``.
    """
    predictions = {}
    for done, target in enumerate(task.targets):
        task.progress(f"fitting {target}", done, len(task.targets))
        predictions[target] = fit_one(train, task.train.labels[target], test, classifier)
    task.progress("fitted", len(task.targets), len(task.targets))
    return predictions


def fit_one(train: Matrix, labels: Floats, test: Matrix, classifier: Callable[[], Any]) -> Floats:
    """(m,) probabilities; the only class's, where the labels are of one class."""
    known = ~np.isnan(labels)
    classes = np.unique(labels[known])
    if len(classes) < 2:
        return np.full(len(test), classes[0] if len(classes) else 0.5)
    fitted = classifier().fit(train[known], labels[known].astype(np.int8))
    return np.asarray(fitted.predict_proba(test)[:, 1], np.float64)
