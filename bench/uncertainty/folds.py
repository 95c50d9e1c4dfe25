"""Fold-averaged AUROC of out-of-fold predictions; the scores of five models share no scale."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import influence
from bench.metrics.discrimination import area
from bench.metrics.score_ranking import ScoreRanking
from bench.metrics.validation import Floats, check_level
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.intervals import Estimate, satterthwaite, t_interval, with_warnings
from bench.uncertainty.ranking import auroc_replicates


@dataclass(frozen=True, slots=True)
class FoldAverage:
    """A fold-averaged AUROC with the replicates and influences by which entries are compared.

    Attributes:
        estimate: The mean over folds, with its interval.
        replicates: (B,) the mean in every replicate; nan where some fold of it holds one class only.
        influence: (patients with rows,) influence of every patient on the mean; nan where it is undefined.
    """

    estimate: Estimate
    replicates: Floats = field(repr=False)
    influence: Floats = field(repr=False)


def fold_averaged_auroc(
    y: ArrayLike, score: ArrayLike, fold: ArrayLike, bootstrap: PatientBootstrap, *, level: float = 0.95
) -> FoldAverage:
    """Estimate the mean of the AUROCs within folds, each fold with equal weight, with its logit-t interval.

    A patient is in one fold, so the patient's influence on the mean over K folds is the influence on the
    AUROC of that fold divided by K. Folds stay as they are in every replicate.

    Args:
        y: (n,) 0/1 labels, rows as in the bootstrap.
        score: (n,) finite scores; compared within a fold only.
        fold: (n,) the fold of every image, whole numbers; a patient's images are all in one.
        bootstrap: The draws.
        level: Nominal coverage.

    Raises:
        ValueError: Lengths differ, NaN, labels other than 0/1, a level outside (0, 1).
    """
    whole, averaged = bootstrap.sample(y), _by_fold(y, score, fold, bootstrap)
    if averaged.value is None:
        return FoldAverage(Estimate(None, reason=averaged.reason), averaged.replicates, averaged.influence)
    df = satterthwaite(averaged.influence)
    level = check_level(level, "level")
    interval = t_interval(
        averaged.value,
        averaged.replicates,
        df,
        "logit",
        averaged.margin,
        level,
        clusters=whole.smaller_class,
        bounds=(0, 1),
    )
    estimate = with_warnings(interval, whole.positive_patients)
    return FoldAverage(estimate, averaged.replicates, averaged.influence)


def compare_fold_averaged(
    y: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    fold: ArrayLike,
    bootstrap: PatientBootstrap,
    *,
    level: float = 0.95,
) -> Estimate:
    """Estimate the paired difference a - b of two fold-averaged AUROCs; see `fold_averaged_auroc`."""
    first, second = (_by_fold(y, score, fold, bootstrap) for score in (a, b))
    if first.value is None or second.value is None:
        return Estimate(None, reason=first.reason or second.reason)
    df = satterthwaite(first.influence - second.influence)
    differences = first.replicates - second.replicates
    return t_interval(
        first.value - second.value,
        differences,
        df,
        level=check_level(level, "level"),
        clusters=len(first.influence),
        bounds=(-1, 1),
    )


@dataclass(frozen=True, slots=True)
class _Averaged:
    """A fold-averaged AUROC with its (B,) replicates, the patients' influences, and the least 0.5 / (M·N)."""

    value: float | None
    replicates: Floats
    influence: Floats
    margin: float
    reason: str = ""


def _by_fold(y: ArrayLike, score: ArrayLike, fold: ArrayLike, bootstrap: PatientBootstrap) -> _Averaged:
    whole = bootstrap.sample(y)
    scores, folds = whole.scores(score), np.asarray(fold)
    if folds.shape != scores.shape:
        raise ValueError(f"fold has shape {folds.shape}, y {scores.shape}")
    names = np.unique(folds)
    influences, nothing = np.zeros(len(scores)), np.full(bootstrap.replicates_count, np.nan)
    undefined = np.full(int(np.count_nonzero(whole.present)), np.nan)
    values, replicates, pairs = [], [], []
    for name in names:
        rows = folds == name
        sample = bootstrap.select(rows).sample(whole.positive[rows])
        ranking = ScoreRanking.of(sample.positive, scores[rows])
        value = area(ranking)
        if value is None:
            return _Averaged(None, nothing, undefined, 0.0, f"fold {name} holds one class only")
        values.append(value)
        replicates.append(auroc_replicates(sample, ranking))
        pairs.append(ranking.positives * ranking.negatives)
        influences[rows] = influence.auroc(ranking) / len(names)
    if not values:
        return _Averaged(None, nothing, undefined, 0.0, "no images")
    patients = whole.by_patient(influences)[whole.present]
    return _Averaged(float(np.mean(values)), np.mean(replicates, axis=0), patients, 0.5 / min(pairs))
