"""TensorRT without a GPU: every name exists in the real bindings, and TensorRT-RTX really builds."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.onnx.half_precision import cast_model
from bench.onnx.interface import check_model
from bench.runtime.backends.onnxruntime_cpu import OnnxRuntimeCpu
from bench.runtime.backends.tensorrt_build import Engine, EngineError, build_engine, check_precision
from bench.runtime.backends.tensorrt_session import check_engine_types, engine_layer_types, load_engine
from bench.runtime.precision import convert
from tests.runtime.models import SIZE, SPEC, build, linear_model, linear_weights, manifest, save, value
from tests.runtime.test_precision import conv_model

no_rtx = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None, reason="needs tensorrt_rtx: `make test-tensorrt`"
)


@pytest.fixture(scope="module")
def rtx() -> Any:
    return pytest.importorskip("tensorrt_rtx")


@no_rtx
@pytest.mark.parametrize(
    ("precision", "kind"), [("fp32", "FLOAT"), ("tf32", "FLOAT"), ("fp16", "HALF"), ("bf16", "BF16")]
)
@pytest.mark.parametrize("batch", [1, 8])
def test_an_engine_is_built_in_the_precision_of_its_file(
    rtx: Any, precision: str, kind: str, batch: int
) -> None:
    model = conv_model()
    if precision in ("fp16", "bf16"):
        model, _ = cast_model(model, precision)  # type: ignore[arg-type]
    built = build_engine(rtx, model.SerializeToString(), precision, batch)
    assert len(built.plan) > 1000
    assert built.build_ms > 0
    assert built.layer_types[kind] >= 5
    assert built.tf32 == (precision == "tf32")


@no_rtx
def test_an_int8_engine_is_built_from_a_quantised_file(rtx: Any, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((4, 1, SIZE, SIZE)).astype(np.float32)
    done = convert(save(conv_model(), tmp_path / "m.onnx"), "int8", tmp_path, {"image": images})
    built = build_engine(rtx, done.path.read_bytes(), "int8", 2)
    assert built.layer_types["INT8"] > 0


@no_rtx
def test_a_file_with_a_fixed_batch_is_built_for_that_batch(rtx: Any) -> None:
    model = conv_model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 4
    assert build_engine(rtx, model.SerializeToString(), "fp32", 4).layer_types["FLOAT"] >= 5


@no_rtx
@pytest.mark.slow
@pytest.mark.parametrize(("name", "side", "least"), [("small", 96, 10), ("densenet121", 224, 300)])
def test_the_baselines_networks_are_built_in_every_precision(
    rtx: Any, name: str, side: int, least: int, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("monai")
    from baselines.networks.models import Network
    from bench.runtime.backends.torch import TorchBackend

    path = tmp_path / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Network(name, (), 3, 0.0).eval(),  # type: ignore[arg-type]
            (torch.rand(2, 1, side, side),),
            path,
            dynamo=True,
            opset_version=18,
            input_names=["image"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=512)},),
            external_data=False,
            verbose=False,
        )
    said = manifest({"a": "scores:0", "b": "scores:1"}, image={"height": side, "width": side})
    assert check_model(path, said, SPEC)[0] == []
    images = {"image": np.random.default_rng(0).random((2, 1, side, side)).astype(np.float32)}
    for precision, kind in (("fp32", "FLOAT"), ("fp16", "HALF"), ("bf16", "BF16"), ("int8", "INT8")):
        done = convert(path, precision, tmp_path, images)
        built = build_engine(rtx, done.path.read_bytes(), precision, 8)
        assert built.layer_types[kind] > least, (precision, built.layer_types)
    expected = OnnxRuntimeCpu().prepare(path, "fp32", 2).infer(images)["scores"]
    translated = TorchBackend("eager", "cpu").prepare(path, "fp32", 2).infer(images)["scores"]
    np.testing.assert_allclose(translated, expected, rtol=1e-5, atol=1e-5)


@no_rtx
@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_a_file_in_single_precision_is_not_passed_off_as_another(rtx: Any, precision: str) -> None:
    with pytest.raises(EngineError, match=f"was to be in {precision}"):
        build_engine(rtx, conv_model().SerializeToString(), precision, 1)


@no_rtx
def test_a_half_precision_file_is_not_passed_off_as_single(rtx: Any) -> None:
    cast, _ = cast_model(conv_model(), "fp16")
    with pytest.raises(EngineError, match="2 of 2 products are not"):
        build_engine(rtx, cast.SerializeToString(), "fp32", 1)


@no_rtx
def test_damaged_and_unsupported_files_end_in_the_builders_words(rtx: Any) -> None:
    from onnx import helper

    with pytest.raises(EngineError, match="Failed to parse the ONNX model"):
        build_engine(rtx, b"not a model" * 30, "fp32", 1)
    nodes = [
        helper.make_node("Flatten", ["image"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("Nothing", ["m"], ["scores"], domain="my.ops"),
    ]
    image, scores = value("image", ["N", 1, SIZE, SIZE]), value("scores", ["N", 2])
    odd = build(nodes, [image], [scores], {"w": linear_weights()}, domains=("my.ops",))
    with pytest.raises(EngineError, match="Nothing"):
        build_engine(rtx, odd.SerializeToString(), "fp32", 1)


@no_rtx
def test_the_process_that_builds_survives_and_says_why_it_cannot_load(rtx: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("a driver is there")
    built = build_engine(rtx, linear_model().SerializeToString(), "fp32", 1)
    with pytest.raises(EngineError, match="not loaded without an NVIDIA driver"):
        load_engine(rtx, built)


def test_nothing_is_deserialised_without_a_driver() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("a driver is there")
    built = Engine(b"plan", "fp32", 1.0, {}, 3, False)
    with pytest.raises(EngineError, match="driver"):
        load_engine(SimpleNamespace(), built)  # a module without any attribute: nothing of it is touched


def network(products: list[str], others: list[str], *, quantised: int = 0) -> tuple[Any, Any]:
    """A module and a network as far as `check_precision` looks at them."""
    kinds = SimpleNamespace(CONVOLUTION="conv", MATRIX_MULTIPLY="product", QUANTIZE="quantize")
    layers = [("conv" if i % 2 else "product", kind) for i, kind in enumerate(products)]
    layers += [("relu", kind) for kind in others] + [("quantize", "INT8")] * quantised
    found = [
        SimpleNamespace(
            type=kind, num_outputs=1, get_output=lambda _, d=dtype: SimpleNamespace(dtype=f"DataType.{d}")
        )
        for kind, dtype in layers
    ]
    return SimpleNamespace(LayerType=kinds), SimpleNamespace(
        num_layers=len(found), get_layer=found.__getitem__
    )


def test_layer_types_are_counted_and_judged() -> None:
    assert check_precision(*network(["HALF"] * 3, ["FLOAT", "HALF"]), "fp16") == {"FLOAT": 1, "HALF": 4}
    assert check_precision(*network([], ["FLOAT"]), "fp32") == {"FLOAT": 1}
    assert check_precision(*network(["FLOAT"], [], quantised=2), "int8") == {"FLOAT": 1, "INT8": 2}
    with pytest.raises(EngineError, match="1 of 3 products are not"):
        check_precision(*network(["HALF", "HALF", "FLOAT"], []), "fp16")
    with pytest.raises(EngineError, match="none of its layers quantises"):
        check_precision(*network(["FLOAT"], []), "int8")


def test_the_inspectors_words_are_counted() -> None:
    text = """{"Layers": [
        {"Name": "a", "Outputs": [{"Format/Datatype": "Row major linear FP32"}]},
        {"Name": "b", "Outputs": [{"Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}]},
        {"Name": "c", "Outputs": [{"Format/Datatype": "Half"}]},
        {"Name": "d", "Outputs": [{"Format/Datatype": "Thirty-two wide vectorized row major Int8 format"}]},
        {"Name": "e", "Outputs": []}, "f"]}"""
    assert engine_layer_types(text) == {"fp16": 2, "fp32": 1, "int8": 1}
    assert engine_layer_types("") == engine_layer_types('{"Layers": ["a", "b"]}') == {}


@pytest.mark.parametrize(
    ("precision", "types"),
    [
        ("fp32", {"fp32": 5}),
        ("tf32", {"fp32": 5}),
        ("fp16", {"fp16": 4, "fp32": 2}),
        ("bf16", {"bf16": 4, "fp32": 2}),
        ("int8", {"int8": 4, "fp16": 1, "fp32": 2}),
        ("fp16", {"fp32": 2}),  # everything fused between two casts
        ("bf16", {}),  # an inspector that says nothing
    ],
)
def test_an_engine_of_its_precision_is_taken(precision: str, types: dict[str, int]) -> None:
    check_engine_types(types, precision)


@pytest.mark.parametrize(
    ("precision", "types"),
    [
        ("fp16", {"fp32": 9}),  # fp32 figures published as fp16
        ("bf16", {"fp16": 4, "fp32": 2}),
        ("fp32", {"fp32": 8, "fp16": 1}),
        ("tf32", {"fp16": 1}),
        ("int8", {"fp16": 7}),
    ],
)
def test_an_engine_of_another_precision_is_refused(precision: str, types: dict[str, int]) -> None:
    with pytest.raises(EngineError, match=f"was to be in {precision}"):
        check_engine_types(types, precision)


def test_the_module_is_not_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, bench.runtime.backends.registry; "
        "print(any('tensorrt' in name.split('.')[0] for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
