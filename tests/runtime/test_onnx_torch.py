"""The translation to PyTorch beside ONNX Runtime: every operator, whole networks, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from bench.environment import package_versions
from bench.onnx.half_precision import cast_model
from bench.runtime.backends.onnxruntime_cpu import OnnxRuntimeCpu
from bench.timing.measure import latencies, timed_batches
from tests.runtime.models import SIZE, build, cnn_model, linear_model, save, value, with_age_and_sex
from tests.timing.fakes import SHORT

torch = pytest.importorskip("torch")

from bench.onnx.to_torch import (  # noqa: E402
    OPERATORS,
    UnsupportedOperatorError,
    to_torch,
)
from bench.runtime.backends.torch import TorchBackend  # noqa: E402

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(0, 1, (3, 4, 9, 8)).astype(np.float32)
Y = (np.abs(GENERATOR.normal(0, 1, X.shape)) + 0.5).astype(np.float32)
TABLE = GENERATOR.normal(0, 1, (3, 6)).astype(np.float32)


def weights(*shape: int) -> np.ndarray:
    return GENERATOR.normal(0, 0.5, shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


CASES: list[tuple[str, list[np.ndarray], list[np.ndarray], dict[str, Any]]] = [
    *((name, [X], [], {}) for name in ("Abs", "Erf", "Exp", "HardSwish", "Identity", "Neg", "Relu")),
    *((name, [X], [], {}) for name in ("Sigmoid", "Tanh", "GlobalAveragePool", "GlobalMaxPool", "Flatten")),
    *((name, [X, Y], [], {}) for name in ("Add", "Div", "Mul", "Sub")),
    ("Sqrt", [Y], [], {}),
    ("Pow", [Y], [np.array(2.5, np.float32)], {}),
    ("Sum", [X, Y, X], [], {}),
    ("Gelu", [X], [], {}),
    ("Gelu", [X], [], {"approximate": "tanh"}),
    ("LeakyRelu", [X], [], {}),
    ("LeakyRelu", [X], [], {"alpha": 0.2}),
    ("Softmax", [X], [], {"axis": 1}),
    ("Softmax", [X], [], {}),
    ("Clip", [X], [np.array(-0.3, np.float32), np.array(0.4, np.float32)], {}),
    ("Concat", [X, Y], [], {"axis": 1}),
    ("Transpose", [X], [], {"perm": [0, 2, 3, 1]}),
    ("Reshape", [X], [ints(0, 2, -1)], {}),
    ("Reshape", [X], [ints(-1, 288)], {"allowzero": 1}),
    ("Unsqueeze", [TABLE], [ints(1, 3)], {}),
    ("Squeeze", [X[:, :1]], [ints(1)], {}),
    ("MatMul", [TABLE], [weights(6, 5)], {}),
    ("Gemm", [TABLE], [weights(6, 5), weights(5)], {}),
    ("Gemm", [TABLE], [weights(5, 6), weights(5)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", [TABLE], [weights(3, 5)], {"transA": 1}),
    ("LayerNormalization", [X], [weights(8), weights(8)], {"epsilon": 1e-3}),
    ("BatchNormalization", [X], [weights(4), weights(4), weights(4), np.abs(weights(4))], {"epsilon": 1e-3}),
    ("Conv", [X], [weights(6, 4, 3, 3)], {}),
    ("Conv", [X], [weights(6, 4, 3, 3), weights(6)], {"pads": [1, 1, 1, 1], "strides": [2, 1]}),
    ("Conv", [X], [weights(6, 4, 3, 2)], {"pads": [0, 1, 2, 0], "dilations": [2, 1]}),
    ("Conv", [X], [weights(8, 1, 3, 3)], {"group": 4}),
    ("MaxPool", [X], [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("MaxPool", [X - 9], [], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "ceil_mode": 1}),
    ("AveragePool", [X], [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("AveragePool", [X], [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    ("AveragePool", [X], [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    *((name, [X], [ints(2, 3)], {}) for name in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")),
    *((name, [X], [ints(-1)], {"keepdims": 0}) for name in ("ReduceMax", "ReduceMean")),
]


def one_node(
    operator: str, inputs: list[np.ndarray], stored: list[np.ndarray], attributes: dict[str, Any]
) -> tuple[Any, dict[str, np.ndarray]]:
    """A model of one operator with a free batch, and what goes in."""
    given = {f"x{i}": array for i, array in enumerate(inputs)}
    kept = {f"w{i}": np.asarray(array) for i, array in enumerate(stored)}
    node = helper.make_node(operator, [*given, *kept], ["y"], **attributes)
    declared = [value(name, ["N", *array.shape[1:]]) for name, array in given.items()]
    return build([node], declared, [value("y", None)], kept, opset=20), given


@pytest.mark.parametrize(("operator", "inputs", "stored", "attributes"), CASES)
def test_an_operator_gives_what_onnx_runtime_gives(
    operator: str, inputs: list[Any], stored: list[Any], attributes: dict[str, Any], tmp_path: Path
) -> None:
    model, given = one_node(operator, inputs, stored, attributes)
    expected = OnnxRuntimeCpu().prepare(save(model, tmp_path / "m.onnx"), "fp32", 3).infer(given)["y"]
    translated = to_torch(model).module(*(torch.from_numpy(array) for array in given.values()))[0].numpy()
    assert translated.shape == expected.shape
    np.testing.assert_allclose(translated, expected, rtol=2e-5, atol=2e-6)


def test_every_operator_is_tested() -> None:
    elsewhere = {"Cast", "IsNaN", "Where"}
    assert {case[0] for case in CASES} | elsewhere == set(OPERATORS)


def test_missing_values_are_replaced_as_onnx_runtime_does(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("IsNaN", ["x"], ["missing"]),
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Where", ["missing", "half", "x"], ["y"]),
    ]
    model = build(nodes, [value("x", ["N", 1])], [value("y", ["N", 1])])
    given = {"x": np.array([[1.0], [np.nan], [0.0]], np.float32)}
    expected = OnnxRuntimeCpu().prepare(save(model, tmp_path / "m.onnx"), "fp32", 3).infer(given)["y"]
    translated = to_torch(model).module(torch.from_numpy(given["x"]))[0].numpy()
    np.testing.assert_array_equal(translated, expected)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (("Einsum", ["x"], {"equation": "ij->ij"}), "no translation of Einsum"),
        (("Elu", ["x"], {}), "no translation of Elu"),
        (("ReduceMean", ["x"], {}), "over all axes"),
        (("Reshape", ["x", "shape"], {}), "a setting that is computed"),
        (("Squeeze", ["x"], {}), "Squeeze without axes"),
        (("Transpose", ["x"], {}), "without an order"),
        (("Flatten", ["x"], {"axis": 0}), "axis other than 1"),
    ],
)
def test_unknown_operators_are_refused_by_name(node: tuple[str, list[str], Any], said: str) -> None:
    operator, inputs, attributes = node
    made = helper.make_node(operator, inputs, ["y"], **attributes)
    model = build([made], [value("x", ["N", 4]), value("shape", [2], 7)], [value("y", None)])
    with pytest.raises(UnsupportedOperatorError, match=said):
        to_torch(model)


def test_padding_that_follows_from_the_size_is_refused() -> None:
    model, _ = one_node("Conv", [X], [weights(6, 4, 3, 3)], {"auto_pad": "SAME_UPPER"})
    with pytest.raises(UnsupportedOperatorError, match="SAME_UPPER"):
        to_torch(model)


IMAGES = {"image": np.random.default_rng(0).random((8, 1, SIZE, SIZE)).astype(np.float32)}


@pytest.mark.parametrize("execution", ["eager", "compile"])
def test_a_network_answers_as_onnx_runtime_does(
    execution: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.compile  # without its code generator, which needs a compiler and minutes
    monkeypatch.setattr(torch, "compile", lambda m, **k: real(m, backend="eager", fullgraph=True, **k))
    path = save(cnn_model(), tmp_path / "m.onnx")
    expected = OnnxRuntimeCpu().prepare(path, "fp32", 8).infer(IMAGES)["scores"]
    session = TorchBackend(execution, "cpu").prepare(path, "fp32", 8)
    np.testing.assert_allclose(session.infer(IMAGES)["scores"], expected, rtol=1e-5, atol=1e-6)
    other = {"image": 1 - IMAGES["image"]}
    first = session.infer(IMAGES)["scores"]
    second = session.lanes(2)[1].infer(other)["scores"]
    np.testing.assert_allclose(first, expected, rtol=1e-5, atol=1e-6)  # is not overwritten by the next
    assert not np.allclose(second, expected)
    assert session.options == {"converter": "onnx-to-torch/1", "tf32": False, "execution": execution}
    assert session.run_block(3) is None


@pytest.mark.parametrize(("precision", "floor"), [("fp16", 5e-3), ("bf16", 4e-2)])
def test_a_file_in_half_precision_runs_in_half_precision(
    precision: Any, floor: float, tmp_path: Path
) -> None:
    single = save(cnn_model(), tmp_path / "m.onnx")
    expected = OnnxRuntimeCpu().prepare(single, "fp32", 8).infer(IMAGES)["scores"]
    half = cast_model(cnn_model(), precision)[0]
    kinds = {buffer.dtype for buffer in to_torch(half).module.buffers() if buffer.is_floating_point()}
    assert kinds == {{"fp16": torch.float16, "bf16": torch.bfloat16}[precision]}
    session = TorchBackend("eager", "cpu").prepare(save(half, tmp_path / "h.onnx"), precision, 8)
    scores = session.infer(IMAGES)["scores"]
    assert scores.dtype == np.float32
    assert 0 < np.abs(scores - expected).max() < floor


def test_age_and_sex_go_in_beside_the_image(tmp_path: Path) -> None:
    path = save(with_age_and_sex(), tmp_path / "m.onnx")
    given = IMAGES | {
        "years": np.arange(8, dtype=np.float32)[:, None],
        "male": (np.arange(8) % 2).astype(np.float32)[:, None],
    }
    expected = OnnxRuntimeCpu().prepare(path, "fp32", 8).infer(given)["score"]
    scores = TorchBackend("eager", "cpu").prepare(path, "fp32", 8).infer(given)["score"]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_a_session_passes_the_measuring_loop(tmp_path: Path) -> None:
    session = TorchBackend("eager", "cpu").prepare(save(linear_model(), tmp_path / "m.onnx"), "fp32", 4)
    assert len(latencies(session, timed_batches(IMAGES, 4), SHORT)) >= SHORT.measure_runs


@pytest.mark.skipif("+cpu" not in package_versions(["torch"]).get("torch", ""), reason="torch has CUDA")
def test_a_build_without_cuda_says_so() -> None:
    available = TorchBackend("eager").availability()
    assert not available.ok
    assert "PyTorch here is a build without CUDA." in available.reason
    assert "pip install --force-reinstall torch" in available.remedy
