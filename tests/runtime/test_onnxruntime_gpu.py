"""ONNX Runtime's GPU providers without a GPU: the options passed to the real package, and its answers."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from onnxruntime.capi import onnxruntime_inference_collection as collection

from bench.runtime.backends.onnxruntime_gpu import session_options
from bench.runtime.backends.registry import backends
from tests.runtime.models import SIZE, build, linear_model, linear_weights, save, value

REAL_ERROR = "CUDA driver version is insufficient for CUDA runtime version; libcublasLt.so.13 is missing"


def shape_model() -> onnx.ModelProto:
    """A model that computes a size while it runs, as vision transformers do."""
    nodes = [
        helper.make_node("Shape", ["image"], ["whole"], start=0, end=1),
        helper.make_node("Concat", ["whole", "rest"], ["sizes"], axis=0),
        helper.make_node("Reshape", ["image", "sizes"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
    ]
    weights = {"rest": np.array([SIZE * SIZE], np.int64), "w": linear_weights()}
    return build(nodes, [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])], weights)


def test_sizes_that_a_graph_computes_become_constants(tmp_path: Path) -> None:
    path = save(shape_model(), tmp_path / "m.onnx")
    images = np.random.default_rng(0).random((4, 1, SIZE, SIZE)).astype(np.float32)
    expected = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    options = session_options(onnxruntime, path, 4)
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert "Shape" not in operators
    assert "Concat" not in operators
    (found,), (wanted,) = session.run(None, {"image": images}), expected.run(None, {"image": images})
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("name", ["onnxruntime-cuda", "onnxruntime-tensorrt"])
def test_the_providers_own_error_is_not_hidden(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    asked: list[Any] = []

    def fail(session: Any, providers: list[str], options: list[Any], disabled: Any = None) -> None:
        asked.append((list(providers or []), loaded[:]))
        raise RuntimeError(REAL_ERROR)

    monkeypatch.setattr(collection.InferenceSession, "_create_inference_session", fail)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: loaded.append("cuda"), raising=False)
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace())
    path = save(linear_model(), tmp_path / "m.onnx")
    with pytest.raises(RuntimeError, match="libcublasLt"):
        backends()[name].prepare(path, "tf32", 4)
    assert len(asked) == 1  # no second try on the CPU
    providers, before = asked[0]
    assert before == ["cuda"]
    assert len(providers) == 1
    assert providers[0][0] in ("CUDAExecutionProvider", "TensorrtExecutionProvider")
