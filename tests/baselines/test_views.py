from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.api import Baseline, TrainingTask, UnlabelledImages
from baselines.networks.tensors import load_arrays
from baselines.registry import find_baseline
from baselines.run import check_needs, run_baseline
from baselines.views import make_task
from bench.cohort.cohort import Cohort
from bench.cohort.image_cache import build_cache, open_cache
from bench.cohort.load import load_cohort
from bench.cohort.split import FOLDS
from bench.errors import BenchError
from bench.progress import silent
from tests.baselines.conftest import PLANTED, spec_of, write_tiny


def _never(task: TrainingTask) -> object:
    raise AssertionError("is not to be run")


WITH_PIXELS = Baseline("test", "for tests", _never, needs_images=True)  # type: ignore[arg-type]


def _task(cohort: Cohort, folder: Path = Path(), fold: int | None = None) -> TrainingTask:
    return make_task(cohort, WITH_PIXELS, seed=0, quick=True, folder=folder, fold=fold)


def _failure(cohort: Cohort, folder: Path, name: str = "demographics") -> BenchError:
    with pytest.raises(BenchError) as caught:
        run_baseline(name, cohort, folder / "run")
    return caught.value


def test_no_label_can_be_reached_from_the_test_images(tiny: Cohort):
    """All that can be reached from a view is what its pickle holds."""
    task = _task(tiny)
    reachable = pickle.dumps(task.test)
    assert PLANTED.encode() not in reachable
    rows = tiny.rows("test")
    for target, labels in tiny.targets.items():
        assert labels[rows].tobytes() not in reachable, target
    assert not hasattr(task.test, "labels")
    assert type(task.test) is UnlabelledImages
    assert set(task.test.inputs.columns) == set(tiny.spec.columns.inputs)


def test_the_search_for_labels_would_find_them(tiny: Cohort, tiny_folder: Path):
    """A control for the test above: labels where they belong, and a planted column let through."""
    assert tiny.targets["large"][tiny.rows("train")].tobytes() in pickle.dumps(_task(tiny).train)
    declared = spec_of(lambda text: text.replace('year = "year"', 'year = "planted"'))
    careless = load_cohort(declared, tiny_folder)
    assert PLANTED.encode() in pickle.dumps(_task(careless).test)


def test_views_hold_copies(tiny: Cohort):
    task = _task(tiny)
    task.train.labels["large"][:] = 7
    task.test.inputs.loc[:, "age"] = "999"
    assert not (tiny.targets["large"] == 7).any()
    assert not (tiny.table["age"] == "999").any()


@pytest.mark.parametrize("fold", [None, *range(FOLDS)])
def test_no_patient_is_in_two_views(tiny: Cohort, fold: int | None):
    task = _task(tiny, fold=fold)
    groups = [set(view.patients) for view in (task.train, task.val, task.test)]
    assert all(groups)
    assert len(set.union(*groups)) == sum(map(len, groups)) == 80


def test_folds_predict_every_image_once(tiny: Cohort):
    predicted = np.concatenate([_task(tiny, fold=fold).test.images for fold in range(FOLDS)])
    assert sorted(predicted) == sorted(tiny.images)


@pytest.mark.parametrize("fold", [None, 2])
def test_copies_never_straddle_what_is_fitted_and_what_is_judged(tiny: Cohort, fold: int | None):
    whole = _task(tiny, fold=fold)
    row = {image: k for k, image in enumerate(tiny.images)}
    train, val, test = ([row[i] for i in view.images] for view in (whole.train, whole.val, whole.test))
    copies = (
        (train[0], train[1]),  # among those fitted: may stay
        (train[2], test[0]),
        (val[0], test[1]),
        (train[3], val[1]),
        (train[4], val[2], test[2]),
    )
    apart = make_task(tiny, WITH_PIXELS, seed=0, quick=True, folder=Path(), fold=fold, copies=copies)
    left = [[row[i] for i in view.images] for view in (apart.train, apart.val, apart.test)]
    assert left[0] == [k for k in train if k not in train[2:5]]
    assert left[1] == [k for k in val if k not in (val[0], val[2])]
    assert left[2] == test
    assert len(apart.train.labels["large"]) == len(apart.train) == len(train) - 3


def test_a_view_that_predicts_val_too_has_none_of_its_labels(tiny: Cohort):
    task = make_task(tiny, WITH_PIXELS, seed=0, quick=True, folder=Path(), predict_val=True)
    assert list(task.test.images) == [*tiny.images[tiny.rows("test")], *tiny.images[tiny.rows("val")]]
    reachable = pickle.dumps(task.test)
    for target, labels in tiny.targets.items():
        assert labels[tiny.rows("val")].tobytes() not in reachable, target


def test_pixels_come_in_the_order_of_the_view(tiny: Cohort):
    view = _task(tiny).test
    batches = list(view.pixels(48, 48, batch=7))
    assert sum(map(len, batches)) == len(view)
    wide = np.concatenate(batches)[:, 24].astype(float).mean(1)  # a wider heart brightens the middle line
    width = tiny.targets["width"][tiny.rows("test")]
    assert np.corrcoef(wide, width)[0, 1] > 0.9


def test_a_cache_gives_what_the_files_give(tiny: Cohort, tmp_path: Path):
    build_cache(tiny, tmp_path, height=32, width=32)
    cache = open_cache(tiny, tmp_path, height=32, width=32)
    files = _task(tiny)
    cached = make_task(tiny, WITH_PIXELS, seed=0, quick=True, folder=tmp_path, cache=cache)
    for one, other in ((files.train, cached.train), (files.test, cached.test)):
        for side in (32, 24):
            expected = np.concatenate(list(one.pixels(side, side)))
            np.testing.assert_array_equal(np.concatenate(list(other.pixels(side, side))), expected)
        decoded = load_arrays(other, 32, (), (), silent, "")
        at = [5, 0, 3]
        for found, wanted in zip(
            decoded.__getitems__(at), load_arrays(one, 32, (), (), silent, "").__getitems__(at), strict=True
        ):
            assert torch.equal(found, wanted)
    assert not isinstance(load_arrays(cached.test, 32, (), (), silent, "").pixels, np.ndarray)
    assert PLANTED.encode() not in pickle.dumps(cached.test)


def test_val_is_drawn_from_training_patients_where_the_split_has_none(tiny_folder: Path):
    without = spec_of(lambda text: text.replace("val = 0.2", "val = 0.0"))
    cohort = load_cohort(without, tiny_folder)
    task = _task(cohort)
    assert len(cohort.rows("val")) == 0 < len(task.val) < len(task.train)
    assert not set(task.val.patients) & set(task.train.patients)
    assert len(task.val) + len(task.train) == len(cohort.rows("train"))


def test_a_cohort_of_tests_alone_cannot_train(tiny_folder: Path, tmp_path: Path):
    rule = 'rule = "hash"\nsalt = "tiny"\ntest = 0.25\nval = 0.2'
    cohort = load_cohort(spec_of(lambda text: text.replace(rule, 'rule = "all-test"')), tiny_folder)
    error = _failure(cohort, tmp_path)
    assert [p.code for p in error.problems] == ["baseline-no-training"]
    assert "0 training and 160 test images" in error.problems[0].message
    assert error.exit_code == 1


def test_a_label_declared_as_input_is_refused(tiny_folder: Path, tmp_path: Path):
    cohort = load_cohort(spec_of(lambda text: text.replace('year = "year"', 'year = "width"')), tiny_folder)
    error = _failure(cohort, tmp_path)
    assert [p.code for p in error.problems] == ["baseline-label-input"]
    assert "year" in error.problems[0].message


def test_missing_inputs_are_named(tiny_folder: Path, tmp_path: Path):
    cohort = load_cohort(spec_of(lambda text: text.replace('age = "age", ', "")), tiny_folder)
    error = _failure(cohort, tmp_path)
    assert [(p.code, error.exit_code) for p in error.problems] == [("baseline-input-missing", 1)]
    assert "age" in error.problems[0].message


def test_missing_image_folder(tiny_folder: Path, tmp_path: Path):
    cohort = load_cohort(spec_of(lambda text: text.replace('"images"', '"elsewhere"')), tiny_folder)
    error = _failure(cohort, tmp_path, "cnn-small")
    assert [(p.code, error.exit_code) for p in error.problems] == [("images-folder-missing", 3)]


def test_damaged_and_missing_images(tmp_path: Path):
    write_tiny(tmp_path, patients=20)
    cohort = load_cohort(spec_of(), tmp_path)
    view = _task(cohort).train
    path = tmp_path / "images" / str(view.images[0])
    for damage in (lambda: path.write_bytes(path.read_bytes()[:200]), path.unlink):
        damage()
        with pytest.raises(BenchError) as caught:
            list(view.pixels(48, 48))
        assert (caught.value.problems[0].code, caught.value.exit_code) == ("images-unreadable", 3)
        assert str(view.images[0]) not in str(caught.value)


def test_missing_packages_name_the_extra(tiny: Cohort, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("baselines.run.find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(BenchError) as caught:
        check_needs(find_baseline("cnn-small"), tiny)
    problem = caught.value.problems[0].as_dict()
    assert (problem["code"], caught.value.exit_code) == ("baseline-extra-missing", 3)
    assert "torch" in problem["message"]
    assert "chexchobench[baselines]" in problem["remedy"]


def test_pixels_need_to_be_declared(tiny: Cohort):
    task = make_task(tiny, Baseline("x", "", _never), seed=0, quick=True, folder=Path())  # type: ignore[arg-type]
    with pytest.raises(LookupError, match="needs_images"):
        next(task.test.pixels(8, 8))
