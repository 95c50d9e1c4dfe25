"""The images that are timed, and which stored predictions belong to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.cohort.cohort import Cohort
from bench.cohort.images import read_batches
from bench.errors import BenchError
from bench.timing.inputs import calibration_inputs, timed_inputs
from tests.runtime.models import SIZE, manifest, tiny_cohort

PARTS = np.array(["train", "test", "val", "test"] * 10)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    whole = tiny_cohort(tmp_path_factory.mktemp("cohort") / "c", 40)
    return replace(whole, split=replace(whole.split, parts=PARTS))


def pixels(cohort: Cohort, rows: np.ndarray) -> np.ndarray:
    return np.concatenate(list(read_batches(cohort, rows, SIZE, SIZE, 50)))[:, None] / np.float32(255)


@pytest.mark.parametrize("track", ["holdout", "cv5"])
@pytest.mark.parametrize("images", [1, 7, 20, 500])
def test_images_and_predictions_are_those_of_the_same_test_rows(
    cohort: Cohort, track: str, images: int
) -> None:
    on_track = manifest().model_copy(update={"track": track})
    rows = np.arange(40) if track == "cv5" else cohort.rows("test")
    stored = {"a": rows / 100, "b": rows / 50}
    inputs = timed_inputs(on_track, cohort, stored, images)
    assert inputs.images == min(images, 20)
    assert inputs.stored is not None
    chosen = np.rint(inputs.stored["a"] * 100).astype(int)
    assert set(chosen) <= set(cohort.rows("test"))
    np.testing.assert_allclose(inputs.stored["b"], chosen / 50)
    np.testing.assert_allclose(inputs.arrays["image"], pixels(cohort, chosen), atol=1e-6)
    np.testing.assert_array_equal(inputs.labels["a"], cohort.targets["a"][chosen])
    assert len(set(chosen)) == len(chosen)
    if images == 7:
        assert (chosen[0], chosen[-1]) == (1, 39)


def test_only_scores_that_are_no_probabilities_have_a_span(cohort: Cohort) -> None:
    stored = {"a": np.linspace(0, 1, 20), "cm": np.linspace(2, 5, 20), "b": np.full(20, 0.3)}
    probabilities = manifest({"a": "s:0", "b": "s:1", "cm": "s:2"})
    assert timed_inputs(probabilities, cohort, stored, 4).spans == {"cm": pytest.approx(3)}
    free = probabilities.model_copy(update={"scores": "uncalibrated"})
    assert timed_inputs(free, cohort, stored, 4).spans == {"a": 1.0, "cm": pytest.approx(3), "b": 1.0}


def test_calibration_never_sees_a_test_image(cohort: Cohort) -> None:
    images = calibration_inputs(manifest(), cohort, 6)["image"]
    assert len(images) == 6
    train = pixels(cohort, cohort.rows("train"))
    for image in images:
        assert (np.abs(train - image).max(axis=(1, 2, 3)) < 1e-6).any()


def test_random_pixels_take_the_place_of_absent_images_alone(tmp_path: Path) -> None:
    cohort = tiny_cohort(tmp_path / "c", 6)
    (tmp_path / "c" / "images" / "i003.png").unlink()
    with pytest.raises(BenchError) as caught:  # one that is missing is an error
        timed_inputs(manifest(), cohort, None, 6)
    assert caught.value.problems[0].code == "images-unreadable"
    (tmp_path / "c" / "images").rename(tmp_path / "c" / "elsewhere")
    with_table = manifest({"a": "s"}, age="years", sex="male")
    inputs = timed_inputs(with_table, cohort, {"a": np.zeros(6)}, 4)
    assert (inputs.kind, inputs.stored, inputs.images) == ("random pixels", None, 4)
    assert {name: array.shape for name, array in inputs.arrays.items()} == {
        "image": (4, 1, SIZE, SIZE),
        "years": (4, 1),
        "male": (4, 1),
    }
