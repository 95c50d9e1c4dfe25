"""The process that looks for the first operator whose answer for an image depends on more than the image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import inliner

from bench.environment import usable_cores
from bench.runtime.backends.base import Arrays
from bench.sandbox.messages import read_message, serve, write_message
from bench.sandbox.worker_process import scrubbed

TENSORS_AT_A_TIME: Final = 128
"""Intermediate results that are held at once."""
OF_RANGE, OF_VALUE = 1e-3, 1e-5


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request with the operator's type and the name of its node; empty where none was found."""
    request, batch = read_message(requests)
    path = Path(request["model"])
    try:
        model = inliner.inline_local_functions(onnx.load(path, load_external_data=False))
        node = first_dependent(model, batch, random=bool(request["random"]))
    except Exception as error:
        raise RuntimeError(scrubbed(str(error), path)) from error
    write_message(answers, {"operator": node.op_type, "node": node.name} if node else {})


def first_dependent(model: onnx.ModelProto, batch: Arrays, *, random: bool) -> Any:
    """The first node one of whose results for the middle image of `batch` is not that of the image alone.

    Args:
        model: Without functions.
        batch: Name of the input → (3, …).
        random: Compare two runs of the same batch instead.
    """
    alone = {name: array[1:2] for name, array in batch.items()}
    for nodes in _portions(model):
        names = [name for node in nodes for name in node.output if name]
        first, second = _results(model, names, [batch, batch if random else alone])
        for node in nodes:
            if any(_differs(first.get(name), second.get(name), random=random) for name in node.output):
                return node
    return None


def _portions(model: onnx.ModelProto) -> Iterator[list[Any]]:
    """Nodes in their order; those that compute sizes alone are left out, since every batch has its size."""
    fixed = {tensor.name for tensor in model.graph.initializer} | {""}
    nodes = [node for node in model.graph.node if not _known_without_pixels(node, fixed)]
    for start in range(0, len(nodes), TENSORS_AT_A_TIME):
        yield nodes[start : start + TENSORS_AT_A_TIME]


def _known_without_pixels(node: Any, fixed: set[str]) -> bool:
    """Return whether a node is a constant or follows from sizes; its results are then added to `fixed`."""
    follows = node.op_type in ("Constant", "Shape", "Size") or (
        any(node.input) and fixed.issuperset(node.input)
    )
    if follows:
        fixed.update(node.output)
    return follows


def _results(model: onnx.ModelProto, names: list[str], runs: list[Arrays]) -> list[dict[str, Any]]:
    """The intermediate results of these names in each run."""
    import onnxruntime

    widened = onnx.ModelProto()
    widened.CopyFrom(model)
    known = {value.name for value in widened.graph.output}
    widened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        widened.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [dict(zip(names, session.run(names, inputs), strict=True)) for inputs in runs]


def _differs(first: Any, second: Any, *, random: bool) -> bool:
    """Return whether a result of the batch, cut to the middle image, differs from that image's own."""
    if not all(isinstance(result, np.ndarray) and result.dtype.kind in "biuf" for result in (first, second)):
        return False
    cut = first if random else _middle(first, second.shape)
    if cut is None or cut.shape != second.shape or not cut.size:
        return False
    left, right = cut.astype(np.float64), second.astype(np.float64)
    finite = np.isfinite(right)
    if not finite.any():
        return False
    span = float(np.ptp(right[finite]))
    allowed = OF_RANGE * span + OF_VALUE * float(np.abs(right[finite]).max())
    return bool((np.abs(left - right)[finite] > allowed).any())


def _middle(batch: npt.NDArray[Any], alone: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """The middle third along the axis that is three times as long as that of one image.

    A result that has no such axis is returned whole; None where its shape fits neither.
    """
    if batch.ndim != len(alone):
        return None
    axes = [axis for axis, size in enumerate(alone) if batch.shape[axis] != size]
    if not axes:
        return batch
    axis, size = axes[0], alone[axes[0]]
    if len(axes) > 1 or batch.shape[axis] != 3 * size:
        return None
    return batch.take(range(size, 2 * size), axis=axis)


if __name__ == "__main__":
    serve(work)
