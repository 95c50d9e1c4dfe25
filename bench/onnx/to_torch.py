"""An ONNX graph as a PyTorch module of straight-line code, for timing it with PyTorch.

No maintained converter takes the graphs of today's exporter. This one knows the operators of
convolutional networks and of simple transformers and refuses every other; that its answers are right is
shown for each model anew, by the parity check of the timed session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from onnx import helper, inliner, numpy_helper
from torch import Tensor, fx, nn

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
    """Translate a self-contained model; its weights keep their precision.

    Raises:
        UnsupportedOperatorError: The graph holds something that is not known here.
    """
    graph = (inliner.inline_local_functions(model) if model.functions else model).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    stored |= {n.output[0]: _constant(n) for n in graph.node if n.op_type == "Constant"}
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    if unknown := sorted({f"{n.domain}.{n.op_type}".lstrip(".") for n in nodes if not _known(n)}):
        raise UnsupportedOperatorError(f"PyTorch has no translation of {', '.join(unknown)}")
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
    """Record each node's function once, so that nothing of this loop is left when the model is timed."""
    root, code = nn.Module(), fx.Graph()
    tracer = fx.proxy.GraphAppendingTracer(code)
    proxies: dict[str, Any] = {
        name: fx.Proxy(code.placeholder(f"input_{i}"), tracer) for i, name in enumerate(inputs)
    }
    for index, (name, array) in enumerate(stored.items()):
        root.register_buffer(f"weight_{index}", _tensor(array))
        proxies[name] = fx.Proxy(code.get_attr(f"weight_{index}"), tracer)
    for node in nodes:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        arguments = [_argument(node, i, proxies, stored) for i in range(len(node.input))]
        proxies[node.output[0]] = OPERATORS[node.op_type](attributes, *arguments)
    code.output(tuple(proxies[name].node for name in outputs))
    code.eliminate_dead_code()
    return fx.GraphModule(root, code).eval()


def _argument(
    node: onnx.NodeProto, index: int, proxies: dict[str, Any], stored: dict[str, npt.NDArray[Any]]
) -> Any:
    name = node.input[index]
    if not name:
        return None
    if index not in SETTINGS.get(node.op_type, ()):
        return proxies[name]
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


Attributes = dict[str, Any]
Operator = Callable[..., Tensor]


class UnsupportedOperatorError(ValueError):
    """A model holds what this translation does not know."""


def _padded(x: Tensor, attributes: Attributes, fill: float) -> tuple[Tensor, list[int]]:
    """The image, padded where its sides differ, and the padding that is left to the operator."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise UnsupportedOperatorError(f"auto_pad {attributes['auto_pad'].decode()}")
    pads = list(attributes.get("pads", (0, 0, 0, 0)))
    if len(pads) != 4:
        raise UnsupportedOperatorError("a window that is not of two dimensions")
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return x, [top, left]
    return F.pad(x, (left, right, top, bottom), value=fill), [0, 0]


def _conv(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x, padding = _padded(x, attributes, 0.0)
    return F.conv2d(
        x,
        weight,
        bias,
        stride=attributes.get("strides", [1, 1]),
        padding=padding,
        dilation=attributes.get("dilations", [1, 1]),
        groups=attributes.get("group", 1),
    )


def _max_pool(attributes: Attributes, x: Tensor) -> Tensor:
    x, padding = _padded(x, attributes, -float("inf"))
    return F.max_pool2d(
        x,
        attributes["kernel_shape"],
        attributes.get("strides", [1, 1]),
        padding,
        attributes.get("dilations", [1, 1]),
        bool(attributes.get("ceil_mode", 0)),
    )


def _average_pool(attributes: Attributes, x: Tensor) -> Tensor:
    whole = bool(attributes.get("count_include_pad", 0))
    padded, padding = _padded(x, attributes, 0.0)
    if padded is not x and not whole:
        raise UnsupportedOperatorError("AveragePool that leaves out a padding of unequal sides")
    if attributes.get("dilations", [1, 1]) != [1, 1]:
        raise UnsupportedOperatorError("AveragePool with dilations")
    ceil = bool(attributes.get("ceil_mode", 0))
    return F.avg_pool2d(
        padded, attributes["kernel_shape"], attributes.get("strides", [1, 1]), padding, ceil, whole
    )


def _batch_norm(
    attributes: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    return F.batch_norm(x, mean, variance, scale, bias, training=False, eps=attributes.get("epsilon", 1e-5))


def _gemm(attributes: Attributes, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.t() if attributes.get("transA", 0) else a
    b = b.t() if attributes.get("transB", 0) else b
    product = torch.matmul(a, b)
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    product = product if alpha == 1.0 else alpha * product
    if c is None:
        return product
    return product + (c if beta == 1.0 else beta * c)


def _axes(attributes: Attributes, axes: Any) -> list[int] | None:
    """Axes of a reduction: an input from opset 18 (13 for some), an attribute before; None for all."""
    numbers = attributes.get("axes") if axes is None else np.asarray(axes).tolist()
    return list(numbers) if numbers else None


def _reduction(function: Callable[..., Tensor]) -> Operator:
    def reduced(attributes: Attributes, x: Tensor, axes: Any = None) -> Tensor:
        dims = _axes(attributes, axes)
        if dims is None and attributes.get("noop_with_empty_axes", 0):
            return x
        if dims is None:
            raise UnsupportedOperatorError("a reduction over all axes, the batch with them")
        return function(x, dims, keepdim=bool(attributes.get("keepdims", 1)))

    return reduced


def _softmax(attributes: Attributes, x: Tensor) -> Tensor:
    return torch.softmax(x, attributes.get("axis", -1))


def _reshape(attributes: Attributes, x: Tensor, shape: Any) -> Tensor:
    sizes = np.asarray(shape).tolist()
    zeros = not attributes.get("allowzero", 0)
    return x.reshape([x.size(i) if size == 0 and zeros else size for i, size in enumerate(sizes)])


def _layer_norm(attributes: Attributes, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    if attributes.get("axis", -1) != -1:
        raise UnsupportedOperatorError("LayerNormalization over several axes")
    return F.layer_norm(x, scale.shape, scale, bias, attributes.get("epsilon", 1e-5))


def _clip(attributes: Attributes, x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    low = attributes.get("min") if low is None else float(low)
    high = attributes.get("max") if high is None else float(high)
    return x if low is None and high is None else torch.clamp(x, low, high)


def _unsqueeze(attributes: Attributes, x: Tensor, axes: Any = None) -> Tensor:
    dims = _axes(attributes, axes) or []
    if min(dims, default=0) < 0 and len(dims) > 1:
        raise UnsupportedOperatorError("Unsqueeze of several axes counted from the end")
    for dim in sorted(dims):
        x = x.unsqueeze(dim)
    return x


def _squeeze(attributes: Attributes, x: Tensor, axes: Any = None) -> Tensor:
    dims = _axes(attributes, axes)
    if dims is None:
        raise UnsupportedOperatorError("Squeeze without axes")
    return torch.squeeze(x, tuple(dims))


def _flatten(attributes: Attributes, x: Tensor) -> Tensor:
    if attributes.get("axis", 1) != 1:
        raise UnsupportedOperatorError("Flatten of an axis other than 1")
    return torch.flatten(x, 1)


def _cast(attributes: Attributes, x: Tensor) -> Tensor:
    kinds = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float16}
    kinds |= {11: torch.float64, 16: torch.bfloat16}
    if attributes["to"] not in kinds:
        raise UnsupportedOperatorError("Cast to a type that is not exchanged")
    return x.to(kinds[attributes["to"]])


def _gelu(attributes: Attributes, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=attributes.get("approximate", b"none").decode())


def _pointwise(function: Callable[..., Tensor]) -> Operator:
    return lambda _, *inputs: function(*inputs)


def _sum(_: Attributes, *inputs: Tensor) -> Tensor:
    total = inputs[0]
    for addend in inputs[1:]:
        total = total + addend
    return total


def _global_pool(function: Callable[..., Tensor]) -> Operator:
    return lambda _, x: function(x, [2, 3], keepdim=True)


def _concat(attributes: Attributes, *inputs: Tensor) -> Tensor:
    return torch.cat(inputs, attributes["axis"])


def _transpose(attributes: Attributes, x: Tensor) -> Tensor:
    if "perm" not in attributes:
        raise UnsupportedOperatorError("Transpose without an order of axes")
    return x.permute(attributes["perm"])


OPERATORS: Final[dict[str, Operator]] = {
    "Abs": _pointwise(torch.abs),
    "Add": _pointwise(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _pointwise(torch.div),
    "Erf": _pointwise(torch.erf),
    "Exp": _pointwise(torch.exp),
    "Flatten": _flatten,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool(torch.mean),
    "GlobalMaxPool": _global_pool(torch.amax),
    "HardSwish": _pointwise(F.hardswish),
    "Identity": _pointwise(lambda x: x),
    "IsNaN": _pointwise(torch.isnan),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda attributes, x: F.leaky_relu(x, attributes.get("alpha", 0.01)),
    "MatMul": _pointwise(torch.matmul),
    "MaxPool": _max_pool,
    "Mul": _pointwise(torch.mul),
    "Neg": _pointwise(torch.neg),
    "Pow": _pointwise(torch.pow),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean),
    "ReduceMin": _reduction(torch.amin),
    "ReduceSum": _reduction(torch.sum),
    "Relu": _pointwise(torch.relu),
    "Reshape": _reshape,
    "Sigmoid": _pointwise(torch.sigmoid),
    "Softmax": _softmax,
    "Sqrt": _pointwise(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _pointwise(torch.sub),
    "Sum": _sum,
    "Tanh": _pointwise(torch.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _pointwise(torch.where),
}
"""Operator → function of its attributes and inputs."""

SETTINGS: Final[dict[str, Sequence[int]]] = {
    "Clip": (1, 2),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceMin": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
}
"""Operator → its inputs that must be stored in the file."""
