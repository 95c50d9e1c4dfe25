"""Preprocessing as declared, ages and sexes from the table, and columns from a model's outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench.errors import BenchError
from bench.runtime.inputs import image_tensor, table_inputs
from bench.runtime.outputs import OutputSelector, picks_of, select
from bench.submission.manifest import ImageInput
from tests.runtime.models import SPEC, manifest, tiny_cohort


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 3), st.just(4), st.just(5))),
    st.floats(0.5, 300),
    st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    st.lists(st.floats(0.1, 4), min_size=3, max_size=3),
)
def test_each_channel_is_scaled_shifted_and_divided(
    pixels: np.ndarray, scale: float, mean: list[float], std: list[float]
) -> None:
    declared = ImageInput(
        name="x", height=4, width=5, channels=3, scale=scale, mean=tuple(mean), std=tuple(std)
    )
    tensor = image_tensor(pixels, declared)
    assert (tensor.shape, tensor.dtype) == ((len(pixels), 3, 4, 5), np.dtype(np.float32))
    assert tensor.flags.c_contiguous
    for n in range(len(pixels)):
        for c in range(3):
            expected = (pixels[n].astype(float) / scale - mean[c]) / std[c]
            np.testing.assert_allclose(tensor[n, c], expected, rtol=2e-6, atol=2e-4 / std[c])


def test_one_value_serves_all_channels_and_the_default_is_zero_to_one() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    grey = image_tensor(pixels, ImageInput(name="x", height=16, width=16))
    assert (grey.min(), grey.max(), grey.shape) == (0.0, 1.0, (1, 1, 16, 16))
    three = image_tensor(
        pixels, ImageInput(name="x", height=16, width=16, channels=3, mean=(0.5,), std=(0.25,))
    )
    np.testing.assert_allclose(three[0, 2], (grey[0, 0] - 0.5) / 0.25, atol=1e-6)


def test_age_and_sex_are_columns_with_male_one(tmp_path: Path) -> None:
    cohort = tiny_cohort(tmp_path / "c", 6, age="61.5")
    model = manifest({"a": "s"}, age="years", sex="male").model
    assert model is not None
    inputs = table_inputs(cohort, np.array([0, 1, 3]), model)
    assert inputs["years"].dtype == np.float32
    np.testing.assert_array_equal(inputs["years"], [[61.5]] * 3)
    np.testing.assert_array_equal(inputs["male"], [[1], [0], [0]])
    assert table_inputs(cohort, np.array([0]), manifest().model) == {}


@pytest.mark.parametrize(
    ("age", "sex", "count"), [("", "M", 6), ("old", "M", 6), ("50", "?", 3), ("nan", "x", 9)]
)
def test_ages_and_sexes_are_never_guessed(tmp_path: Path, age: str, sex: str, count: int) -> None:
    cohort = tiny_cohort(tmp_path / "c", 6, age=age, sex=sex)
    model = manifest({"a": "s"}, age="years", sex="male").model
    assert model is not None
    with pytest.raises(BenchError) as caught:
        table_inputs(cohort, np.arange(6), model)
    assert {p.code for p in caught.value.problems} == {"model-input-value"}
    assert sum(int(p.message.split()[0]) for p in caught.value.problems) == count


def test_only_binary_targets_get_the_sigmoid() -> None:
    model = manifest({"a": "s:0", "cm": "s:1"}).model
    assert model is not None
    assert picks_of(model, SPEC) == (OutputSelector("a", "s:0", True), OutputSelector("cm", "s:1", False))


def test_columns_are_picked_and_logits_become_probabilities() -> None:
    scores = np.array([[-1000, 2.0], [0.0, 3.0], [1000.0, 4.0]], np.float32)
    outputs = {"scores": scores, "flat": np.array([1.0, 2.0, 3.0])}
    picks = [
        OutputSelector("a", "scores:0", True),
        OutputSelector("b", "scores:1", False),
        OutputSelector("c", "flat", False),
    ]
    selected = select(outputs, picks, 3)
    np.testing.assert_array_equal(selected["a"], [0, 0.5, 1])
    np.testing.assert_array_equal(selected["b"], [2, 3, 4])
    np.testing.assert_array_equal(selected["c"], [1, 2, 3])
    assert all(column.dtype == np.float64 for column in selected.values())


@given(hnp.arrays(np.float64, 7, elements=st.floats(-30, 30)))
def test_the_sigmoid_is_that_of_its_definition(logits: np.ndarray) -> None:
    selected = select({"s": logits}, [OutputSelector("a", "s", True)], 7)["a"]
    np.testing.assert_allclose(selected, 1 / (1 + np.exp(-logits)), rtol=1e-14)


@pytest.mark.parametrize(
    ("output", "reference", "said"),
    [
        (np.zeros((3, 2)), "s", "2 columns"),
        (np.zeros((4, 2)), "s:0", "shape (4, 2) for 3 images"),
        (np.zeros((3, 2, 2)), "s:0", "shape (3, 2, 2)"),
        (np.zeros((3, 2)), "s:2", "shape (3, 2)"),
        (np.zeros(()), "s", "shape ()"),
        (np.zeros(3), "t", "no output 't' for a"),
    ],
)
def test_outputs_of_another_shape_are_refused(output: np.ndarray, reference: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        select({"s": output}, [OutputSelector("a", reference, False)], 3)
    assert said in str(caught.value)
