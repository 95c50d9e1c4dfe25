"""The AUROC of out-of-fold predictions: the mean over folds, since five models' scores share no scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import influence
from bench.metrics.checks import Floats, share
from bench.metrics.discrimination import area
from bench.metrics.ladder import Ladder
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.intervals import Estimate, satterthwaite, t_interval, with_warnings
from bench.uncertainty.replicates import auroc_replicates


def fold_averaged_auroc(
    y: ArrayLike, score: ArrayLike, fold: ArrayLike, bootstrap: PatientBootstrap, *, level: float = 0.95
) -> tuple[Estimate, Floats]:
    """Mean of the AUROC within each fold, every fold counting the same, with its logit-t interval.

    The folds' influences are disjoint, so that all patients carry the one estimate; folds stay as they are in
    every replicate.

    Args:
        y: (n,) 0/1 labels, rows as in the bootstrap.
        score: (n,) finite scores; compared within a fold only.
        fold: (n,) the fold of every image, whole numbers; a patient's images are all in one.
        bootstrap: The draws.
        level: Nominal coverage.

    Returns:
        The estimate, and (B,) replicates; nan where some fold of a replicate holds one class only.

    Raises:
        ValueError: Lengths differ, NaN, labels other than 0/1, a level outside (0, 1).
    """
    whole = bootstrap.sample(y)
    scores, folds = whole.scores(score), np.asarray(fold)
    if folds.shape != scores.shape:
        raise ValueError(f"fold has shape {folds.shape}, y {scores.shape}")
    names = np.unique(folds)
    nothing = np.full(bootstrap.replicates_count, np.nan)
    values, drawn, pairs, pull = [], [], [], np.zeros(len(scores))
    for name in names:
        rows = folds == name
        sample = bootstrap.select(rows).sample(whole.positive[rows])
        ladder = Ladder.of(sample.positive, scores[rows])
        value = area(ladder)
        if value is None:
            return Estimate(None, reason=f"fold {name} holds one class only"), nothing
        values.append(value)
        drawn.append(auroc_replicates(sample, ladder))
        pairs.append(ladder.positives * ladder.negatives)
        pull[rows] = influence.auroc(ladder) / len(names)
    if not values:
        return Estimate(None, reason="no images"), nothing
    replicates = np.mean(drawn, axis=0)
    df = satterthwaite(whole.by_patient(pull)[whole.present])
    margin = 0.5 / min(pairs)
    found = t_interval(float(np.mean(values)), replicates, df, "logit", margin, share(level, "level"))
    return with_warnings(found, whole.positive_patients), replicates
