"""Limits on what an ONNX file holds and unfolds to, and its cost, from the file alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import onnx
from onnx import TensorProto, helper, inliner, shape_inference

from bench.errors import Problem

MOST_NODES = 100_000
MOST_TENSORS = 100_000
MOST_UNFOLDED = 1_000_000
"""Operators after every call of a function is replaced by its body."""
MOST_ELEMENTS = 2**31 - 1
LOOP_LIMIT = 10_000
MOST_SPARSE_ELEMENTS = 2**26
"""Elements of all sparse tensors together, unfolded as a runtime does: 256 MiB in single precision."""
MOST_OTHER_BYTES = 32 * 2**20
_WIDEST = 16  # bytes of an element; the widest type is complex128
_DENSEST = 8  # elements in a stored byte; the narrowest type of ONNX has two bits
_TOO_MANY = 10**15


def size_problems(
    nodes: int, stored: Sequence[Any], sparse: Sequence[Any], total_bytes: int, where: str
) -> list[Problem]:
    """Find what is too large in a parsed model, or states that it is.

    Args:
        nodes: The model's operators, those in functions and nested graphs included.
        stored: Every tensor that it stores, the values and indices of sparse ones included.
        sparse: Its sparse tensors.
        total_bytes: Size of the whole model.
        where: Named in the problems.
    """
    faults = []
    if nodes > MOST_NODES:
        faults.append(f"It has {nodes:,} operators; at most {MOST_NODES:,} are accepted.")
    if len(stored) > MOST_TENSORS:
        faults.append(f"It stores {len(stored):,} tensors; at most {MOST_TENSORS:,} are accepted.")
    sizes = [(math.prod(tensor.dims), tensor) for tensor in stored if min(tensor.dims, default=0) >= 0]
    unfolded = [math.prod(tensor.dims) for tensor in sparse if min(tensor.dims, default=0) >= 0]
    negative = len(stored) - len(sizes) + len(sparse) - len(unfolded)
    if negative:
        faults.append(f"{negative:,} stored tensors have a negative size.")
    if large := sum(size > MOST_ELEMENTS for size, _ in sizes):
        faults.append(f"{large:,} stored tensors have more than {MOST_ELEMENTS:,} elements.")
    if (elements := sum(unfolded)) > MOST_SPARSE_ELEMENTS:
        faults.append(
            f"Its sparse tensors have {elements:,} elements; at most {MOST_SPARSE_ELEMENTS:,} are accepted."
        )
    external = 1  # TensorProto.EXTERNAL; those are refused for what they are
    if hollow := sum(
        1024 < size > _DENSEST * t.ByteSize() for size, t in sizes if t.data_location != external
    ):
        faults.append(f"{hollow:,} stored tensors declare more elements than their stored bytes hold.")
    values = sum(min(t.ByteSize(), _WIDEST * size) for size, t in sizes)
    if (others := total_bytes - values) > MOST_OTHER_BYTES:
        faults.append(
            f"{others / 2**20:,.0f} MiB of it are not weights (names, metadata, documentation); at most "
            f"{MOST_OTHER_BYTES / 2**20:,.0f} MiB are accepted."
        )
    return [Problem("model-limits", fault, where) for fault in faults]


def function_problems(model: Any, where: str) -> list[Problem]:
    """Find functions that call each other in a circle, or that unfold to too many operators.

    Args:
        model: Parsed `onnx.ModelProto`.
        where: Named in the problems.
    """
    try:
        nodes, _ = _Count(model, {}).graph(model.graph)
    except _CircleError as circle:
        message = f"Functions of the file call each other in a circle, first {str(circle)[:60]!r}."
        return [Problem("model-control-flow", message, where)]
    if nodes <= MOST_UNFOLDED:
        return []
    message = f"With its functions unfolded it has more than {MOST_UNFOLDED:,} operators."
    return [Problem("model-limits", message, where)]


def pass_problems(model: Any, bounds: Mapping[int, int], where: str) -> list[Problem]:
    """Find loops within loops that make too many passes.

    Args:
        model: Parsed `onnx.ModelProto` without functions.
        bounds: `id` of each Loop operator → its most passes.
        where: Named in the problems.
    """
    _, passes = _Count(model, bounds).graph(model.graph)
    if passes <= LOOP_LIMIT:
        return []
    message = f"Loops within loops make more than {LOOP_LIMIT:,} passes."
    return [Problem("model-control-flow", message, where)]


class _CircleError(Exception):
    """A function that calls itself, perhaps by way of others."""


class _Count:
    """Operators after unfolding, and passes of the innermost loop; each function is counted once."""

    def __init__(self, model: Any, bounds: Mapping[int, int]) -> None:
        self._functions = {(f.domain, f.name): f for f in model.functions}
        self._bounds = bounds
        self._known: dict[tuple[str, str], tuple[int, int] | None] = {}

    def graph(self, graph: Any) -> tuple[int, int]:
        nodes, passes = 0, 1
        for node in graph.node:
            inner = [self.graph(sub) for sub in _subgraphs(node)]
            if (key := (node.domain, node.op_type)) in self._functions:
                inner.append(self._function(key))
            nodes += 1 + sum(n for n, _ in inner)
            bound = self._bounds.get(id(node), 1) if node.op_type == "Loop" else 1
            passes = max([passes, *(bound * p for _, p in inner)])
        return min(nodes, _TOO_MANY), min(passes, _TOO_MANY)

    def _function(self, key: tuple[str, str]) -> tuple[int, int]:
        if key not in self._known:
            self._known[key] = None  # being counted
            try:
                self._known[key] = self.graph(self._functions[key])
            except RecursionError:
                raise _CircleError(key[1]) from None
        counts = self._known[key]
        if counts is None:
            raise _CircleError(key[1])
        return counts


def _subgraphs(node: Any) -> list[Any]:
    return [
        graph
        for attribute in node.attribute
        for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs)
    ]


# Operators whose work the shapes of a graph do not tell.
_UNCOUNTED: Final = frozenset({"Attention", "Einsum", "GRU", "If", "LSTM", "Loop", "RNN", "Scan"})


class UncountedError(ValueError):
    """The work of a model does not follow from its graph."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The least work of one image.

    Attributes:
        multiply_adds: Of convolutions and matrix products; what else there is counts as nothing.
        weight_bytes: Stored weights, read once for each batch.
        image_bytes: Inputs and outputs of one image; what lies between is taken to stay on the chip.
    """

    multiply_adds: int
    weight_bytes: int
    image_bytes: int


def model_cost(model: onnx.ModelProto, inputs: Mapping[str, tuple[int, ...]]) -> Cost:
    """Count a model's work.

    Args:
        model: Without external data; it is not changed.
        inputs: Input name → shape of one image, without the batch.

    Raises:
        UncountedError: The model holds operators whose work cannot be read off, or sizes that stay unknown.
    """
    graph = _with_shapes(model, inputs)
    if uncounted := sorted({node.op_type for node in graph.node} & _UNCOUNTED):
        raise UncountedError(f"the work of {', '.join(uncounted)} does not follow from the graph")
    shapes = {
        value.name: tuple(
            d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim
        )
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    ends = [value for value in (*graph.input, *graph.output) if value.name not in _weights(graph)]
    return Cost(
        multiply_adds=sum(_multiply_adds(node, shapes) for node in graph.node),
        weight_bytes=sum(_bytes(t.data_type, tuple(t.dims)) for t in graph.initializer),
        image_bytes=sum(_bytes(v.type.tensor_type.elem_type, _known(v.name, shapes)) for v in ends),
    )


def _weights(graph: onnx.GraphProto) -> set[str]:
    return {tensor.name for tensor in graph.initializer}


def _with_shapes(model: onnx.ModelProto, inputs: Mapping[str, tuple[int, ...]]) -> onnx.GraphProto:
    """The graph for a batch of one, with the sizes of everything that can be inferred."""
    copy = onnx.ModelProto()
    copy.CopyFrom(inliner.inline_local_functions(model) if model.functions else model)
    del copy.graph.value_info[:]
    for value in copy.graph.input:
        if value.name in inputs:
            shape = (1, *inputs[value.name])
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, shape))
    for value in copy.graph.output:
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(helper.make_tensor_value_info(value.name, kind, None))
    return shape_inference.infer_shapes(copy, data_prop=True).graph


def _known(name: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    shape = shapes.get(name)
    if shape is None or min(shape, default=1) < 0:
        raise UncountedError(f"the size of {name!r} does not follow from the graph")
    return shape


def _bytes(kind: int, shape: tuple[int, ...]) -> int:
    if kind in (TensorProto.INT4, TensorProto.UINT4):
        return (prod(shape) + 1) // 2
    return prod(shape) * int(helper.tensor_dtype_to_np_dtype(kind).itemsize)


def _multiply_adds(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Multiplications with an addition each; 0 for an operator that is no product."""
    if node.op_type == "Conv":
        weight = _known(node.input[1], shapes)  # (outputs, inputs / groups, height, width)
        return prod(_known(node.output[0], shapes)) * prod(weight[1:])
    if node.op_type == "ConvTranspose":
        weight = _known(node.input[1], shapes)  # (inputs, outputs / groups, height, width)
        return prod(_known(node.input[0], shapes)) * prod(weight[1:])
    if node.op_type == "MatMul":
        return prod(_known(node.output[0], shapes)) * _known(node.input[0], shapes)[-1]
    if node.op_type == "Gemm":
        rows = _known(node.input[0], shapes)
        return prod(_known(node.output[0], shapes)) * rows[0 if _flag(node, "transA") else 1]
    return 0


def _flag(node: onnx.NodeProto, name: str) -> bool:
    attributes: dict[str, Any] = {attribute.name: attribute.i for attribute in node.attribute}
    return bool(attributes.get(name, 0))
