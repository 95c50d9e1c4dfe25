"""An ONNX graph as a PyTorch module of straight-line code, for timing it with PyTorch.

No maintained converter takes the graphs of today's exporter. This one knows the operators of
convolutional networks and of simple transformers and refuses every other; that its answers are right is
shown for each model anew, by the parity check of the timed session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, inliner, numpy_helper
from torch import Tensor, fx, nn

from bench.runtime.torch_operators import OPERATORS, SETTINGS, UnsupportedOperatorError

CONVERTER: Final = "onnx-to-torch/1"


@dataclass(frozen=True, slots=True)
class Translated:
    """A graph as a module.

    Attributes:
        module: Takes the inputs in their order and gives the outputs as a tuple.
        sizes: Input name → its sizes, -1 where free.
        outputs: Names of what it gives.
    """

    module: nn.Module
    sizes: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]


def to_torch(model: onnx.ModelProto) -> Translated:
    """Translates a self-contained model; its weights keep their precision.

    Raises:
        UnsupportedOperatorError: The graph holds something that is not known here.
    """
    graph = (inliner.inline_local_functions(model) if model.functions else model).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    stored |= {n.output[0]: _constant(n) for n in graph.node if n.op_type == "Constant"}
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    if unknown := sorted({f"{n.domain}.{n.op_type}".lstrip(".") for n in nodes if not _known(n)}):
        raise UnsupportedOperatorError(f"PyTorch is not told how to do {', '.join(unknown)}")
    inputs = [value for value in graph.input if value.name not in stored]
    sizes = {value.name: _sizes(value) for value in inputs}
    outputs = tuple(value.name for value in graph.output)
    return Translated(_module(nodes, list(sizes), outputs, stored), sizes, outputs)


def _module(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[str],
    outputs: Sequence[str],
    stored: dict[str, npt.NDArray[Any]],
) -> nn.Module:
    """Records each node's function once, so that nothing of this loop is left when it counts."""
    root, code = nn.Module(), fx.Graph()
    tracer = fx.proxy.GraphAppendingTracer(code)
    found: dict[str, Any] = {
        name: fx.Proxy(code.placeholder(f"input_{i}"), tracer) for i, name in enumerate(inputs)
    }
    for index, (name, array) in enumerate(stored.items()):
        root.register_buffer(f"weight_{index}", _tensor(array))
        found[name] = fx.Proxy(code.get_attr(f"weight_{index}"), tracer)
    for node in nodes:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        arguments = [_argument(node, i, found, stored) for i in range(len(node.input))]
        found[node.output[0]] = OPERATORS[node.op_type](attributes, *arguments)
    code.output(tuple(found[name].node for name in outputs))
    code.eliminate_dead_code()
    return fx.GraphModule(root, code).eval()


def _argument(
    node: onnx.NodeProto, index: int, found: dict[str, Any], stored: dict[str, npt.NDArray[Any]]
) -> Any:
    name = node.input[index]
    if not name:
        return None
    if index not in SETTINGS.get(node.op_type, ()):
        return found[name]
    if name not in stored:
        raise UnsupportedOperatorError(f"{node.op_type} with a setting that is computed")
    return stored[name]


def _sizes(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    dims = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in dims)


def _known(node: onnx.NodeProto) -> bool:
    return node.domain in ("", "ai.onnx") and node.op_type in OPERATORS and not any(node.output[1:])


def _constant(node: onnx.NodeProto) -> npt.NDArray[Any]:
    """The value of a node `Constant`."""
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value, np.float32 if attribute.name.startswith("value_float") else np.int64)


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array, copy=True))
