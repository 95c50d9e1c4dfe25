"""Gradient-boosted trees with the number of trees chosen on val."""

from __future__ import annotations

from typing import Any

import numpy as np

from baselines.api import TrainingTask
from baselines.tabular.fit import Matrix
from bench.metrics.validation import Floats

MOST_TREES = 200
QUICK_TREES = 40
SMALLEST_LEAF = 40


def boost_each_target(task: TrainingTask, train: Matrix, val: Matrix, test: Matrix) -> dict[str, Floats]:
    """Predict every binary target for the test images.

    The number of trees has the least log loss on val. It may be 0, which predicts the training prevalence.

    Args:
        task: The training task.
        train: (n, k) features of the training images, NaN where missing.
        val: (m, k) features of the val images.
        test: (t, k) features of the test images.
    """
    from threadpoolctl import threadpool_limits

    predictions = {}
    trees = QUICK_TREES if task.quick else MOST_TREES
    for done, target in enumerate(task.targets):
        task.progress(f"boosting {target}", done, len(task.targets))
        train_labels, val_labels = task.train.labels[target], task.val.labels[target]
        with threadpool_limits(1):  # sums depend on the number of threads
            predictions[target] = _boost(train, train_labels, val, val_labels, test, trees)
    task.progress("boosted", len(task.targets), len(task.targets))
    return predictions


def _boost(
    train: Matrix, train_labels: Floats, val: Matrix, val_labels: Floats, test: Matrix, trees: int
) -> Floats:
    labelled, val_labelled = ~np.isnan(train_labels), ~np.isnan(val_labels)
    share = float(train_labels[labelled].mean()) if labelled.any() else 0.5
    if share in (0.0, 1.0) or not labelled.any():
        return np.full(len(test), share)
    model = _classifier(trees).fit(train[labelled], train_labels[labelled].astype(np.int8))
    constant = _log_loss(val_labels[val_labelled], np.full(int(val_labelled.sum()), share))
    stages = model.staged_predict_proba(val[val_labelled]) if val_labelled.any() else ()
    losses = [constant, *(_log_loss(val_labels[val_labelled], p[:, 1]) for p in stages)]
    best = int(np.argmin(losses))
    if best == 0:
        return np.full(len(test), share)
    staged = model.staged_predict_proba(test)
    best_stage = next(p for stage, p in enumerate(staged, start=1) if stage == best)
    return np.asarray(best_stage[:, 1], np.float64)


def _classifier(trees: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=trees,
        learning_rate=0.05,
        max_depth=3,
        min_samples_leaf=SMALLEST_LEAF,
        early_stopping=False,
        random_state=0,
    )


def _log_loss(labels: Floats, p: Floats) -> float:
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return float(-np.mean(labels * np.log(p) + (1 - labels) * np.log1p(-p))) if len(labels) else 0.0
