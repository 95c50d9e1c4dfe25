"""ONNX files that hide what they run or what they unfold to: refused before they are run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bench.onnx.file import read_onnx
from bench.onnx.graph import graph_problems
from tests.runtime.models import SIZE, build, linear_model, linear_weights, value

IMAGE, SCORES = value("image", ["N", 1, SIZE, SIZE]), value("scores", ["N", 2])
W = {"w": linear_weights()}
OPSETS = [helper.make_opsetid("", 18)]


def codes(model: onnx.ModelProto, folder: Path) -> set[str]:
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return {problem.code for problem in graph_problems(read_onnx(path), str(path))[0]}


def with_function(
    domain: str, name: str = "Act", nodes: list[Any] | None = None, **call: Any
) -> onnx.ModelProto:
    """The linear model with a function between its flat image and its weights."""
    body = nodes or [helper.make_node("Abs", ["x"], ["y"])]
    function = helper.make_function(domain, name, ["x"], ["y"], body, OPSETS)
    chain = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node(name, ["flat"], ["act"], domain=domain, **call),
        helper.make_node("MatMul", ["act", "w"], ["scores"]),
    ]
    domains = () if domain in ("", "ai.onnx") else (domain,)
    return build(chain, [IMAGE], [SCORES], W, functions=(function,), domains=domains)


def overloaded(*, function: bool) -> onnx.ModelProto:
    model = with_function("own")
    (model.functions[0] if function else model.graph.node[1]).overload = "v2"
    return model


def defined_twice() -> onnx.ModelProto:
    model = with_function("own")
    model.functions.append(model.functions[0])
    return model


def trained(*, external: bool) -> onnx.ModelProto:
    model = linear_model()
    training = model.training_info.add()
    training.algorithm.node.add(op_type="Abs", input=["a"], output=["b"])
    if external:
        tensor = training.initialization.initializer.add(name="e", data_type=TensorProto.FLOAT, dims=[1])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
    return model


def sparse(elements: int) -> Any:
    """A sparse tensor of one stored value."""
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    return helper.make_sparse_tensor(values, indices, [elements])


def sparse_weight() -> onnx.ModelProto:
    model = linear_model()
    model.graph.sparse_initializer.append(sparse(2**32))
    return model


def sparse_constants(count: int, elements: int, *, in_function: bool = False) -> onnx.ModelProto:
    nodes = [helper.make_node("Constant", [], [f"c{i}"], sparse_value=sparse(elements)) for i in range(count)]
    if in_function:
        return with_function("own", nodes=[*nodes, helper.make_node("Abs", ["x"], ["y"])])
    model = linear_model()
    model.graph.node.extend(nodes)
    return model


def loop(bound: str, nodes: list[Any], **weights: np.ndarray) -> tuple[list[Any], dict[str, np.ndarray]]:
    """A loop over the flat image, whose bound has the given name."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Abs", ["v"], ["v2"])],
        "body",
        [
            value("i", [], TensorProto.INT64),
            value("c", [], TensorProto.BOOL),
            value("v", None),
        ],
        [value("c2", [], TensorProto.BOOL), value("v2", None)],
    )
    return [*nodes, helper.make_node("Loop", [bound, "", "x"], ["y"], body=body)], weights


def bound_of_another_scope() -> onnx.ModelProto:
    """The function's bound is its own constant of 2^40; the main graph stores 1 under the same name."""
    constant = helper.make_node("Constant", [], ["n"], value_int=2**40)
    nodes, _ = loop("n", [constant])
    model = with_function("own", nodes=nodes)
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "n"))
    return model


def bound_by_attribute() -> onnx.ModelProto:
    """The bound is an attribute that the call sets to 2^40."""
    constant = helper.make_node("Constant", [], ["n"])
    constant.attribute.add(name="value_int", type=onnx.AttributeProto.INT, ref_attr_name="passes")
    nodes, _ = loop("n", [constant])
    model = with_function("own", nodes=nodes, passes=2**40)
    model.functions[0].attribute.append("passes")
    return model


def bound_by_input() -> onnx.ModelProto:
    """The bound is an input of the function, named as a constant of the main graph."""
    nodes, _ = loop("n", [])
    function = helper.make_function("own", "Act", ["x", "n"], ["y"], nodes, OPSETS)
    chain = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Size", ["flat"], ["many"]),
        helper.make_node("Act", ["flat", "many"], ["act"], domain="own"),
        helper.make_node("MatMul", ["act", "w"], ["scores"]),
    ]
    stored = {**W, "n": np.array(1, np.int64)}
    return build(chain, [IMAGE], [SCORES], stored, functions=(function,), domains=("own",))


def loops_in_functions() -> onnx.ModelProto:
    """Two functions, each with a loop of 200 passes, one within the other's loop: 40,000 passes."""
    constant = helper.make_node("Constant", [], ["n"], value_int=200)
    nodes, _ = loop("n", [constant])
    inner = helper.make_function("own", "Inner", ["x"], ["y"], nodes, OPSETS)
    model = with_function("own", nodes=nodes)
    body = model.functions[0].node[1].attribute[0].g
    body.node[1].op_type, body.node[1].domain = "Inner", "own"
    model.functions[0].opset_import.append(helper.make_opsetid("own", 1))
    model.functions.append(inner)
    return model


def opsets_twice() -> onnx.ModelProto:
    model = linear_model()
    model.opset_import.append(helper.make_opsetid("ai.onnx", 7))
    return model


def described(field: str) -> onnx.ModelProto:
    model = linear_model()
    text = "x" * (40 * 2**20)
    match field:
        case "metadata":
            model.metadata_props.add(key="a", value=text)
        case "documentation":
            model.doc_string = text
        case "documentation of a tensor":
            model.graph.initializer[0].doc_string = text
        case "metadata of an operator":
            model.graph.node[0].metadata_props.add(key="a", value=text)
        case "name of an operator":
            model.graph.node[0].name = text
        case "padding of a tensor":
            model.graph.initializer[0].string_data.append(text.encode())
    return model


HOSTILE: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "function named as a kernel": (lambda: with_function("com.microsoft", "BiasGelu"), "model-function"),
    "function of a layout": (lambda: with_function("com.microsoft.nchwc", "Conv"), "model-function"),
    "function of an internal domain": (lambda: with_function("com.ms.internal.nhwc"), "model-function"),
    "function that replaces an operator": (lambda: with_function("", "Relu"), "model-function"),
    "function by ONNX's full name": (lambda: with_function("ai.onnx", "Relu"), "model-function"),
    "function of a preview domain": (lambda: with_function("ai.onnx.preview.training"), "model-function"),
    "function of ATen": (lambda: with_function("org.pytorch.aten", "ATen"), "model-function"),
    "overload of a function": (lambda: overloaded(function=True), "model-function"),
    "overload of a call": (lambda: overloaded(function=False), "model-function"),
    "function defined twice": (defined_twice, "model-function"),
    "training graphs": (lambda: trained(external=False), "model-training-info"),
    "training graphs with external data": (lambda: trained(external=True), "model-external-data"),
    "sparse weight of 16 GB": (sparse_weight, "model-limits"),
    "sparse constants": (lambda: sparse_constants(40, 2**22), "model-limits"),
    "sparse constants in a function": (lambda: sparse_constants(40, 2**22, in_function=True), "model-limits"),
    "bound of another scope": (bound_of_another_scope, "model-control-flow"),
    "bound by attribute": (bound_by_attribute, "model-control-flow"),
    "bound by input": (bound_by_input, "model-control-flow"),
    "loops within functions": (loops_in_functions, "model-control-flow"),
    "operator set declared twice": (opsets_twice, "model-opset"),
    **{
        field: (lambda field=field: described(field), "model-limits")  # type: ignore[misc]
        for field in (
            "metadata",
            "documentation",
            "documentation of a tensor",
            "metadata of an operator",
            "name of an operator",
            "padding of a tensor",
        )
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_graphs_are_refused(name: str, tmp_path: Path) -> None:
    make, code = HOSTILE[name]
    assert code in codes(make(), tmp_path)


def test_functions_are_inlined_and_give_the_same_predictions(tmp_path: Path) -> None:
    import onnxruntime

    model = with_function("pkg.own")
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    problems, inlined = graph_problems(read_onnx(path), str(path))
    assert problems == []
    assert not len(inlined.functions)
    assert {node.domain for node in inlined.graph.node} == {""}
    image = np.random.default_rng(0).normal(0, 1, (3, 1, SIZE, SIZE)).astype(np.float32)
    answers = [
        onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"image": image})[0]
        for m in (model, inlined)
    ]
    np.testing.assert_array_equal(*answers)


def test_a_loop_with_a_constant_bound_is_accepted(tmp_path: Path) -> None:
    nodes, _ = loop("n", [helper.make_node("Constant", [], ["n"], value_int=3)])
    assert codes(with_function("own", nodes=nodes), tmp_path) == set()


def test_a_small_sparse_weight_is_accepted(tmp_path: Path) -> None:
    assert "model-limits" not in codes(sparse_constants(1, 1000), tmp_path)
