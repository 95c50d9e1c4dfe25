"""Check a submitted ONNX model against its manifest and the cohort, without running it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from bench.cohort.spec import CohortSpec
from bench.errors import BenchError, Problem, did_you_mean, nearest
from bench.onnx.file import MODEL_LIMIT_BYTES, read_onnx, require_onnx
from bench.onnx.graph import graph_problems
from bench.onnx.outputs import OutputColumn, output_column
from bench.submission.manifest import ImageInput, Manifest, ModelInputs
from bench.workspace import MANIFEST

Shape = tuple[int | None, ...]


def check_model(
    path: Path,
    manifest: Manifest,
    spec: CohortSpec,
    *,
    manifest_file: str = MANIFEST,
    limit_bytes: int = MODEL_LIMIT_BYTES,
) -> tuple[list[Problem], bytes]:
    """Find every fault of a model that can be seen without running it, and inline its functions.

    Args:
        path: The ONNX file.
        manifest: Its manifest, with the table ``[model]``.
        spec: The cohort that it is to predict.
        manifest_file: Where the manifest stands, for messages.
        limit_bytes: Largest file that is accepted.

    Returns:
        Errors and warnings, none where the model may be run; and the model with its functions inlined, empty
        for a model without functions.

    Raises:
        BenchError: `onnx` is not installed (``onnx-missing``, exit 3).
    """
    require_onnx()
    problems = manifest_problems(manifest, spec, manifest_file)
    try:
        model = read_onnx(path, limit_bytes)
    except BenchError as error:
        return [*problems, *error.problems], b""
    graph_faults, inlined = graph_problems(model, str(path))
    problems += graph_faults
    if manifest.model is not None:
        problems += interface_problems(model, manifest.model, str(path))
    return problems, inlined.SerializeToString() if inlined is not model else b""


def interface_problems(model: Any, declared: ModelInputs, where: str) -> list[Problem]:
    """Find differences between a model's inputs and outputs and what is declared of them.

    Args:
        model: Parsed `onnx.ModelProto`.
        declared: Its interface as a manifest states it.
        where: Named in the problems.
    """
    return [*_inputs(model, declared, where), *_outputs(model, declared, where)]


def draft_interface(model: Any, spec: CohortSpec, where: str) -> tuple[ModelInputs, list[str]]:
    """Guess what a manifest says of a model's inputs and outputs.

    Args:
        model: Parsed `onnx.ModelProto`.
        spec: The cohort that it is to predict.
        where: Named in the problems.

    Returns:
        The interface, and what of it was guessed or is not in the file, a sentence each.

    Raises:
        BenchError: No input can be the image (``model-input``), or there is no output (``model-output``).
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: _shape(value) for value in model.graph.input if value.name not in weights}
    images = [name for name, shape in inputs.items() if shape is not None and len(shape) == 4]
    shape = inputs[images[0]] if len(images) == 1 else None
    if shape is None or shape[1] not in (None, 1, 3) or any(not 0 < (s or 1) <= 4096 for s in shape[2:]):
        shown = [f"{n[:60]!r} {_shown(s)}" if s else repr(n[:60]) for n, s in inputs.items()]
        listed = ", ".join(shown[:8])
        message = (
            "Not exactly one input has the shape (N, channels, height, width) with 1 or 3 channels and sides "
            f"of at most 4,096 pixels; the inputs are {listed or 'none'}."
        )
        raise BenchError(Problem("model-input", message, where))
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    notes = [f"The file is of ONNX opset {max(opsets)}."] if opsets else []
    notes.append("scale, mean and std are not in the file: write those of your training.")
    _, channels, height, width = shape
    for what, size, taken in (("channels", channels, 1), ("height", height, 224), ("width", width, 224)):
        if size is None:
            notes.append(f"{what} is free in the file; {taken} is a guess.")
    numbers = {
        field: name
        for field, words in (("age", ("age", "years")), ("sex", ("sex", "male", "gender")))
        if (name := next((n for n in inputs if n not in images and _is_named(n, words)), None))
    }
    outputs, ends = _draft_outputs(model, spec, notes)
    if not outputs:
        raise BenchError(Problem("model-output", "The model has no output.", where))
    activation: Literal["none", "sigmoid"] = "sigmoid" if ends <= _LINEAR else "none"
    notes.append(f"activation is a guess by the last operators: {', '.join(sorted(ends)) or 'none'}.")
    image = ImageInput.model_validate(
        {"name": images[0], "height": height or 224, "width": width or 224, "channels": channels or 1}
    )
    return ModelInputs(image=image, **numbers, outputs=outputs, activation=activation), notes


_LINEAR = frozenset({"Gemm", "MatMul", "Add", "Sub", "Mul", "Conv"})
_MOVES = frozenset(
    {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Cast", "Concat", "Split"}
)


def _is_named(name: str, words: tuple[str, ...]) -> bool:
    return any(part in words for part in re.split(r"[^a-z]+", name.lower()))


def _draft_outputs(model: Any, spec: CohortSpec, notes: list[str]) -> tuple[dict[str, str], set[str]]:
    """Target → output, and the last operators that compute them; says in `notes` what is a guess."""
    shapes = {value.name: _shape(value) for value in model.graph.output}
    targets = [target.name for target in spec.targets]
    outputs = {target: name for target in targets for name in shapes if name.lower() == target}
    binary = [target.name for target in spec.binary_targets]
    if spec.headline not in outputs and (name := next((n for n in shapes if n not in outputs.values()), "")):
        shape = shapes[name]
        columns = (shape[1] or 0) if shape and len(shape) == 2 else 1
        if columns == len(binary) and columns > 1:
            outputs |= {target: f"{name}:{k}" for k, target in enumerate(binary)}
            notes.append("The columns are taken for the targets in the order of the cohort's spec: a guess.")
        else:
            column = "" if columns == 1 else ":1" if columns == 2 else ":0"
            outputs[spec.headline] = f"{name}{column}"
            notes.append(f"No output is named {spec.headline}: which one, and which column, is a guess.")
    by_output = {name: node for node in model.graph.node for name in node.output}
    ends, names = set(), [output_column(reference, list(shapes)).name for reference in outputs.values()]
    seen: set[str] = set()
    while names:
        if (name := names.pop()) in seen or (node := by_output.get(name)) is None:
            continue
        seen.add(name)
        if node.op_type in _MOVES:
            names += list(node.input) if node.op_type == "Concat" else list(node.input)[:1]
        else:
            ends.add(str(node.op_type)[:40])
    return outputs, ends


def manifest_problems(manifest: Manifest, spec: CohortSpec, where: str = MANIFEST) -> list[Problem]:
    """Find faults of what a manifest says of its model."""
    if manifest.model is None:
        remedy = (
            "Add the table; `bench template --out DIR` writes a manifest with an example of it, in comments. "
            "Another manifest is named with `--manifest FILE`."
        )
        return [Problem("model-manifest", "The manifest has no table [model].", where, remedy)]
    problems = []
    targets = {target.name for target in spec.targets}
    if unknown := sorted(set(manifest.model.outputs) - targets):
        message = (
            f"{len(unknown)} of {len(manifest.model.outputs)} outputs are for targets that cohort {spec.id} "
            f"does not have: {', '.join(unknown)}; it has {', '.join(sorted(targets))}."
            f"{did_you_mean(unknown[0], targets)}"
        )
        problems.append(Problem("model-manifest", message, f"{where}, model.outputs"))
    if spec.headline not in manifest.model.outputs:
        message = f"No output is named for the headline target {spec.headline!r}."
        problems.append(Problem("model-manifest", message, f"{where}, model.outputs"))
    for field, name in (("age", manifest.model.age), ("sex", manifest.model.sex)):
        if name is None:
            continue
        if field not in manifest.inputs:
            message = f"The model takes {field} as {name!r}, but `inputs` does not list {field!r}."
            problems.append(Problem("model-manifest", message, f"{where}, inputs"))
        if field not in spec.columns.inputs:
            message = f"The model takes {field}, which cohort {spec.id} does not have."
            problems.append(Problem("model-manifest", message, f"{where}, model.{field}"))
    return problems


def _shape(value: Any) -> Shape | None:
    """Sizes of a declared tensor, None for a free one; None where not even the rank is declared.

    Older converters write a size of -1 where a size is free.
    """
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(
        d.dim_value if d.WhichOneof("value") == "dim_value" and d.dim_value >= 0 else None
        for d in tensor.shape.dim
    )


def _shown(shape: Shape) -> str:
    return "(" + ", ".join("free" if size is None else str(size) for size in shape) + ")"


def _type_name(value: Any) -> str:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return str(kind or "untyped")
    number = value.type.tensor_type.elem_type
    try:
        return str(require_onnx().TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return f"unknown ({number})"


def _inputs(model: Any, declared: ModelInputs, where: str) -> list[Problem]:
    weights = {tensor.name for tensor in model.graph.initializer}
    model_inputs = {value.name: value for value in model.graph.input if value.name not in weights}
    image = declared.image
    wanted: dict[str, tuple[str, Shape]] = {
        image.name: ("the image", (None, image.channels, image.height, image.width))
    }
    wanted |= {
        name: (what, (None, 1)) for what, name in (("age", declared.age), ("sex", declared.sex)) if name
    }
    left = {name: value for name, value in model_inputs.items() if name not in wanted}
    lacking = [name for name in wanted if name not in model_inputs]
    problems = []
    named = set()
    for name, (what, shape) in wanted.items():
        if name in model_inputs:
            problems += _tensor(model_inputs[name], shape, "float", "model-input", f"{where}, input {name}")
            continue
        message = f"{what} is to go into {name!r}; the model's inputs are {_names(model_inputs)}."
        meant = _meant(name, left, only=len(lacking) == 1)
        remedy = f"If {meant[:60]!r} is meant, write it in [model] of the manifest." if meant else ""
        problems.append(Problem("model-input", message[0].upper() + message[1:], where, remedy))
        if meant:  # its other faults are named in the same pass
            named.add(meant)
            problems += _tensor(left[meant], shape, "float", "model-input", f"{where}, input {meant}")
    if extra := sorted(set(left) - named, key=str):
        inputs = "1 input" if len(extra) == 1 else f"{len(extra)} inputs"
        message = f"{inputs} of the model {'is' if len(extra) == 1 else 'are'} not in the manifest: "
        problems.append(Problem("model-input", f"{message}{_names(extra)}.", where))
    return problems


def _meant(name: str, left: Any, *, only: bool) -> str:
    """The input or output that a name of the manifest probably means: the only one left, or the nearest."""
    names = [str(other) for other in left]
    near = nearest(name, names)
    return names[0] if only and len(names) == 1 else near[0] if near else ""


def _names(names: Any) -> str:
    listed = [repr(str(name)[:60]) for name in names]
    return (", ".join(listed[:8]) + (", …" if len(listed) > 8 else "")) or "none"


def _tensor(value: Any, wanted: Shape, kind: str, code: str, where: str) -> list[Problem]:
    """Faults of one tensor's type and shape; the first size, the batch, must be free."""
    problems = []
    if (found_kind := _type_name(value)) != kind:
        message = f"The type is {found_kind}; {kind}32 is expected."
        problems.append(Problem(code, message, where))
    shape = _shape(value)
    if shape is None:
        return problems
    if len(shape) != len(wanted):
        message = f"The shape {_shown(shape)} has {len(shape)} dimensions; {_shown(wanted)} is expected."
        return [*problems, Problem(code, message, where)]
    if shape[0] is not None:
        problems.append(Problem("model-batch", f"The batch size is fixed at {shape[0]}.", where))
    if any(w is not None and s not in (None, w) for s, w in zip(shape, wanted, strict=True)):
        message = f"The shape is {_shown(shape)}; {_shown(wanted)} is expected."
        problems.append(Problem(code, message, where))
    return problems


def _outputs(model: Any, declared: ModelInputs, where: str) -> list[Problem]:
    model_outputs = {value.name: value for value in model.graph.output}
    problems = []
    for target, reference in declared.outputs.items():
        try:
            place = output_column(reference, list(model_outputs))
        except KeyError:
            message = (
                f"{target} is to be read from {reference!r}; the model's outputs are {_names(model_outputs)}."
            )
            name, _, column = reference.rpartition(":") if reference[-1:].isdecimal() else (reference, "", "")
            meant = _meant(name or reference, model_outputs, only=True)
            written = f"{meant}:{column}" if column and name else meant
            remedy = f'If {meant[:60]!r} is meant, write `{target} = "{written[:80]}"`.' if meant else ""
            problems.append(Problem("model-output", message, where, remedy))
            if meant not in model_outputs:
                continue
            place = OutputColumn(meant, int(column) if column and name else None)
        problems += _output(model_outputs[place.name], place, target, f"{where}, output {place.name}")
    return list(dict.fromkeys(problems))  # targets that share an output share its faults


def _output(value: Any, place: OutputColumn, target: str, where: str) -> list[Problem]:
    problems = []
    if (kind := _type_name(value)) not in ("float", "double", "float16"):
        problems.append(Problem("model-output", f"The type is {kind}; float32 is expected.", where))
    shape = _shape(value)
    if shape is None:
        return problems
    if len(shape) not in (1, 2):
        message = f"The shape is {_shown(shape)}; (N,) or (N, columns) is expected."
        return [*problems, Problem("model-output", message, where)]
    if shape[0] is not None:
        problems.append(Problem("model-batch", f"The batch size is fixed at {shape[0]}.", where))
    columns = shape[1] if len(shape) == 2 else 1
    if place.column is None and columns not in (None, 1):
        message = f"{target} has {columns} columns, and the manifest names none of them."
        remedy = _column_remedy(target, place.name, columns)
        problems.append(Problem("model-output", message, where, remedy))
    if place.column is not None and (len(shape) == 1 or (columns is not None and place.column >= columns)):
        message = f"{target} is to be read from column {place.column}; the shape is {_shown(shape)}."
        problems.append(Problem("model-output", message, where))
    return problems


def _column_remedy(target: str, name: str, columns: int | None) -> str:
    """Advise which column to name; of two, the second is the positive class of a softmax."""
    if columns == 2:
        return (
            f'Write `{target} = "{name}:1"` where the columns are the negative and the positive class of a '
            f'softmax; where each column is a target of its own, write `{target} = "{name}:0"` or the other.'
        )
    return f'Write `{target} = "{name}:COLUMN"` with the column of this target, counted from 0.'
