"""Run a checked model on images of a cohort in a sandboxed process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.cohort.cohort import Cohort
from bench.cohort.images import read_batches
from bench.environment import usable_cores
from bench.errors import BenchError, Problem, raise_errors
from bench.metrics.validation import Floats
from bench.onnx.interface import manifest_problems
from bench.progress import Progress
from bench.runtime.backends.registry import DEFAULT_BACKEND, require_backend
from bench.runtime.independence import (
    Dependence,
    Inputs,
    dependence,
    joined_batches,
    name_operator,
    probed_rows,
    run_probes,
)
from bench.runtime.inputs import image_tensor, table_inputs
from bench.runtime.outputs import picks_of
from bench.sandbox.launch import SandboxLimits
from bench.sandbox.messages import ArrayDict
from bench.sandbox.worker_process import Failing, Worker, WorkerFailure
from bench.submission.check_values import ROUNDING_REMEDY, rounding_alone, span
from bench.submission.manifest import Manifest, ModelInputs

WORKER = "bench.runtime.workers.predict"
_CODES: dict[Failing, str] = {
    "crashed": "model-crashed",
    "timeout": "model-timeout",
    "out-of-memory": "model-memory",
    "failed": "model-run",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a model.

    Attributes:
        memory_mb: Address space of its process; None for no limit (GPU drivers reserve more than there is).
        start_s: Seconds for starting.
        image_s: Seconds for each image, besides; a process that takes longer in all is ended.
        total_s: Seconds in all, in place of these two; None for these.
    """

    memory_mb: int | None = 8192
    start_s: float = 35.0
    image_s: float = 0.1
    total_s: float | None = None

    def seconds(self, images: int) -> float:
        """Seconds that a process may take in all for so many images."""
        return self.total_s if self.total_s is not None else self.start_s + self.image_s * images

    def sandbox(self, limit_s: float, model: Path, *, on_gpu: bool) -> SandboxLimits:
        """Return what the process of a model may use, given how long it may live."""
        cpu_s = math.ceil(limit_s * (usable_cores() + 1))
        if on_gpu:
            return SandboxLimits.for_gpu(cpu_s)
        return SandboxLimits(self.memory_mb, cpu_s, readable=(str(model.resolve()),))


def predict(
    onnx_path: Path,
    manifest: Manifest,
    cohort: Cohort,
    rows: npt.NDArray[np.intp],
    *,
    backend: str = DEFAULT_BACKEND,
    precision: str = "fp32",
    batch: int = 32,
    limits: Limits | None = None,
    progress: Progress | None = None,
    notices: list[Problem] | None = None,
    independent: bool = False,
    shown: str = "",
) -> dict[str, Floats]:
    """Predict the images `rows`: target → (n,) float64, in that order.

    Args:
        onnx_path: A model that `bench.onnx.interface.check_model` found no error in.
        manifest: Its manifest, with the table ``[model]``.
        cohort: Whose images and, where the model takes them, ages and sexes are used.
        rows: (n,) rows of the cohort, usually ``cohort.rows("test")``.
        backend: What runs the model.
        precision: That of the file.
        batch: Images at a time.
        limits: What its process may use.
        progress: Called with (images done, images in total).
        notices: Takes a notice of the limits that this system cannot enforce (``model-confinement``).
        independent: Whether to run some images again, alone, in another order and twice, and refuse a model
            whose prediction depends on more than the image.
        shown: Path that problems name; default: that of the file.

    Raises:
        BenchError: The model crashed, ran out of time or memory, failed, or gave no usable numbers; images or
            table values are missing; the backend is not available (exit 3); or predictions depend on the
            other images of the batch (``model-batch-dependent``) or on chance (``model-random``).
    """
    if errors := [p for p in manifest_problems(manifest, cohort.spec) if p.severity == "error"]:
        raise BenchError(errors)
    model = manifest.model
    assert model is not None
    limits = limits or Limits()
    on_gpu = require_backend(backend, precision).is_gpu
    picks = picks_of(model, cohort.spec)
    where = shown or str(onnx_path)
    request = {
        "model": str(onnx_path),
        "backend": backend,
        "precision": precision,
        "batch": batch,
        "picks": [pick.plain() for pick in picks],
    }
    targets = [pick.target for pick in picks]
    probed = probed_rows(len(rows)) if independent else np.arange(0)
    inputs: dict[str, npt.NDArray[np.float32]] = {}
    dependent: Dependence | None = None
    limit_s = limits.seconds(len(rows) + 4 * len(probed))
    with (
        _failures_as_problems(where),
        Worker(WORKER, limit_s, limits.sandbox(limit_s, onnx_path, on_gpu=on_gpu)) as worker,
    ):
        worker.send(request)
        ready, _ = worker.receive()
        if notices is not None and ready.get("lacking"):
            notices.append(_lacking(ready["lacking"], where))
        answers = _answers(worker, _inputs(cohort, rows, model, batch))
        predicted = _columns(answers, targets, len(rows), where, progress)
        raise_errors(_value_problems(predicted, manifest, cohort, where))
        if len(probed):
            inputs = joined_batches(_inputs(cohort, rows[probed], model, len(probed)))
            with _failures_of_other_batches(min(batch, len(rows)), where):
                dependent = _dependence(worker, inputs, predicted, probed, model.image.name, where)
    if dependent:
        raise BenchError(name_operator(onnx_path, inputs, dependent, limits.memory_mb))
    return predicted


@contextmanager
def _failures_as_problems(where: str) -> Iterator[None]:
    """Raise the failure of a worker as a `BenchError` that names the model."""
    try:
        yield
    except WorkerFailure as failure:
        raise BenchError(Problem(_CODES[failure.kind], failure.message, where)) from failure


@contextmanager
def _failures_of_other_batches(batch: int, where: str) -> Iterator[None]:
    """Raise the failure of a worker that answered batches of one size and was then given others."""
    try:
        yield
    except WorkerFailure as failure:
        if failure.kind != "failed":
            raise
        message = f"It answers batches of {batch} images and fails at other sizes: {failure.message}"
        raise BenchError(Problem("model-batch", message, where)) from failure


def _columns(
    answers: Iterator[dict[str, Floats]], targets: list[str], rows: int, where: str, progress: Progress | None
) -> dict[str, Floats]:
    """Join the answers of all batches to one column of `rows` values for each target."""
    parts: dict[str, list[Floats]] = {target: [] for target in targets}
    done = 0
    for answer in answers:
        for target in targets:
            parts[target].append(answered(answer, target))
        done += len(parts[targets[0]][-1])
        if progress:
            progress(done, rows)
    predicted = {target: np.concatenate([np.empty(0), *part]) for target, part in parts.items()}
    if odd := [target for target, column in predicted.items() if len(column) != rows]:
        message = f"The process returned another number of predictions than {rows:,} for {odd[0]}."
        raise BenchError(Problem("model-crashed", message, where))
    return predicted


def _dependence(
    worker: Worker,
    inputs: Inputs,
    predicted: dict[str, Floats],
    probed: npt.NDArray[np.intp],
    image_name: str,
    where: str,
) -> Dependence | None:
    """Run the probed images again under other circumstances, and describe predictions that depend on them."""
    stored = {target: column[probed] for target, column in predicted.items()}
    probes = run_probes(_asking(worker, list(predicted)), inputs, stored, image_name)
    ranges = {target: float(np.ptp(column)) for target, column in predicted.items()}
    return dependence(probes, ranges, where)


def _asking(worker: Worker, targets: list[str]) -> Callable[[Inputs], dict[str, Floats]]:
    """A function that runs one batch and waits for its predictions."""

    def ask(inputs: Inputs) -> dict[str, Floats]:
        count = len(next(iter(inputs.values())))
        worker.send({"rows": count}, inputs)
        answer = worker.receive()[1]
        predictions = {target: answered(answer, target) for target in targets}
        if any(len(column) != count for column in predictions.values()):
            raise WorkerFailure(
                "crashed", f"The process returned another number of predictions than {count}."
            )
        return predictions

    return ask


def answered(answer: ArrayDict, target: str) -> Floats:
    """The column of one target in a worker's answer, which is not believed to have one."""
    column = answer.get(target)
    if column is None or column.ndim != 1 or column.dtype != np.float64:
        raise WorkerFailure("crashed", f"The answer of the process has no column for {target}.")
    return column


def _lacking(parts: list[Any], where: str) -> Problem:
    missing = "; ".join(map(str, parts))
    message = (
        "A submitted model runs in a process of its own, with no network, no file written, no program "
        f"started, and bounded memory and time. This system does not enforce all of it ({missing}), which "
        "matters only for a model whose author you do not trust."
    )
    return Problem("model-confinement", message[:1500], where, severity="notice")


def _inputs(
    cohort: Cohort, rows: npt.NDArray[np.intp], model: ModelInputs, batch: int
) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
    table = table_inputs(cohort, rows, model)
    start = 0
    for pixels in read_batches(cohort, rows, model.image.height, model.image.width, batch, model.image.rule):
        stop = start + len(pixels)
        columns = {name: values[start:stop] for name, values in table.items()}
        yield {model.image.name: image_tensor(pixels, model.image), **columns}
        start = stop


def _answers(
    worker: Worker, batches: Iterator[dict[str, npt.NDArray[np.float32]]]
) -> Iterator[dict[str, Floats]]:
    """The worker's answers; the next batch is read and sent while it works on the one before.

    An answer is far smaller than a pipe's buffer, so that the two sides cannot wait for each other.
    """
    waiting = 0
    for inputs in batches:
        worker.send({"rows": len(next(iter(inputs.values())))}, inputs)
        waiting += 1
        if waiting > 1:
            yield worker.receive()[1]
            waiting -= 1
    for _ in range(waiting):
        yield worker.receive()[1]


def _value_problems(
    values: dict[str, Floats], manifest: Manifest, cohort: Cohort, where: str
) -> list[Problem]:
    binary = {target.name for target in cohort.spec.binary_targets}
    problems = []
    for target, column in values.items():
        at = f"{where}, target {target}"
        if bad := int((~np.isfinite(column)).sum()):
            message = f"{bad:,} of {len(column):,} predictions are NaN or infinite."
            problems.append(Problem("model-values", message, at))
        outside = np.isfinite(column) & ((column < 0) | (column > 1))
        if target in binary and manifest.scores == "probability" and outside.any():
            range_ = span(column[outside])
            message = f"{int(outside.sum()):,} of {len(column):,} values lie outside [0, 1], {range_}."
            remedy = (
                ROUNDING_REMEDY
                if rounding_alone(column[outside])
                else (
                    'If the outputs are logits, say `activation = "sigmoid"` in [model]; if they are scores '
                    'of another kind, `scores = "uncalibrated"`.'
                )
            )
            problems.append(Problem("predictions-out-of-range", message, at, remedy))
    return problems
