"""What a model costs per image at least: multiplications and bytes, counted in its graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import onnx
from onnx import TensorProto, helper, inliner, shape_inference

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
    """Counts a model's work.

    Args:
        model: Without external data; it is not changed.
        inputs: Input name → shape of one image, without the batch.

    Raises:
        UncountedError: The model holds operators whose work cannot be read off, or sizes that stay unknown.
    """
    graph = _with_shapes(model, inputs)
    if found := sorted({node.op_type for node in graph.node} & _UNCOUNTED):
        raise UncountedError(f"the work of {', '.join(found)} is not told by the graph")
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
