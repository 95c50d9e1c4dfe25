"""A model's work, counted by hand and by running it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from bench.onnx.cost import UncountedError, model_cost
from bench.onnx.half_precision import cast_model
from tests.runtime.models import SIZE, build, busy_model, linear_model, value, with_age_and_sex
from tests.runtime.test_precision import conv_model

IMAGE = {"image": (1, SIZE, SIZE)}


def one(node: Any, shape: list[int], weights: dict[str, np.ndarray], free: str = "N") -> Any:
    return build([node], [value("x", [free, *shape])], [value("y", None)], weights)


def test_a_linear_model() -> None:
    cost = model_cost(linear_model(), IMAGE)
    assert cost.multiply_adds == SIZE * SIZE * 2
    assert cost.weight_bytes == 4 * SIZE * SIZE * 2
    assert cost.image_bytes == 4 * (SIZE * SIZE + 2)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(5, 9), st.sampled_from([1, 3]),
    st.integers(1, 2), st.integers(0, 1),
)  # fmt: skip
def test_convolutions_cost_what_a_loop_over_them_does(
    groups: int, per_group: int, outputs: int, size: int, kernel: int, stride: int, pad: int
) -> None:
    inputs, channels = groups * per_group, groups * outputs
    weight = np.zeros((channels, per_group, kernel, kernel), np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=groups, strides=[stride] * 2, pads=[pad] * 4)
    cost = model_cost(one(node, [inputs, size, size], {"w": weight}), {"x": (inputs, size, size)})
    positions = len(range(0, size + 2 * pad - kernel + 1, stride)) ** 2
    counted = sum(per_group * kernel * kernel for _ in range(channels) for _ in range(positions))
    assert cost.multiply_adds == counted
    assert cost.image_bytes == 4 * (inputs * size * size + channels * positions)


def test_transposed_convolutions_and_products() -> None:
    weight = np.zeros((3, 5, 2, 2), np.float32)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    assert model_cost(one(node, [3, 4, 4], {"w": weight}), {"x": (3, 4, 4)}).multiply_adds == 48 * 5 * 4
    gemm = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    assert model_cost(one(gemm, [7], {"w": np.zeros((9, 7), np.float32)}), {"x": (7,)}).multiply_adds == 63
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    cost = model_cost(one(product, [6, 7], {"w": np.zeros((7, 9), np.float32)}), {"x": (6, 7)})
    assert cost.multiply_adds == 6 * 7 * 9


def test_the_free_batch_counts_as_one_and_several_inputs_count() -> None:
    cost = model_cost(with_age_and_sex(), {**IMAGE, "years": (1,), "male": (1,)})
    assert cost.multiply_adds == 0
    assert cost.image_bytes == 4 * (SIZE * SIZE + 1 + 1 + 1)


def test_half_precision_halves_the_weights() -> None:
    whole = model_cost(conv_model(), IMAGE)
    half = model_cost(cast_model(conv_model(), "fp16")[0], IMAGE)
    assert half.multiply_adds == whole.multiply_adds == SIZE * SIZE * 8 * 9 + 16
    scales = 16  # the resize keeps its four in float32
    assert half.weight_bytes - scales == (whole.weight_bytes - scales) / 2
    assert half.image_bytes == whole.image_bytes


def test_work_that_the_graph_does_not_tell_is_not_guessed() -> None:
    with pytest.raises(UncountedError, match="Loop"):
        model_cost(busy_model(10, 4), IMAGE)
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Cast", ["where"], ["places"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["w", "places"], ["y"]),
    ]
    model = build(nodes, [value("x", ["N", 3])], [value("y", None)], {"w": np.zeros((1, 2), np.float32)})
    with pytest.raises(UncountedError, match="does not follow"):
        model_cost(model, {"x": (3,)})
