"""Files that are no model that can be run, and models that do not fit their manifests."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from onnx import TensorProto, helper

from tests.conftest import Cli
from tests.runtime.models import MODEL, SIZE, build, linear_model, linear_weights, value
from tests.submission.bad_input.stage import Fault, Stage, Words, refused
from tests.tiny import MANIFEST

BOTH = MODEL + 'slvh = "scores:1"\n'


def with_model(model: object, said: str = "", name: str = "model.onnx") -> Callable[[Stage], Words]:
    """A model with a manifest whose table [model] is the usual one, or `said`."""

    def make(stage: Stage) -> Words:
        data = model if isinstance(model, bytes) else model.SerializeToString()  # type: ignore[attr-defined]
        path = stage.file(data, name)
        text = MANIFEST + (said or BOTH)
        return ["submit", "--model", path, "--slug", "entry", "--manifest", stage.file(text, "m.toml")]

    return make


def external_data() -> bytes:
    model = linear_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../weights.bin"
    return bytes(model.SerializeToString())


def custom_operator() -> bytes:
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("FusedMatMul", ["flat", "w"], ["scores"], domain="com.microsoft"),
    ]
    inputs, outputs = [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])]
    model = build(nodes, inputs, outputs, {"w": linear_weights()}, domains=("com.microsoft",))
    return bytes(model.SerializeToString())


FAULTS = [
    Fault("CSV as a model", with_model(b"image_id,a\n"), "model-format", "not an ONNX model"),
    Fault("pickle as a model", with_model(pickle.dumps({"w": 1}), name="m.pt"), "model-format", "pickle"),
    Fault(
        "cut-off model",
        with_model(linear_model().SerializeToString()[:900]),
        "model-truncated",
        r"900 bytes; its content declares at least [\d,]+",
    ),
    Fault(
        "weights elsewhere",
        with_model(external_data()),
        "model-external-data",
        r"^1 of 1 tensors .*weights\.bin",
    ),
    Fault("custom operator", with_model(custom_operator()), "model-custom-operator", "^1 of 2 operators"),
    Fault("wrong channels", with_model(linear_model(channels=3)), "model-input", r"\(free, 3, 24, 24\)"),
    Fault("fixed batch", with_model(linear_model(batch=1)), "model-batch", "fixed at 1"),
    Fault("too few outputs", with_model(linear_model(columns=1)), "model-output", "column 1"),
    Fault("no table [model]", with_model(linear_model(), "\n"), "model-manifest", r"no table \[model\]"),
    Fault(
        "no model",
        lambda s: ["submit", "--model", s.folder / "no.onnx", "--slug", "entry"],
        "model-unreadable",
        "no such file",
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_refused(fault: Fault, stage: Stage, cli: Cli) -> None:
    refused(fault, stage, cli)
