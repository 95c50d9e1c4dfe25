from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from baselines.api import LabelledImages, TrainingTask, UnlabelledImages
from baselines.methods import demographics, prevalence, shuffled
from baselines.methods.shuffled import exchanged_rows
from baselines.tabular.features import age_and_sex, male


def _people(count: int, seed: int, risk_by_age: float = 0.06) -> tuple[UnlabelledImages, np.ndarray]:
    """Patients with two images each, whose risk rises with age."""
    random = np.random.default_rng(seed)
    age = np.repeat(random.integers(18, 91, count), 2)
    sex = np.repeat(random.choice(["M", "F"], count), 2)
    risk = 1 / (1 + np.exp(-risk_by_age * (age - 75)))
    patients = np.repeat([f"{seed}-{k}" for k in range(count)], 2).astype(object)
    inputs = pd.DataFrame({"age": age.astype(str), "sex": sex}, dtype=object)
    labels = np.repeat(random.random(count) < risk[::2], 2).astype(float)
    return UnlabelledImages(np.arange(2 * count).astype(str).astype(object), patients, inputs, None), labels


def _task(train: int, test: int, seed: int = 0, **changes: object) -> tuple[TrainingTask, np.ndarray]:
    people, labels = _people(train, 1)
    unseen, truth = _people(test, 2)
    view = LabelledImages(people.images, people.patients, people.inputs, None, {"ill": labels})
    task = TrainingTask("c", ("ill",), (), "ill", (), view, view, unseen, seed, True, Path())
    return replace(task, **changes), truth  # type: ignore[arg-type]


def test_prevalence_is_the_share_of_known_labels():
    task, _ = _task(50, 20)
    task.train.labels["ill"][:40] = np.nan
    predicted = prevalence.run(task).predictions["ill"]
    assert predicted.shape == (40,)
    assert set(predicted) == {task.train.labels["ill"][40:].mean()}


def test_demographics_finds_the_risk_of_age():
    task, truth = _task(1000, 1000)
    predicted = demographics.run(task).predictions["ill"]
    assert roc_auc_score(truth, predicted) > 0.75
    assert abs(predicted.mean() - truth.mean()) < 0.04


def test_demographics_is_the_penalised_maximum_likelihood():
    """Against a general optimiser on the same features: age with bends, sex; ridge of strength 1."""
    task, _ = _task(150, 30)
    x, y = age_and_sex(task.train), task.train.labels["ill"]

    def features(raw: np.ndarray) -> np.ndarray:
        bends = [np.where(raw[:, 0] > bend, raw[:, 0] - bend, 0) / 10 for bend in (40, 60, 80)]
        return np.column_stack([(raw[:, 0] - 60) / 10, *bends, raw[:, 1], np.ones(len(raw))])

    def objective(beta: np.ndarray) -> float:
        z = features(x) @ beta
        return float(np.logaddexp(0, z).sum() - y @ z + 0.5 * beta[:5] @ beta[:5])

    beta = minimize(objective, np.zeros(6), method="BFGS", options={"gtol": 1e-8}).x
    expected = 1 / (1 + np.exp(-features(age_and_sex(task.test)) @ beta))
    np.testing.assert_allclose(demographics.run(task).predictions["ill"], expected, atol=2e-4)


def test_missing_and_impossible_ages_are_the_median():
    task, _ = _task(200, 4)
    median = float(np.median(age_and_sex(task.train)[:, 0]))
    task.test.inputs["age"] = ["", "411", str(median), "x", "-3", "nan", "", str(median)]
    task.test.inputs["sex"] = "F"
    predicted = demographics.run(task).predictions["ill"]
    np.testing.assert_allclose(predicted, predicted[2])


def test_one_class_is_predicted_as_it_is():
    task, _ = _task(30, 10)
    task.train.labels["ill"][:] = 0
    assert set(demographics.run(task).predictions["ill"]) == {0.0}


def test_codes_of_sex():
    view, _ = _people(3, 0)
    view.inputs["sex"] = ["M", " m", "Female", "F ", "", "O"]
    np.testing.assert_array_equal(male(view), [1, 1, 0, 0, np.nan, np.nan])


@pytest.mark.parametrize("seed", range(6))
def test_shuffled_labels_teach_nothing_however_strong_the_risk(seed: int):
    task, truth = _task(1500, 1500, seed=seed)
    predicted = shuffled.run(task).predictions["ill"]
    assert len(np.unique(predicted)) > 20
    assert abs(roc_auc_score(truth, predicted) - 0.5) < 0.06


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(0, 2**32))
def test_labels_are_exchanged_between_whole_patients(patients: list[int], seed: int):
    owners = np.array([f"p{k}" for k in patients], dtype=object)
    donors = exchanged_rows(owners, seed)
    given_by: dict[str, set[str]] = {}
    for owner, donor in zip(owners, owners[donors], strict=True):
        given_by.setdefault(owner, set()).add(donor)
    assert all(len(giver) == 1 for giver in given_by.values())
    assert set.union(*given_by.values()) == set(owners)
    assert len({frozenset(giver) for giver in given_by.values()}) == len(given_by)
    for patient in set(owners):  # no label is used twice before each was used once
        rows = donors[owners == patient]
        available = int((owners == owners[rows[0]]).sum())
        assert len(set(rows)) == min(len(rows), available)
