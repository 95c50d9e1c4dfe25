from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from baselines.api import TrainingTask
from baselines.methods import metadata
from baselines.registry import find_baseline
from baselines.run import run_baseline
from baselines.tabular.boosting import boost_each_target
from baselines.views import make_task
from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.errors import BenchError
from tests.baselines.conftest import spec_of
from tests.baselines.test_null_family import _task


def _features(count: int, seed: int, informative: bool) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 2))
    bump = np.exp(-(x[:, 0] ** 2)) * 4 - 2  # no straight line has this shape
    y = (random.random(count) < 1 / (1 + np.exp(-bump))).astype(float)
    return (x, y) if informative else (x, random.permutation(y))


def _with(labels: np.ndarray, val: np.ndarray, task: TrainingTask) -> TrainingTask:
    train = replace(task.train, labels={"ill": labels})
    return replace(task, train=train, val=replace(task.val, labels={"ill": val}))


def test_boosting_finds_a_relation_that_is_not_linear():
    task, _ = _task(10, 10)
    (train, y), (val, v), (test, t) = (_features(1500, seed, True) for seed in range(3))
    y[:10] = np.nan
    p = boost_each_target(_with(y, v, task), train, val, test)["ill"]
    assert roc_auc_score(t, p) > 0.75
    assert log_loss(t, p) < log_loss(t, np.full(len(t), t.mean())) - 0.1


def test_val_chooses_no_tree_where_there_is_nothing_to_learn():
    task, _ = _task(10, 10)
    (train, y), (test, _) = (_features(400, seed, False) for seed in (1, 2))
    p = boost_each_target(_with(y, 1 - y, task), train, train, test)["ill"]
    assert set(p) == {y.mean()}


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class(label: float):
    task, _ = _task(10, 10)
    train, y = _features(50, 0, True)
    p = boost_each_target(_with(np.full(50, label), y, task), train, train, train)["ill"]
    assert set(p) == {label}


def test_metadata_reads_no_age_and_no_sex(tiny: Cohort, tmp_path: Path):
    task = make_task(tiny, find_baseline("metadata"), seed=0, quick=True, folder=tmp_path)
    expected = metadata.run(task)
    assert expected.manifest.inputs == ("year", "device")
    task.train.inputs["age"], task.test.inputs["sex"] = "50", "M"
    for target, values in metadata.run(task).predictions.items():
        np.testing.assert_array_equal(values, expected.predictions[target])


def test_metadata_codes_words_by_their_training_values():
    task, _ = _task(4, 2)
    task.train.inputs["view"] = ["PA", "AP"] * (len(task.train) // 2)
    task.test.inputs["view"] = ["AP", "LL", "", "PA"]
    train, _, test = metadata._coded(task, "view")
    np.testing.assert_array_equal(train, [1, 0] * 4)
    np.testing.assert_array_equal(test, [0, np.nan, np.nan, 1])


def test_metadata_needs_something_to_read(tiny_folder: Path, tmp_path: Path):
    bare = spec_of(lambda text: text.replace(', year = "year", device = "device"', ""))
    with pytest.raises(BenchError) as caught:
        run_baseline("metadata", load_cohort(bare, tiny_folder), tmp_path)
    assert caught.value.problems[0].code == "baseline-input-missing"
