"""Checks of an ONNX graph without running it: one file, standard operators, bounded loops."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from bench.errors import Problem
from bench.onnx.cost import LOOP_LIMIT, function_problems, pass_problems, size_problems
from bench.onnx.file import require_onnx

STANDARD_DOMAINS = ("", "ai.onnx.ml")
OLDEST_OPSET = 9
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def graph_problems(model: Any, where: str) -> tuple[list[Problem], Any]:
    """Find everything that is wrong inside a model, whatever its manifest says.

    Operators, loops and structure are judged after the model's functions are inlined: in that form it is run.

    Args:
        model: Parsed `onnx.ModelProto`; it is not changed.
        where: Named in the problems.

    Returns:
        The problems, and the model with its functions inlined: the model itself where it has none, or where
        they are at fault.
    """
    nodes = sum(1 for _ in _nodes(model))
    if problems := size_problems(
        nodes, list(_tensors(model)), list(_sparse_tensors(model)), model.ByteSize(), where
    ):
        return problems, model
    problems = [*_external(model, where), *_opsets(model, where), *_training_information(model, where)]
    if faults := [*_functions(model, where), *function_problems(model, where)]:
        return [*problems, *faults, *_operators(model, where)], model
    whole = _inlined(model)
    if len(whole.functions):
        named = ", ".join(repr(f"{f.domain[:60]}::{f.name[:60]}") for f in whole.functions[:3])
        message = f"{len(whole.functions)} of {len(model.functions)} functions cannot be inlined: {named}."
        return [*problems, Problem("model-function", message, where)], model
    problems += [*_operators(whole, where), *_loops(whole, where)]
    if not any(problem.severity == "error" for problem in problems):
        problems += _structure(whole, where)
    return [*problems, *_random(whole, where), *_batch_statistics(whole, where)], whole


def _inlined(model: Any) -> Any:
    if not len(model.functions):
        return model
    from onnx import inliner

    return inliner.inline_local_functions(model)


_RESERVED = ("ai.onnx", "com.", "org.pytorch.aten")
"""Beginnings of domains whose operators a runtime may know itself; the empty domain is reserved too."""


def _functions(model: Any, where: str) -> list[Problem]:
    """Functions that a runtime could take for its own operators, and overloads, which few tools know."""
    names = Counter((_domain(f.domain), f.name) for f in model.functions)
    reserved = [f"{d[:60]}::{n[:60]}" for d, n in names if not d or d.startswith(_RESERVED)]
    repeated = [f"{d[:60]}::{n[:60]}" for (d, n), count in names.items() if count > 1]
    calls = {(_domain(node.domain), node.op_type) for node in _nodes(model) if node.overload}
    overloads = [f"{d[:60]}::{n[:60]}" for d, n in calls]
    overloads += [f"{f.domain[:60]}::{f.name[:60]}" for f in model.functions if f.overload]
    return [
        Problem(
            "model-function",
            f"{len(operators):,} {what}: {', '.join(sorted(map(repr, operators))[:3])}.",
            where,
        )
        for operators, what in (
            (reserved, "functions of the file are in domains of ONNX or of a runtime"),
            (repeated, "functions are defined more than once"),
            (overloads, "functions or calls use overloads"),
        )
        if operators
    ]


def _training_information(model: Any, where: str) -> list[Problem]:
    """Training graphs inside the file, which inference never runs."""
    if not len(model.training_info):
        return []
    message = f"The file holds {len(model.training_info)} training graphs (`training_info`)."
    return [Problem("model-training-info", message, where)]


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _graphs(model: Any) -> Iterator[Any]:
    """The model's graph, its functions, and every graph nested in an attribute of either."""
    waiting = [model.graph, *model.functions]
    for training in model.training_info:
        waiting += [training.initialization, training.algorithm]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            waiting += _nested(node)


def _nested(node: Any) -> Iterator[Any]:
    """Every graph in an attribute of a node, but not those inside it."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _nodes(model: Any) -> Iterator[Any]:
    for graph in _graphs(model):
        yield from graph.node


def _tensors(model: Any) -> Iterator[Any]:
    """Every stored tensor: weights, sparse weights and tensors in attributes."""
    for graph in _graphs(model):
        yield from getattr(graph, "initializer", ())
        for node in graph.node:
            for attribute in node.attribute:
                yield from [attribute.t] if attribute.HasField("t") else []
                yield from attribute.tensors
    for sparse in _sparse_tensors(model):
        yield from (sparse.values, sparse.indices)


def _sparse_tensors(model: Any) -> Iterator[Any]:
    """Every stored sparse tensor: weights and those in attributes."""
    for graph in _graphs(model):
        yield from getattr(graph, "sparse_initializer", ())
        for node in graph.node:
            for attribute in node.attribute:
                yield from [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
                yield from attribute.sparse_tensors


def _external(model: Any, where: str) -> list[Problem]:
    external = require_onnx().TensorProto.EXTERNAL
    tensors = list(_tensors(model))
    outside = [tensor for tensor in tensors if tensor.data_location == external]
    if not outside:
        return []
    # protobuf hands on a name that is not UTF-8 as bytes
    files = {str(e.value) for tensor in outside for e in tensor.external_data if e.key == "location"}
    named = ", ".join(repr(name[:60]) for name in sorted(files)[:3]) or "no file named"
    stored = sum(bool(t.ByteSize()) for t in tensors)
    message = f"{len(outside)} of {stored} tensors lie in other files ({len(files)} files: {named})."
    return [Problem("model-external-data", message, where)]


def _opsets(model: Any, where: str) -> list[Problem]:
    onnx = require_onnx()
    newest = onnx.defs.onnx_opset_version()
    versions = {_domain(entry.domain): entry.version for entry in model.opset_import}
    problems = []
    if len(versions) < len(model.opset_import):
        message = f"{len(model.opset_import) - len(versions)} operator sets are declared more than once."
        problems.append(Problem("model-opset", message, where))
    if not OLDEST_OPSET <= versions.get("", 0) <= newest:
        declared = f"operator set {versions['']}" if "" in versions else "no operator set"
        message = f"The file declares {declared}; {OLDEST_OPSET} to {newest} are known here."
        problems.append(Problem("model-opset", message, where))
    if model.ir_version > onnx.IR_VERSION:
        message = f"The file is of IR version {model.ir_version}; up to {onnx.IR_VERSION} are known here."
        problems.append(Problem("model-opset", message, where))
    return problems


def _operators(model: Any, where: str) -> list[Problem]:
    """Operators that are neither standard nor defined by the file out of standard ones."""
    onnx = require_onnx()
    versions = {_domain(entry.domain): entry.version for entry in model.opset_import}
    own = {(_domain(function.domain), function.name) for function in model.functions}
    counts = Counter((_domain(node.domain), node.op_type) for node in _nodes(model))
    custom: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for (domain, name), count in counts.items():
        if (domain, name) in own:
            continue
        if domain not in STANDARD_DOMAINS:
            custom[f"{domain[:60]}::{name[:60]}"] += count
        elif not isinstance(name, str) or not onnx.defs.has(
            name, max(1, min(versions.get(domain, 1), 1000)), domain
        ):
            unknown[name[:60]] += count
    total = counts.total()
    problems = []
    if custom:
        message = f"{custom.total()} of {total} operators are not ONNX's own: {_listed(custom)}."
        problems.append(Problem("model-custom-operator", message, where))
    if unknown:
        message = (
            f"{unknown.total()} of {total} operators are in no declared operator set: {_listed(unknown)}."
        )
        problems.append(Problem("model-unknown-operator", message, where))
    return problems


def _listed(counts: Counter[str]) -> str:
    shown = [f"{name} ({count})" for name, count in counts.most_common(5)]
    return ", ".join(shown) + (", …" if len(counts) > 5 else "")


def _structure(model: Any, where: str) -> list[Problem]:
    onnx = require_onnx()
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        return [Problem("model-invalid", f"ONNX's own checker refuses it: {reason}", where)]
    return []


def _loops(model: Any, where: str) -> list[Problem]:
    """Loops whose number of passes is not a constant of the file, or that multiply each other.

    Args:
        model: Without functions.
        where: Named in the problems.
    """
    bounds = list(_loop_bounds(model.graph, {}))
    if open_ended := sum(bound is None or bound > LOOP_LIMIT for _, bound in bounds):
        message = (
            f"{open_ended} of {len(bounds)} Loop operators have no constant bound of at most "
            f"{LOOP_LIMIT:,} passes."
        )
        return [Problem("model-control-flow", message, where)]
    # `bounds` holds the operators, so that their ids stay theirs
    return pass_problems(model, {id(node): bound for node, bound in bounds if bound is not None}, where)


def _loop_bounds(graph: Any, outer: dict[str, int]) -> Iterator[tuple[Any, int | None]]:
    """Yield each Loop operator and its bound; None where no constant of its scope is the bound.

    Args:
        graph: A graph.
        outer: Whole numbers that the graphs around it store; a name that the graph defines itself hides them.
    """
    hidden = {value.name for value in graph.input} | {name for node in graph.node for name in node.output}
    known = {name: value for name, value in outer.items() if name not in hidden} | dict(_constants(graph))
    for node in graph.node:
        if node.op_type == "Loop" and _domain(node.domain) == "":
            yield node, known.get(node.input[0]) if node.input else None
        for inner in _nested(node):
            yield from _loop_bounds(inner, known)


def _constants(graph: Any) -> Iterator[tuple[str, int]]:
    """Names and values of single whole numbers that a graph stores itself."""
    onnx = require_onnx()
    whole = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
    stored = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant" and _domain(node.domain) == "" and node.output:
            for attribute in node.attribute:
                if attribute.name == "value_int" and not attribute.ref_attr_name:
                    yield node.output[0], attribute.i
                elif attribute.name == "value" and not attribute.ref_attr_name:
                    stored.append((node.output[0], attribute.t))
    for name, tensor in stored:
        small = tensor.data_type in whole and tensor.ByteSize() < 1000
        if small and tensor.data_location != onnx.TensorProto.EXTERNAL and list(tensor.dims) in ([], [1]):
            with suppress(ValueError, TypeError):  # stored bytes of another length: no constant
                yield name, int(onnx.numpy_helper.to_array(tensor).reshape(()))


def _random(model: Any, where: str) -> list[Problem]:
    """Operators that draw random numbers and reach an output, Dropout in training mode among them."""
    random_operators = Counter(node.op_type for node in _live_nodes(model) if node.op_type in _RANDOM)
    training = _training_dropouts(model)
    if training:
        random_operators["Dropout in training mode"] = training
    if not random_operators:
        return []
    operators = (
        "1 operator draws" if random_operators.total() == 1 else f"{random_operators.total()} operators draw"
    )
    return [Problem("model-random", f"{operators} random numbers: {_listed(random_operators)}.", where)]


def _training_dropouts(model: Any) -> int:
    """Dropout operators whose input `training_mode` is a stored true; their ratio is 0.5 by default."""
    stored = _stored_tensors(model)
    count = 0
    for node in _live_nodes(model):
        if node.op_type == "Dropout" and _domain(node.domain) == "" and len(node.input) > 2:
            ratio, training = (_single(stored.get(name)) for name in node.input[1:3])
            count += bool(training) and ratio != 0.0
    return count


def _batch_statistics(model: Any, where: str) -> list[Problem]:
    """Operators that compute statistics over all images of a batch, whatever the axes of their input.

    These are batch normalisation in training mode, and dynamic quantisation, whose scale is one number for
    the whole tensor.
    """
    version = next((e.version for e in model.opset_import if _domain(e.domain) == ""), 0)
    training = dynamic = 0
    for node in _live_nodes(model):
        if _domain(node.domain) != "":
            continue
        dynamic += node.op_type == "DynamicQuantizeLinear"
        if node.op_type == "BatchNormalization":
            mode = next((a.i for a in node.attribute if a.name == "training_mode"), 0)
            # before operator set 14 the mode was training where a running mean was asked for
            training += bool(mode) if version >= 14 else sum(map(bool, node.output)) > 1
    problems = []
    if training:
        operators = "1 operator normalises" if training == 1 else f"{training} operators normalise"
        message = f"{operators} by the mean of the batch: BatchNormalization in training mode ({training})."
        problems.append(Problem("model-batch-dependent", message, where))
    if dynamic:
        operators = "1 operator scales" if dynamic == 1 else f"{dynamic} operators scale"
        message = f"{operators} by the largest value of the batch: DynamicQuantizeLinear ({dynamic})."
        problems.append(Problem("model-batch-dependent", message, where, _STATIC_QUANTISATION))
    return problems


_STATIC_QUANTISATION = (
    "Quantise with fixed scales: `quantize_static` of onnxruntime.quantization with images to calibrate on, "
    "instead of `quantize_dynamic`; or submit the model in fp32."
)


def _live_nodes(model: Any) -> Iterator[Any]:
    """Operators that an output of the model depends on; those of nested graphs and functions included."""
    needed = {value.name for value in model.graph.output}
    functions = {(_domain(f.domain), f.name, f.overload): f for f in model.functions}
    waiting: list[Any] = []
    for node in reversed(model.graph.node):  # the checker requires that producers stand before consumers
        if needed.isdisjoint(node.output):
            continue
        waiting.append(node)
        needed.update(node.input)
        for inner in _inside(node):
            needed.update(name for nested in inner.node for name in nested.input)
            needed.update(value.name for value in inner.output)
    called: set[tuple[str, str, str]] = set()
    while waiting:
        node = waiting.pop()
        yield node
        key = (_domain(node.domain), node.op_type, node.overload)
        if key in functions and key not in called:
            called.add(key)
            waiting += functions[key].node
        for graph in _nested(node):
            waiting += graph.node


def _inside(node: Any) -> Iterator[Any]:
    """Every graph nested in a node's attributes, at any depth."""
    waiting = [node]
    while waiting:
        for graph in _nested(waiting.pop()):
            yield graph
            waiting += graph.node


def _stored_tensors(model: Any) -> dict[str, Any]:
    """Tensors that the file stores by name: weights and constants."""
    tensors: dict[str, Any] = {}
    for graph in _graphs(model):
        tensors |= {tensor.name: tensor for tensor in getattr(graph, "initializer", ())}
        for node in graph.node:
            if node.op_type == "Constant" and node.output:
                kept = {"value": "t", "value_float": "f", "value_int": "i"}
                for attribute in node.attribute:
                    if attribute.name in kept:
                        tensors[node.output[0]] = getattr(attribute, kept[attribute.name])
    return tensors


def _single(stored: Any) -> float | None:
    """A stored single number; None where there is none."""
    if stored is None or isinstance(stored, int | float):
        return stored
    onnx = require_onnx()
    if stored.data_location == onnx.TensorProto.EXTERNAL or math.prod(stored.dims) != 1:
        return None
    with suppress(ValueError, TypeError):  # stored bytes of another length: no constant
        return float(onnx.numpy_helper.to_array(stored).reshape(()))
    return None
