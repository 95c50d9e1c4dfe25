"""How much an ONNX file may hold and unfold to, worked out from the file alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from bench.errors import Problem

MOST_NODES = 100_000
MOST_TENSORS = 100_000
MOST_UNFOLDED = 1_000_000
"""Operators after every call of a function is replaced by its body."""
MOST_ELEMENTS = 2**31 - 1
LOOP_LIMIT = 10_000
_DENSEST = 8  # elements in a stored byte; the narrowest type of ONNX has two bits
_TOO_MANY = 10**15


def size_problems(nodes: int, tensors: Iterable[Any], where: str) -> list[Problem]:
    """What is too large in a parsed model, or says that it is.

    Args:
        nodes: The model's operators, those in functions and nested graphs included.
        tensors: Everything that it stores.
        where: Named in the problems.
    """
    stored = list(tensors)
    faults = []
    if nodes > MOST_NODES:
        faults.append(f"It has {nodes:,} operators; at most {MOST_NODES:,} are accepted.")
    if len(stored) > MOST_TENSORS:
        faults.append(f"It stores {len(stored):,} tensors; at most {MOST_TENSORS:,} are accepted.")
    sizes = [(math.prod(tensor.dims), tensor) for tensor in stored if min(tensor.dims, default=0) >= 0]
    negative = len(stored) - len(sizes)
    if negative:
        faults.append(f"{negative:,} stored tensors have a negative size.")
    if large := sum(size > MOST_ELEMENTS for size, _ in sizes):
        faults.append(f"{large:,} stored tensors have more than {MOST_ELEMENTS:,} elements.")
    external = 1  # TensorProto.EXTERNAL; those are refused for what they are
    if hollow := sum(
        1024 < size > _DENSEST * t.ByteSize() for size, t in sizes if t.data_location != external
    ):
        faults.append(
            f"{hollow:,} stored tensors say that they have more elements than bytes are stored for."
        )
    return [Problem("model-limits", fault, where) for fault in faults]


def unfolding_problems(model: Any, bounds: Mapping[int, int], where: str) -> list[Problem]:
    """What grows when the model is run: nested loops multiply, and so do functions that call functions.

    Args:
        model: Parsed `onnx.ModelProto`.
        bounds: `id` of each Loop operator → its most passes.
        where: Named in the problems.
    """
    count = _Count(model, bounds)
    try:
        nodes, passes = count.graph(model.graph)
    except _CircleError as circle:
        message = f"Functions of the file call each other in a circle, first {str(circle)[:60]!r}."
        return [Problem("model-control-flow", message, where)]
    problems = []
    if nodes > MOST_UNFOLDED:
        message = f"With its functions unfolded it has more than {MOST_UNFOLDED:,} operators."
        problems.append(Problem("model-limits", message, where))
    if passes > LOOP_LIMIT:
        message = f"Loops within loops make more than {LOOP_LIMIT:,} passes."
        problems.append(Problem("model-control-flow", message, where))
    return problems


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
        found = self._known[key]
        if found is None:
            raise _CircleError(key[1])
        return found


def _subgraphs(node: Any) -> list[Any]:
    return [
        graph
        for attribute in node.attribute
        for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs)
    ]
