"""Precision transforms: half precision and int8 as graphs that are checked, run and hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bench.errors import BenchError
from bench.files import sha256_file
from bench.onnx.half_precision import cast_model, tensor_types
from bench.runtime.precision import convert
from tests.runtime.models import SIZE, build, busy_model, linear_model, linear_weights, save, value

IMAGES = np.random.default_rng(0).random((6, 1, SIZE, SIZE)).astype(np.float32)
IMAGE = value("image", ["N", 1, SIZE, SIZE])
SCORES = value("scores", ["N", 2])


def run(model: Any, images: np.ndarray = IMAGES) -> np.ndarray:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": images})[0])


def conv_model(opset: int = 18) -> onnx.ModelProto:
    """Convolution, batch normalisation, resize by a constant, pool, bias from a Constant node, product."""
    generator = np.random.default_rng(3)
    weights = {
        "k": generator.normal(0, 0.3, (8, 1, 3, 3)).astype(np.float32),
        "gamma": np.linspace(0.5, 1.5, 8, dtype=np.float32),
        "beta": np.linspace(-0.1, 0.1, 8, dtype=np.float32),
        "mean": np.zeros(8, np.float32),
        "var": np.ones(8, np.float32),
        "sizes": np.array([1, 1, 0.5, 0.5], np.float32),
        "fc": generator.normal(0, 0.3, (8, 2)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "k"], ["c"], pads=[1, 1, 1, 1], name="conv"),
        helper.make_node("BatchNormalization", ["c", "gamma", "beta", "mean", "var"], ["b"], name="norm"),
        helper.make_node("Relu", ["b"], ["r"], name="relu"),
        helper.make_node("Resize", ["r", "", "sizes"], ["half"], mode="nearest", name="resize"),
        helper.make_node("GlobalAveragePool", ["half"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("MatMul", ["f", "fc"], ["linear"], name="product"),
        helper.make_node("Constant", [], ["bias"], value_floats=[0.25, -0.25], name="bias"),
        helper.make_node("Add", ["linear", "bias"], ["scores"], name="add"),
    ]
    return build(nodes, [IMAGE], [SCORES], weights, opset=opset)


def test_half_precision_keeps_float32_at_both_ends_and_the_answer() -> None:
    original = conv_model()
    before = original.SerializeToString()
    cast, clipped = cast_model(original, "fp16")
    assert original.SerializeToString() == before
    assert clipped == 0
    assert [v.type.tensor_type.elem_type for v in (*cast.graph.input, *cast.graph.output)] == [
        TensorProto.FLOAT
    ] * 2
    difference = np.abs(run(cast) - run(original)).max()
    assert 0 < difference < 2e-3
    kinds = {t.name: t.data_type for t in cast.graph.initializer}
    assert kinds.pop("sizes") == TensorProto.FLOAT  # Resize takes its scales in float32 alone
    assert set(kinds.values()) == {TensorProto.FLOAT16}
    types = tensor_types(cast)
    assert types["float16"] == 10
    assert types["float"] == 1


def test_bfloat16_weights_are_the_nearest_and_the_graph_is_valid() -> None:
    cast, _ = cast_model(conv_model(), "bf16")
    (kernel,) = (t for t in cast.graph.initializer if t.name == "k")
    original = numpy_helper.to_array(conv_model().graph.initializer[0])
    expected = original.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(numpy_helper.to_array(kernel).view(np.uint16), expected.view(np.uint16))
    assert tensor_types(cast)["bfloat16"] == 10
    assert {entry.version for entry in cast.opset_import if not entry.domain} == {22}


def test_weights_beyond_the_range_are_clipped_and_counted() -> None:
    model = linear_model()
    weights = linear_weights()
    weights[:3, 0] = [1e6, -1e7, np.inf]
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    cast, clipped = cast_model(model, "fp16")
    assert clipped == 2
    found = numpy_helper.to_array(cast.graph.initializer[0])
    np.testing.assert_array_equal(found[:3, 0], [65504, -65504, np.inf])
    assert cast_model(model, "bf16")[1] == 0


def test_nested_graphs_are_cast_too() -> None:
    model = busy_model(5, 4)
    cast, _ = cast_model(model, "fp16")
    np.testing.assert_allclose(run(cast), run(model), atol=0.02)
    (loop,) = (node for node in cast.graph.node if node.op_type == "Loop")
    kinds = {
        v.name: v.type.tensor_type.elem_type
        for v in (*loop.attribute[0].g.input, *loop.attribute[0].g.output)
    }
    assert kinds == {
        "i": TensorProto.INT64,
        "go": TensorProto.BOOL,
        "state": TensorProto.FLOAT16,
        "go_on": TensorProto.BOOL,
        "next": TensorProto.FLOAT16,
    }


def test_functions_are_unfolded() -> None:
    body = [
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Mul", ["x", "two"], ["y"]),
    ]
    function = helper.make_function("local", "Double", ["x"], ["y"], body, [helper.make_opsetid("", 18)])
    nodes = [
        helper.make_node("Flatten", ["image"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("Double", ["m"], ["scores"], domain="local"),
    ]
    model = build(
        nodes, [IMAGE], [SCORES], {"w": linear_weights()}, functions=(function,), domains=("local",)
    )
    cast, _ = cast_model(model, "fp16")
    assert not cast.functions
    np.testing.assert_allclose(run(cast), run(model), atol=0.02)


def test_an_output_that_others_read_too() -> None:
    nodes = [
        helper.make_node("Flatten", ["image"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"]),
    ]
    outputs = [SCORES, value("shares", ["N", 2])]
    model = build(nodes, [IMAGE], outputs, {"w": linear_weights()})
    cast, _ = cast_model(model, "fp16")
    assert [v.name for v in cast.graph.output] == ["scores", "shares"]
    np.testing.assert_allclose(run(cast), run(model), atol=0.02)


def test_whole_numbers_and_their_casts() -> None:
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["sizes"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["sizes"], ["level"], keepdims=0),
        helper.make_node(
            "ConstantOfShape", ["two"], ["ones"], value=numpy_helper.from_array(np.ones(1, np.float32))
        ),
        helper.make_node("Flatten", ["image"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("Add", ["m", "level"], ["n"]),
        helper.make_node("Add", ["n", "ones"], ["scores"]),
    ]
    model = build(nodes, [IMAGE], [SCORES], {"w": linear_weights(), "two": np.array([2], np.int64)})
    cast, _ = cast_model(model, "fp16")
    np.testing.assert_allclose(run(cast), run(model), atol=0.05)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31), st.sampled_from(["Relu", "Sigmoid", "Tanh", "Softplus", "Elu", "Identity", "Neg"])
)
def test_any_small_network_survives_in_half_precision(seed: int, activation: str) -> None:
    generator = np.random.default_rng(seed)
    weights = {
        "w1": generator.normal(0, 0.05, (SIZE * SIZE, 7)).astype(np.float32),
        "w2": generator.normal(0, 0.5, (7, 2)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Flatten", ["image"], ["f"]),
        helper.make_node("MatMul", ["f", "w1"], ["h"]),
        helper.make_node(activation, ["h"], ["a"]),
        helper.make_node("MatMul", ["a", "w2"], ["scores"]),
    ]
    model = build(nodes, [IMAGE], [SCORES], weights)
    cast, _ = cast_model(model, "fp16")
    np.testing.assert_allclose(run(cast), run(model), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_single_precision_is_the_file_itself(tmp_path: Path, precision: str) -> None:
    path = save(linear_model(), tmp_path / "m.onnx")
    done = convert(path, precision, tmp_path)
    assert (done.path, done.facts) == (path, {})


def test_a_conversion_is_recorded_and_repeatable(tmp_path: Path) -> None:
    path = save(conv_model(), tmp_path / "m.onnx")
    done = convert(path, "fp16", tmp_path)
    assert done.facts["transform"] == "cast-fp16/1"
    assert done.facts["transformed_sha256"] == sha256_file(done.path) != sha256_file(path)
    assert done.facts["clipped_weights"] == 0
    assert done.facts["tensor_types"] == {"float": "1", "float16": "10"}
    (tmp_path / "again").mkdir()
    assert convert(path, "fp16", tmp_path / "again").facts == done.facts


def test_int8_quantises_convolutions_and_products(tmp_path: Path) -> None:
    path = save(conv_model(), tmp_path / "m.onnx")
    done = convert(path, "int8", tmp_path, {"image": IMAGES})
    assert done.facts["calibration_images"] == 6
    model = onnx.load(done.path)
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("QuantizeLinear") >= 2
    stored = {t.name: t for t in model.graph.initializer}
    quantised = [t for t in stored.values() if t.data_type == TensorProto.INT8 and len(t.dims) > 1]
    assert len(quantised) == 2
    scales = [t for name, t in stored.items() if name.startswith("k") and name.endswith("scale")]
    assert list(scales[0].dims) == [8]  # one scale for each channel
    assert np.abs(run(model) - run(conv_model())).max() < 0.1
    data = done.facts["tensor_types"]
    assert isinstance(data, dict)
    assert int(data["int8"]) > 0


def test_a_graph_that_does_not_survive_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(BenchError) as caught:
        convert(path, "fp16", tmp_path)
    assert caught.value.problems[0].code == "precision-failed"
    assert str(tmp_path) not in caught.value.problems[0].message
