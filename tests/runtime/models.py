"""Small ONNX models, a small cohort with images, and manifests for both."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import CohortSpec
from bench.submission.manifest import ImageInput, Manifest, ModelInputs

SIZE = 24

MODEL = f"""
[model.image]
name = "image"
height = {SIZE}
width = {SIZE}
[model]
activation = "sigmoid"
[model.outputs]
composite_slvh_dlv = "scores:0"
"""
"""What a manifest says of these models."""
FLOAT = TensorProto.FLOAT

SPEC = CohortSpec.model_validate(
    {
        "schema": "cohort-spec/1",
        "id": "tiny",
        "version": "1",
        "title": "Tiny",
        "labels": "public",
        "headline": "a",
        "files": {"table": ["metadata.csv"], "images": ["images"]},
        "columns": {"image": "image", "patient": "patient", "inputs": {"age": "age", "sex": "sex"}},
        "targets": [
            {"name": "a", "label": "A", "source": "a"},
            {"name": "b", "label": "B", "source": "b"},
            {
                "name": "cm",
                "kind": "continuous",
                "label": "C",
                "source": "cm",
                "unit": "cm",
                "plausible": [0, 9],
            },
        ],
        "split": {"rule": "all-test"},
    }
)


def tiny_cohort(folder: Path, images: int = 40, *, age: str = "50", sex: str = "M") -> Cohort:
    """A cohort whose every image is test, with noise images whose brightness follows label ``a``."""
    (folder / "images").mkdir(parents=True)
    generator = np.random.default_rng(0)
    lines = ["image,patient,age,sex,a,b,cm"]
    for i in range(images):
        label = i % 3 == 0
        pixels = generator.integers(0, 160, (SIZE, SIZE)) + 40 * label
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"i{i:03}.png")
        lines.append(f"i{i:03}.png,p{i // 2},{age},{'F' if i % 2 else sex},{int(label)},{i % 2},{1 + i / 10}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return load_cohort(SPEC, folder)


def manifest(outputs: dict[str, str] | None = None, **model: Any) -> Manifest:
    """A manifest for `linear_model`; `model` replaces keys of its table [model]."""
    image = {"name": "image", "height": SIZE, "width": SIZE, **model.pop("image", {})}
    inputs = ("image", *(key for key in ("age", "sex") if model.get(key)))
    return Manifest(
        name="Tiny",
        team="Tests",
        date=datetime.date(2026, 1, 1),
        inputs=inputs,
        scores=model.pop("scores", "probability"),
        model=ModelInputs(
            image=ImageInput(**image),
            outputs=outputs or {"a": "scores:0", "b": "scores:1"},
            activation=model.pop("activation", "sigmoid"),
            **model,
        ),
    )


def value(name: str, shape: list[int | str] | None, kind: int = FLOAT) -> Any:
    """A declared input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def build(
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    weights: dict[str, np.ndarray] | None = None,
    *,
    opset: int = 18,
    ir: int = 10,
    functions: tuple[Any, ...] = (),
    domains: tuple[str, ...] = (),
) -> onnx.ModelProto:
    """A model of the nodes."""
    stored = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, stored)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir, functions=functions)


def linear_weights(outputs: int = 2, channels: int = 1) -> np.ndarray:
    """(channels·height·width, outputs) of `linear_model`."""
    generator = np.random.default_rng(1)
    return generator.normal(0, 0.05, (channels * SIZE * SIZE, outputs)).astype(np.float32)


def linear_model(
    batch: int | str = "N", channels: int = 1, columns: int = 2, **changes: Any
) -> onnx.ModelProto:
    """Flatten and multiply: image (N, channels, height, width) → scores (N, columns)."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
    ]
    return build(
        nodes,
        [value("image", [batch, channels, SIZE, SIZE])],
        [value("scores", [batch, columns])],
        {"w": linear_weights(columns, channels)},
        **changes,
    )


def with_age_and_sex() -> onnx.ModelProto:
    """score (N,) = mean pixel + age / 1000 + sex / 10."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("ReduceMean", ["flat", "axis"], ["mean"], keepdims=1),
        helper.make_node("Div", ["years", "thousand"], ["age_part"]),
        helper.make_node("Div", ["male", "ten"], ["sex_part"]),
        helper.make_node("Sum", ["mean", "age_part", "sex_part"], ["sum"]),
        helper.make_node("Squeeze", ["sum", "axis"], ["score"]),
    ]
    constants: dict[str, np.ndarray] = {
        "axis": np.array([1], np.int64),
        "thousand": np.array([[1000]], np.float32),
        "ten": np.array([[10]], np.float32),
    }
    inputs = [value("image", ["N", 1, SIZE, SIZE]), value("years", ["N", 1]), value("male", ["N", 1])]
    return build(nodes, inputs, [value("score", ["N"])], constants)


def cnn_model() -> onnx.ModelProto:
    """Two convolutions with normalisation and pooling, of operators that every backend has."""
    generator = np.random.default_rng(3)

    def normal(*shape: int) -> np.ndarray:
        return generator.normal(0, 0.2, shape).astype(np.float32)

    weights = {"w1": normal(8, 1, 3, 3), "b1": normal(8), "w2": normal(8, 8, 3, 3), "w3": normal(8, 2)}
    weights |= {
        "scale": normal(8),
        "shift": normal(8),
        "mean": normal(8),
        "variance": np.abs(normal(8)) + 0.5,
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c2", "scale", "shift", "mean", "variance"], ["n2"]),
        helper.make_node("GlobalAveragePool", ["n2"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3"], ["scores"]),
    ]
    return build(nodes, [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])], weights)


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model and return its path."""
    path.write_bytes(model.SerializeToString())
    return path


def busy_model(passes: int, width: int) -> onnx.ModelProto:
    """A model whose one run multiplies (width, width) matrices `passes` times."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["state", "square"], ["multiplied"]),
            helper.make_node("Tanh", ["multiplied"], ["next"]),
        ],
        "body",
        [
            value("i", [], TensorProto.INT64),
            value("go", [], TensorProto.BOOL),
            value("state", [width, width]),
        ],
        [value("go_on", [], TensorProto.BOOL), value("next", [width, width])],
    )
    nodes = [
        helper.make_node("Loop", ["passes", "", "square"], ["end"], body=body),
        helper.make_node("ReduceMean", ["end"], ["level"], keepdims=0),
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["linear"]),
        helper.make_node("Add", ["linear", "level"], ["scores"]),
    ]
    weights: dict[str, np.ndarray] = {
        "passes": np.array(passes, np.int64),
        "square": np.random.default_rng(2).normal(0, 0.1, (width, width)).astype(np.float32),
        "w": linear_weights(),
    }
    return build(nodes, [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])], weights)


def hungry_model(gigabytes: int) -> onnx.ModelProto:
    """A model whose one run asks for so much memory."""
    elements = gigabytes * 2**30 // 4
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["linear"]),
        helper.make_node("ReduceMax", ["linear"], ["top"], keepdims=0),
        helper.make_node("Add", ["huge", "top"], ["moved"]),
        helper.make_node("ReduceMean", ["moved"], ["level"], keepdims=0),
        helper.make_node("Add", ["linear", "level"], ["scores"]),
    ]
    weights = {"shape": np.array([elements], np.int64), "w": linear_weights()}
    return build(nodes, [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])], weights)
