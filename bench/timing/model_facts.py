"""Facts about an ONNX file that affect its speed: data-dependent operators and stored precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import onnx
from onnx import TensorProto

CONTROL_FLOW: Final = ("If", "Loop", "Scan")

_PRODUCTS: Final = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_INTEGER_PRODUCTS: Final = {"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
_NAMES: Final[dict[int, str]] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.DOUBLE: "fp64",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
}

# Precision of a row → precisions of products that would make its figures those of another precision.
_LOWER: Final = {
    "fp32": {"fp16", "bf16", "int8"},
    "tf32": {"fp16", "bf16", "int8"},
    "fp16": {"int8"},
    "bf16": {"int8"},
}


def control_flow(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the control-flow operators in a model, its subgraphs and its functions."""
    operators = {node.op_type for node in _nodes(model)}
    return tuple(name for name in CONTROL_FLOW if name in operators)


def stored_precision(model: onnx.ModelProto) -> dict[str, int]:
    """Precision → number of convolutions and matrix products whose operands are of it.

    A product of dequantised values is counted as int8: backends compute it so.
    """
    inferred = onnx.shape_inference.infer_shapes(model)
    types: dict[str, int] = {t.name: t.data_type for t in inferred.graph.initializer}
    for value in (*inferred.graph.input, *inferred.graph.output, *inferred.graph.value_info):
        types.setdefault(value.name, value.type.tensor_type.elem_type)
    makers = {name: node.op_type for node in _nodes(model) for name in node.output}
    counts: Counter[str] = Counter()
    for node in _nodes(model):
        if node.op_type in _INTEGER_PRODUCTS:
            counts["int8"] += 1
        elif node.op_type in _PRODUCTS:
            operands = node.input[:2]
            if any(makers.get(name) == "DequantizeLinear" for name in operands):
                counts["int8"] += 1
            else:
                known = next((types[name] for name in reversed(operands) if types.get(name)), 0)
                counts[_NAMES.get(known, "unknown")] += 1
    return dict(sorted(counts.items()))


def precision_fault(stored: dict[str, int], precision: str) -> str:
    """Reason why a row's figures would stand under the wrong precision; empty where they do not."""
    lower = {name: count for name, count in stored.items() if name in _LOWER.get(precision, set())}
    if not lower:
        return ""
    counts = ", ".join(f"{count} in {name}" for name, count in lower.items())
    return (
        f"The file holds products of lower precision than {precision} ({counts} of {sum(stored.values())}): "
        f"its figures are not those of {precision}."
    )


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    stack: list[onnx.NodeProto] = [
        *model.graph.node,
        *(node for function in model.functions for node in function.node),
    ]
    while stack:
        node = stack.pop()
        yield node
        for attribute in node.attribute:
            graphs = (attribute.g, *attribute.graphs)
            stack += [inner for graph in graphs for inner in graph.node]
