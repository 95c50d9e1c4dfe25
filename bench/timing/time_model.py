"""Times a model: every block in a process of its own, every outcome a row of the record."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import bench
from bench.choices import Precision
from bench.cohort.cohort import Cohort
from bench.environment import Fact, environment, load_average, public_argv
from bench.errors import BenchError, Problem, raise_errors
from bench.files import sha256_file
from bench.metrics.discrimination import auroc
from bench.metrics.validation import Floats
from bench.onnx.interface import manifest_problems
from bench.progress import Progress
from bench.runtime.backends.base import Backend, Device
from bench.runtime.backends.registry import DEFAULT_BACKEND, require_backend
from bench.runtime.outputs import picks_of
from bench.runtime.precision import convert
from bench.runtime.predict import Limits, predict
from bench.runtime.sandbox import SandboxLimits
from bench.runtime.worker_process import Worker, WorkerFailure, remaining
from bench.submission.manifest import Manifest
from bench.timing.inputs import TimedInputs, calibration_inputs, timed_inputs
from bench.timing.protocol import FULL, Protocol
from bench.timing.record import BatchTiming, Roofline, TimingRecord
from bench.timing.roofline import measure_roofline, with_limit
from bench.timing.rows import BUILD_FACTS, BlockAnswer, ended_row, measured_row

Keep = Callable[[TimingRecord], object]

WORKER = "bench.timing.workers.block"
DEFAULT_BATCHES = (1, 8, 32)
OTHER_BLOCKS_IMAGES = 32  # the first block's session predicts all parity images, the others these


@dataclass(slots=True)
class _Job:
    """One backend in one precision: what every block is told, and what the first told of the device.

    Attributes:
        backend: What runs the model.
        inputs: What goes in.
        protocol: How long and how often.
        request: What every worker is told, but for the batch size.
        device: Name and facts of the device, as the workers said.
        options: Settings of the sessions, as the workers said.
    """

    backend: Backend
    inputs: TimedInputs
    protocol: Protocol
    request: dict[str, Any]
    device: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def time_model(
    model_path: Path,
    manifest: Manifest,
    cohort: Cohort,
    stored_predictions: dict[str, Floats] | None,
    *,
    slug: str = "",
    backend: str = DEFAULT_BACKEND,
    precision: Precision = Precision.FP32,
    batches: Sequence[int] = DEFAULT_BATCHES,
    protocol: Protocol = FULL,
    limits: Limits | None = None,
    device: Device | None = None,
    roofline: Roofline | None = None,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> TimingRecord:
    """Times a model at several batch sizes with one backend in one precision.

    A crash, a time limit or too little memory at one batch size is recorded in its row; the others go on.

    Args:
        model_path: A model that `bench.onnx.interface.check_model` found no error in.
        manifest: Its manifest, with the table ``[model]``.
        cohort: Its test images go in; where they are not at hand, random pixels, and parity is not checked.
        stored_predictions: Target → (images of the manifest's track,) the predictions that were scored, in
            canonical order; None where the model is in no store.
        slug: The entry's slug, for the record.
        backend: What runs the model.
        precision: In which precision.
        batches: Batch sizes.
        protocol: How long and how often.
        limits: What a block's process may use; its times are those of the protocol.
        device: What the backend computes on, where it is known already.
        roofline: The work and the ceilings, where they are known already.
        progress: Called with (blocks done, blocks in total).
        keep: Called with a record of one row after each batch size, so that an interruption loses no other.

    Raises:
        BenchError: The backend cannot be used here (exit 3), the manifest does not fit, a batch size is not a
            positive number, or the model cannot be had in the precision.
    """
    chosen = require_backend(backend, precision)
    raise_errors([*manifest_problems(manifest, cohort.spec), *_batch_problems(batches)])
    assert manifest.model is not None
    inputs = timed_inputs(manifest, cohort, stored_predictions, max(protocol.parity_images, *batches))
    calibration = calibration_inputs(manifest, cohort) if precision == "int8" else None
    with TemporaryDirectory() as folder:
        converted = convert(model_path.resolve(), precision, Path(folder), calibration)
        request = {
            "model": str(converted.path),
            "backend": backend,
            "precision": precision,
            "protocol": asdict(protocol),
            "picks": [pick.plain() for pick in picks_of(manifest.model, cohort.spec)],
            # a GPU's driver reserves far more addresses than it uses memory
            "memory_mb": None if chosen.is_gpu else (limits or Limits()).memory_mb,
        }
        job = _Job(chosen, inputs, protocol, request)
        if device is not None:
            job.device = {"device": device.name, "facts": device.facts}
        one = {name: array.shape[1:] for name, array in inputs.arrays.items()}
        if roofline is None:
            roofline = measure_roofline(converted.path, one, precision, is_gpu=chosen.is_gpu)
        outline = _outline(slug, model_path, cohort, job, roofline)
        if precision == "int8" and inputs.kind == "cohort images":
            outline["own_auroc"] = own_auroc(converted.path, manifest, cohort, backend, precision, limits)
        rows: list[BatchTiming] = []
        for batch in batches:
            row = _time_batch(job, batch, _stepper(progress, len(rows), batches, protocol))
            rows.append(with_limit(row, roofline).model_copy(update={"measured_on": _today()}))
            if keep:
                keep(_record(outline, job, converted.facts, (rows[-1],)))
    return _record(outline, job, converted.facts, tuple(rows))


def _outline(slug: str, model: Path, cohort: Cohort, job: _Job, roofline: Roofline) -> dict[str, Any]:
    """What is known of a record before its rows are."""
    return {
        "slug": slug,
        "cohort": cohort.spec.id,
        "fingerprint": cohort.split.fingerprint,
        "backend": job.backend.name,
        "backend_label": job.backend.label,
        "is_gpu": job.backend.is_gpu,
        "precision": job.request["precision"],
        "model_sha256": sha256_file(model),
        "harness_version": bench.__version__,
        "protocol": job.protocol,
        "inputs": job.inputs.kind,
        "roofline": roofline,
        "environment": environment(),
        "argv": public_argv(),
    }


def _record(
    outline: dict[str, Any], job: _Job, converted: dict[str, Fact], rows: tuple[BatchTiming, ...]
) -> TimingRecord:
    return TimingRecord(
        **outline,
        device=job.device.get("device", "unknown"),
        options={**job.device.get("facts", {}), **job.options, **converted},
        measured_on=_today(),
        batches=rows,
    )


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _stepper(
    progress: Progress | None, rows: int, batches: Sequence[int], protocol: Protocol
) -> Callable[[int], None]:
    """Tells of the blocks of one batch size as part of all blocks."""

    def step(done: int) -> None:
        if progress:
            progress(rows * protocol.blocks + done, len(batches) * protocol.blocks)

    return step


def check_batches(batches: Sequence[int]) -> None:
    """Refuses batch sizes that are not different whole numbers from 1 (``timing-batch``)."""
    raise_errors(_batch_problems(batches))


def _batch_problems(batches: Sequence[int]) -> list[Problem]:
    if batches and all(batch >= 1 for batch in batches) and len(set(batches)) == len(batches):
        return []
    message = f"Batch sizes must be different whole numbers from 1: {', '.join(map(str, batches)) or 'none'}."
    return [Problem("timing-batch", message, "--batch")]


def _time_batch(job: _Job, batch: int, step: Callable[[int], None]) -> BatchTiming:
    """The row of one batch size: its blocks one after the other, or how it ended."""
    protocol = job.protocol
    deadline = time.monotonic() + protocol.limit_s
    load = load_average()
    blocks: list[BlockAnswer] = []
    try:
        for number in range(protocol.blocks):
            blocks.append(_run_block(job, batch, number, deadline))
            step(number + 1)
    except WorkerFailure as failure:
        step(protocol.blocks)
        late = f"{len(blocks)} of {protocol.blocks} blocks had ended after {protocol.limit_s:g} s, its limit."
        message = late if failure.kind == "timeout" else failure.message
        return ended_row(batch, failure.kind, message, len(blocks), load)
    precision = job.request["precision"]
    return measured_row(batch, blocks, job.inputs, precision, is_gpu=job.backend.is_gpu, load=load)


def _run_block(job: _Job, batch: int, number: int, deadline: float) -> BlockAnswer:
    images = job.inputs.images if number == 0 else min(job.inputs.images, OTHER_BLOCKS_IMAGES)
    checked = 0 if job.inputs.stored is None else images
    model = job.request["model"]  # a GPU's driver opens devices and writes caches
    limits = None if job.backend.is_gpu else SandboxLimits(readable=(model,))
    with Worker(WORKER, remaining(deadline), limits) as worker:
        worker.send({**job.request, "batch": batch, "parity_images": checked}, job.inputs.arrays)
        job.device, _ = worker.receive()
        answer = BlockAnswer(*worker.receive())
    job.options = {k: v for k, v in answer.header["options"].items() if k not in BUILD_FACTS}
    return answer


def own_auroc(
    model: Path, manifest: Manifest, cohort: Cohort, backend: str, precision: str, limits: Limits | None
) -> dict[str, float]:
    """Binary target → AUROC on all test images, of a model that was put into another precision.

    Targets that are not predicted or have one class only are left out, and so is everything where the model
    does not run: the rows of the record say how it ended.
    """
    rows = cohort.rows("test")
    try:
        found = predict(model, manifest, cohort, rows, backend=backend, precision=precision, limits=limits)
    except BenchError:
        return {}
    scores: dict[str, float] = {}
    for target in cohort.spec.binary_targets:
        if target.name in found:
            labels = cohort.targets[target.name][rows]
            known = ~np.isnan(labels)
            value = auroc(labels[known], found[target.name][known])
            if value is not None:
                scores[target.name] = float(value)
    return scores
