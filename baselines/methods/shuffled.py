"""Negative control: labels permuted between training patients.

The classifier is a tree with a separate value for each age and sex, which learns independent noise. A smooth
model of age, fitted on permuted labels, would order test images by age in a random direction and score far
above or below 0.5.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from baselines.api import Baseline, Result, TrainingTask
from baselines.describe import describe
from baselines.tabular.features import age_and_sex
from baselines.tabular.fit import fit_each_target
from bench.cohort.split import Strings

DESCRIPTION = (
    "A control that must score about 0.5: the labels of whole training patients are exchanged at random, "
    "then a tree learns them from age and sex. A higher score would mean that test labels leak."
)


def run(task: TrainingTask) -> Result:
    """Permute the labels and fit a tree."""
    donors = exchanged_rows(task.train.patients, task.seed)
    labels = {target: values[donors] for target, values in task.train.labels.items()}
    control = replace(task, train=replace(task.train, labels=labels))
    train, test = age_and_sex(task.train), age_and_sex(task.test)
    fill = np.nan_to_num(np.nanmedian(np.vstack([train, np.zeros((1, 2))]), axis=0))
    train, test = (np.where(np.isnan(x), fill, x) for x in (train, test))
    predictions = fit_each_target(control, train, test, _classifier)
    return Result(describe(task, "Shuffled labels", DESCRIPTION, ("age", "sex")), predictions)


def exchanged_rows(patients: Strings, seed: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Permute patients and return, for each row (n,), the row whose labels it gets.

    The k-th image of a patient gets the label of the other patient's k-th image, modulo its number of images,
    so that images of one patient stay correlated.
    """
    _, owner = np.unique(patients.astype(str), return_inverse=True)
    order = np.argsort(owner, kind="stable")
    sizes = np.bincount(owner)
    starts = np.cumsum(sizes) - sizes
    donor = np.random.default_rng(seed).permutation(len(sizes))[owner[order]]
    within = np.arange(len(order)) - np.repeat(starts, sizes)
    rows = np.empty(len(order), np.intp)
    rows[order] = order[starts[donor] + within % sizes[donor]]
    return rows


def _classifier() -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(random_state=0)


BASELINE = Baseline(
    "shuffled", "a control: patients' labels exchanged", run, needs_inputs=("age", "sex"), quick=True
)
