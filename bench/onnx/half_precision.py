"""Half-precision copies of an ONNX graph: weights and everything between them, float32 at both ends.

The graph says its own precision, so that an engine cannot quietly run in another: a strongly typed network
takes the types as they stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, inliner, numpy_helper, shape_inference, version_converter

Half = Literal["fp16", "bf16"]

BFLOAT16_OPSET = 22  # the first whose convolutions and pools may be in bfloat16

_TYPES: dict[Half, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_NUMPY: dict[Half, Any] = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16}
# Operator → inputs that ONNX allows in float32 alone.
_SINGLE_ONLY = {"Resize": (1, 2), "Upsample": (1,)}
_TYPED_ATTRIBUTES = {"Cast": "to", "EyeLike": "dtype", "RandomNormal": "dtype", "RandomUniform": "dtype"}


def cast_model(model: onnx.ModelProto, precision: Half) -> tuple[onnx.ModelProto, int]:
    """A copy of `model` that computes in half precision, and how many weights lay beyond its range.

    Args:
        model: In float32, without external data; it is not changed.
        precision: ``fp16`` or ``bf16``. Values beyond the range of fp16 are set to its largest.

    Raises:
        onnx.checker.ValidationError: The copy is no valid graph.
        onnx.shape_inference.InferenceError: The types of the copy contradict each other.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(inliner.inline_local_functions(model) if model.functions else model)
    if precision == "bf16":
        copy = _with_opset(copy, BFLOAT16_OPSET)
    caster = _Caster(precision)
    caster.convert(copy.graph)
    _casts_at_the_ends(copy.graph, _TYPES[precision])
    onnx.checker.check_model(copy, full_check=True)
    return copy, caster.clipped


def _with_opset(model: onnx.ModelProto, least: int) -> onnx.ModelProto:
    version = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return model if version >= least else version_converter.convert_version(model, least)


def tensor_types(model: onnx.ModelProto) -> dict[str, int]:
    """Count the tensors between the operators by type: the evidence for a graph's precision."""
    inferred = shape_inference.infer_shapes(model).graph
    names = Counter(
        TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
        for value in (*inferred.value_info, *inferred.output)
    )
    return dict(sorted(names.items()))


class _Caster:
    """Turn the float32 tensors of a graph, and of the graphs in its attributes, into half precision."""

    def __init__(self, precision: Half) -> None:
        self.kind = _TYPES[precision]
        self.numpy = _NUMPY[precision]
        self.clipped = 0

    def convert(self, graph: onnx.GraphProto, *, nested: bool = False) -> None:
        kept = _single_only(graph)
        for tensor in graph.initializer:
            if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
                tensor.CopyFrom(self._tensor(tensor))
        del graph.value_info[:]
        if nested:
            for value in (*graph.input, *graph.output):
                if value.type.tensor_type.elem_type == TensorProto.FLOAT:
                    value.type.tensor_type.elem_type = self.kind
        for node in graph.node:
            if not (node.op_type == "Constant" and node.output[0] in kept):
                self._node(node)
        nodes = list(_with_single_inputs(graph, kept))
        del graph.node[:]
        graph.node.extend(nodes)

    def _node(self, node: onnx.NodeProto) -> None:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                self.convert(attribute.g, nested=True)
            elif attribute.type == onnx.AttributeProto.TENSOR:
                if attribute.t.data_type == TensorProto.FLOAT:
                    attribute.t.CopyFrom(self._tensor(attribute.t))
            elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
                single = attribute.name == "value_float"
                values = np.float32(attribute.f) if single else np.array(attribute.floats, np.float32)
                tensor = self._tensor(numpy_helper.from_array(np.asarray(values)))
                attribute.CopyFrom(helper.make_attribute("value", tensor))
            elif attribute.name == _TYPED_ATTRIBUTES.get(node.op_type) and attribute.i == TensorProto.FLOAT:
                attribute.i = self.kind

    def _tensor(self, tensor: onnx.TensorProto) -> onnx.TensorProto:
        values = numpy_helper.to_array(tensor)
        largest = float(ml_dtypes.finfo(self.numpy).max)  # type: ignore[no-untyped-call]
        beyond = np.isfinite(values) & (np.abs(values) > largest)
        self.clipped += int(beyond.sum())
        cast = np.where(beyond, np.sign(values) * np.float32(largest), values).astype(self.numpy)
        return helper.make_tensor(tensor.name, self.kind, list(tensor.dims), cast.tobytes(), raw=True)


def _single_only(graph: onnx.GraphProto) -> set[str]:
    """Names of stored tensors that feed an input which is float32 in every precision."""
    return {
        node.input[index]
        for node in graph.node
        for index in _SINGLE_ONLY.get(node.op_type, ())
        if index < len(node.input) and node.input[index]
    }


def _with_single_inputs(graph: onnx.GraphProto, kept: set[str]) -> Iterator[onnx.NodeProto]:
    """The nodes; where a computed tensor feeds such an input, it is cast back to float32 before."""
    stored = {tensor.name for tensor in graph.initializer}
    stored |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    for node in graph.node:
        for index in _SINGLE_ONLY.get(node.op_type, ()):
            if index < len(node.input) and node.input[index] in kept - stored:
                name = f"{node.input[index]}_single_{node.output[0]}"
                yield helper.make_node("Cast", [node.input[index]], [name], to=TensorProto.FLOAT)
                node.input[index] = name
        yield node


def _casts_at_the_ends(graph: onnx.GraphProto, kind: int) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    computed = {name for node in graph.node for name in node.output}
    inputs = {
        value.name: f"{value.name}_half"
        for value in graph.input
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and value.name not in weights
    }
    outputs = {
        value.name: f"{value.name}_half"
        for value in graph.output
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and value.name in computed
    }
    _rename(graph, inputs | outputs)
    first = [helper.make_node("Cast", [name], [half], to=kind) for name, half in inputs.items()]
    last = [helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT) for name, half in outputs.items()]
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename tensors wherever nodes name them, in nested graphs too; the ends of `graph` keep their names."""
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = names.get(name, name)
        for position, name in enumerate(node.output):
            node.output[position] = names.get(name, name)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _rename(attribute.g, names)
                for value in attribute.g.output:
                    value.name = names.get(value.name, value.name)
