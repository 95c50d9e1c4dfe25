"""A prediction depends on its image alone: what mixes images or draws numbers is refused and named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bench.cohort.cohort import Cohort
from bench.errors import BenchError, Problem
from bench.onnx.half_precision import cast_model
from bench.runtime.accept import accept_model
from bench.runtime.independence import OF_RANGE, Probes, dependence, probed_rows, tolerances
from bench.runtime.workers.locate import first_dependent
from bench.runtime.workers.precision import quantise
from bench.submission.manifest import Manifest
from tests.faulty import assert_problem
from tests.runtime.models import SIZE, build, cnn_model, linear_weights, manifest, save, tiny_cohort, value
from tests.runtime.torch_models import FAMILIES, export, network

LINEAR = [
    helper.make_node("Flatten", ["image"], ["flat"]),
    helper.make_node("MatMul", ["flat", "w"], ["linear"]),
]
node = helper.make_node


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return tiny_cohort(tmp_path_factory.mktemp("cohort") / "c", 41)


def after(*nodes: Any, opset: int = 18, functions: tuple[Any, ...] = (), **weights: Any) -> onnx.ModelProto:
    """A linear model followed by `nodes`, which lead from ``linear`` to ``scores``."""
    stored = {name: np.asarray(array) for name, array in weights.items()}
    return build(
        [*LINEAR, *nodes],
        [value("image", ["N", 1, SIZE, SIZE])],
        [value("scores", ["N", 2])],
        {"w": linear_weights(), **stored},
        opset=opset,
        functions=functions,
        domains=tuple({function.domain for function in functions}),
    )


def refusal(model: onnx.ModelProto, cohort: Cohort, folder: Path, said: Manifest | None = None) -> Problem:
    """The one error of a model that is submitted."""
    path = save(model, folder / "m.onnx")
    with pytest.raises(BenchError) as caught:
        accept_model(path, cohort, said or manifest())
    (problem,) = [p for p in caught.value.problems if p.severity == "error"]
    assert problem.where.startswith(str(path))
    assert problem.as_dict()["remedy"]
    return problem


AXIS0, NONE = np.array([0]), manifest(activation="none")


def batch_normalisation(opset: int) -> onnx.ModelProto:
    outputs = ["scores", "rm", "rv"] if opset >= 14 else ["scores", "rm", "rv", "sm", "sv"]
    operator = node("BatchNormalization", ["linear", *"gbmv"], outputs)
    if opset >= 14:
        operator.attribute.append(helper.make_attribute("training_mode", 1))
    one, zero = np.ones(2, "f4"), np.zeros(2, "f4")
    return after(operator, opset=opset, g=one, b=zero, m=zero, v=one)


def centred_in_a_function() -> onnx.ModelProto:
    body = [node("ReduceMean", ["x"], ["m"], axes=[0]), node("Sub", ["x", "m"], ["y"])]
    function = helper.make_function("local", "Centre", ["x"], ["y"], body, [helper.make_opsetid("", 17)])
    call = node("Centre", ["linear"], ["scores"], domain="local")
    return after(call, opset=17, functions=(function,))


STATIC = {
    "batch normalisation in training": (
        batch_normalisation(17),
        "model-batch-dependent",
        r"^1 operator normalises .* BatchNormalization in training mode \(1\)\.$",
    ),
    "batch normalisation in training, old": (
        batch_normalisation(9),
        "model-batch-dependent",
        r"^1 operator normalises .* BatchNormalization in training mode \(1\)\.$",
    ),
    "dropout in training": (
        after(node("Dropout", ["linear", "r", "t"], ["scores"]), r=np.float32(0.5), t=np.array(True)),
        "model-random",
        r"^1 operator draws random numbers: Dropout in training mode \(1\)\.$",
    ),
    "dropout in training, usual ratio": (
        after(node("Dropout", ["linear", "", "t"], ["scores"]), t=np.array([True])),
        "model-random",
        r"Dropout in training mode \(1\)",
    ),
    **{
        name: (
            after(node(name, ["linear"], ["noise"]), node("Add", ["linear", "noise"], ["scores"])),
            "model-random",
            rf"^1 operator draws random numbers: {name} \(1\)\.$",
        )
        for name in ("RandomNormalLike", "RandomUniformLike")
    },
    "RandomNormal": (
        after(node("RandomNormal", [], ["z"], shape=[1, 2]), node("Add", ["linear", "z"], ["scores"])),
        "model-random",
        r"RandomNormal \(1\)",
    ),
    "dynamic quantisation": (
        after(
            node("DynamicQuantizeLinear", ["linear"], ["q", "s", "z"]),
            node("DequantizeLinear", ["q", "s", "z"], ["scores"]),
        ),
        "model-batch-dependent",
        r"^1 operator scales by the largest value of the batch: DynamicQuantizeLinear \(1\)\.$",
    ),
    "Bernoulli twice": (
        after(
            node("Sigmoid", ["linear"], ["p"]),
            node("Bernoulli", ["p"], ["x"]),
            node("Bernoulli", ["p"], ["y"]),
            node("Add", ["x", "y"], ["scores"]),
        ),
        "model-random",
        r"^2 operators draw random numbers: Bernoulli \(2\)\.$",
    ),
}


@pytest.mark.parametrize("name", STATIC)
def test_training_mode_and_random_operators_are_named_without_running(
    name: str, cohort: Cohort, tmp_path: Path
) -> None:
    model, code, says = STATIC[name]
    problem = refusal(model, cohort, tmp_path)
    assert_problem(problem, code, message=says, where=r"/m\.onnx$", remedy=r"model\.eval|quantize_static")


def test_dynamic_quantisation_by_onnx_runtime_is_refused_and_static_is_not(
    cohort: Cohort, tmp_path: Path
) -> None:
    from onnxruntime.quantization import quantize_dynamic

    plain = save(after(node("Identity", ["linear"], ["scores"])), tmp_path / "plain.onnx")
    quantize_dynamic(plain, tmp_path / "dynamic.onnx")
    problem = refusal(onnx.load(tmp_path / "dynamic.onnx"), cohort, tmp_path)
    assert problem.code == "model-batch-dependent"
    assert problem.message.endswith("DynamicQuantizeLinear (1).")
    assert "`quantize_static`" in problem.remedy
    images = np.random.default_rng(0).random((8, 1, SIZE, SIZE)).astype("f4")
    quantise(onnx.load(plain), tmp_path / "static.onnx", {"image": images})
    accept_model(tmp_path / "static.onnx", cohort, manifest())


def test_a_random_operator_that_no_output_needs_is_no_fault(cohort: Cohort, tmp_path: Path) -> None:
    model = after(node("RandomNormalLike", ["linear"], ["unused"]), node("Identity", ["linear"], ["scores"]))
    accepted = accept_model(save(model, tmp_path / "m.onnx"), cohort, manifest())
    assert {p.severity for p in accepted.notices} <= {"warning", "notice"}


MIXING = {
    "softmax over the batch": (after(node("Softmax", ["linear"], ["scores"], axis=0)), "Softmax"),
    "minus the batch's mean": (
        after(
            node("ReduceMean", ["linear", "a"], ["m"], name="mean_of_all"),
            node("Sub", ["linear", "m"], ["scores"]),
            a=AXIS0,
        ),
        "ReduceMean (node 'mean_of_all')",
    ),
    "divided by the batch's largest": (
        after(
            node("Abs", ["linear"], ["size"]),
            node("ReduceMax", ["size", "a"], ["top"]),
            node("Div", ["linear", "top"], ["scores"]),
            a=AXIS0,
        ),
        "ReduceMax",
    ),
    "sum of the images before": (after(node("CumSum", ["linear", "a"], ["scores"]), a=np.array(0)), "CumSum"),
    "the image before": (
        after(
            node("Concat", ["linear", "linear"], ["double"], axis=0),
            node("Shape", ["linear"], ["shape"], end=1),
            node("Sub", ["shape", "one"], ["start"]),
            node("Add", ["start", "shape"], ["stop"]),
            node("Slice", ["double", "start", "stop", "a"], ["before"]),
            node("Add", ["linear", "before"], ["scores"]),
            one=np.array([1]),
            a=AXIS0,
        ),
        "Concat",
    ),
    "rank within the batch": (
        after(
            node("Shape", ["linear"], ["n"], end=1),
            node("TopK", ["linear", "n"], ["sorted", "order"], axis=0),
            node("Cast", ["order"], ["real"], to=TensorProto.FLOAT),
            node("Add", ["linear", "real"], ["scores"]),
        ),
        "TopK",
    ),
    "the batch as one image": (
        after(
            node("Transpose", ["linear"], ["t"], perm=[1, 0]),
            node("LpNormalization", ["t"], ["u"], axis=1, p=2),
            node("Transpose", ["u"], ["scores"], perm=[1, 0]),
        ),
        "LpNormalization",
    ),
    "number of images": (
        after(
            node("Shape", ["linear"], ["n"], end=1),
            node("Cast", ["n"], ["real"], to=TensorProto.FLOAT),
            node("Div", ["linear", "real"], ["scores"]),
        ),
        "Div",
    ),
    "instance normalisation over the batch": (
        after(
            node("Transpose", ["linear"], ["t"], perm=[1, 0]),
            node("Unsqueeze", ["t", "z"], ["u"]),
            node("InstanceNormalization", ["u", "s", "b"], ["v"]),
            node("Squeeze", ["v", "z"], ["x"]),
            node("Transpose", ["x"], ["scores"], perm=[1, 0]),
            z=AXIS0,
            s=np.ones(2, "f4"),
            b=np.zeros(2, "f4"),
        ),
        "InstanceNormalization",
    ),
    "layer normalisation over the batch": (
        after(node("LayerNormalization", ["linear", "g"], ["scores"], axis=0), g=np.ones((1, 2), "f4")),
        "LayerNormalization",
    ),
    "mean of everything": (
        after(node("ReduceMean", ["linear"], ["m"]), node("Sub", ["linear", "m"], ["scores"])),
        "ReduceMean",
    ),
    "the first image": (
        after(
            node("Gather", ["linear", "a"], ["f"], axis=0), node("Sub", ["linear", "f"], ["scores"]), a=AXIS0
        ),
        "Gather",
    ),
    "sums by einsum": (
        after(node("Einsum", ["linear", "linear"], ["scores"], equation="ij,kj->ij")),
        "Einsum",
    ),
    "in a function": (centred_in_a_function(), "ReduceMean"),
}


@pytest.mark.parametrize("name", MIXING)
def test_an_operator_that_mixes_images_is_found_by_running_and_named(
    name: str, cohort: Cohort, tmp_path: Path
) -> None:
    model, operator = MIXING[name]
    problem = refusal(model, cohort, tmp_path, NONE.model_copy(update={"scores": "uncalibrated"}))
    assert_problem(
        problem,
        "model-batch-dependent",
        message=r"^Run alone instead of in a batch, \d+ of 16 images get another .*"
        rf"The first operator that mixes images is {re.escape(operator)}\.$",
        where=r"/m\.onnx$",
        remedy="never over the first axis",
    )


def test_a_batch_size_that_is_fixed_within_the_graph_is_found(tmp_path: Path) -> None:
    small = tiny_cohort(tmp_path / "c", 20)  # one batch, whose size a constant of the file has too
    model = after(node("Add", ["linear", "c"], ["scores"]), c=np.zeros((20, 2), "f4"))
    problem = refusal(model, small, tmp_path)
    assert_problem(
        problem,
        "model-batch",
        message="^It answers batches of 20 images and fails at other sizes: ",
        where=r"/m\.onnx$",
        remedy="dynamic batch dimension",
    )


# Honest models


@pytest.mark.parametrize(
    "dynamo",
    [pytest.param(True, marks=pytest.mark.full_size, id="dynamo"), pytest.param(False, id="torchscript")],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_networks_in_evaluation_mode_are_accepted_in_every_precision(
    family: str, dynamo: bool, cohort: Cohort, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    model = export(network(family), path, dynamo=dynamo)
    accept_model(path, cohort, manifest())
    half, _ = cast_model(model, "fp16")
    accept_model(save(half, tmp_path / "half.onnx"), cohort, manifest())
    images = np.random.default_rng(0).random((8, 1, SIZE, SIZE)).astype("f4")
    quantise(model, tmp_path / "int8.onnx", {"image": images})
    accept_model(tmp_path / "int8.onnx", cohort, manifest())


@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "torchscript"])
def test_a_network_exported_in_training_mode_is_refused(dynamo: bool, cohort: Cohort, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    export(network("densenet", training=True), path, dynamo=dynamo, training=True)
    with pytest.raises(BenchError) as caught:
        accept_model(path, cohort, manifest())
    said = {problem.code: problem.message for problem in caught.value.problems}
    assert said["model-random"] == "4 operators draw random numbers: Dropout in training mode (4)."
    if not dynamo:
        assert "BatchNormalization in training mode (4)" in said["model-batch-dependent"]


# Tolerances, worked out by hand


def probes(stored: list[float], **others: list[float]) -> Probes:
    plain = {"alone": stored, "other_order": stored, "again": stored, "disturbed": stored} | others
    return Probes(stored={"a": np.array(stored)}, **{k: {"a": np.array(v)} for k, v in plain.items()})


def test_differences_within_rounding_are_accepted() -> None:
    same = probes([0.2, 0.8])
    assert tolerances(same, {"a": 0.5})["a"] == pytest.approx(0.5e-3 + 0.8e-5)
    noisy = probes([0.2, 0.8], disturbed=[0.2, 0.801])
    assert tolerances(noisy, {"a": 0.5})["a"] == pytest.approx(0.02)  # 20 times 0.001


@pytest.mark.parametrize(
    ("others", "code", "says"),
    [
        ({"alone": [0.2, 0.8 + 0.9 * OF_RANGE]}, None, ""),
        ({"alone": [0.2, 0.8 + 1.1 * OF_RANGE]}, "model-batch-dependent", "Run alone .* 1 of 2 images"),
        ({"alone": [np.nan, 0.8]}, "model-batch-dependent", "Run alone .* 1 of 2 images"),
        (
            {"other_order": [0.3, 0.9], "again": [0.3, 0.9], "disturbed": [0.3, 0.9]},
            "model-batch-dependent",
            "Run in a batch of other images, 2 of 2 images .* up to 0.1;",
        ),
        ({"again": [0.2, 0.9], "alone": [0.3, 0.8]}, "model-random", "Run twice .* 1 of 2 images"),
    ],
)
def test_differences_beyond_rounding(others: dict[str, list[float]], code: str | None, says: str) -> None:
    dependent = dependence(probes([0.2, 0.8], **others), {"a": 1.0}, "m.onnx")
    assert (dependent.problem.code if dependent else None) == code
    assert dependent is None or re.search(says, dependent.problem.message)


def test_probed_images_are_spread_over_all() -> None:
    assert probed_rows(0).tolist() == []
    assert probed_rows(3).tolist() == [0, 1, 2]
    spread = probed_rows(1501)
    assert (len(spread), spread[0], spread[-1]) == (16, 0, 1500)
    assert set(np.diff(spread)) == {100}


def test_nothing_is_named_in_a_model_of_single_images() -> None:
    images = np.random.default_rng(0).random((3, 1, SIZE, SIZE)).astype("f4")
    assert first_dependent(cnn_model(), {"image": images}, random=False) is None
    assert first_dependent(cnn_model(), {"image": images}, random=True) is None


def test_a_random_operator_is_named_by_running_too() -> None:
    model = STATIC["RandomNormalLike"][0]
    images = np.random.default_rng(0).random((3, 1, SIZE, SIZE)).astype("f4")
    assert first_dependent(model, {"image": images}, random=True).op_type == "RandomNormalLike"
