"""Time a model: every block in a process of its own, every outcome a row of the record."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

import bench
from bench.choices import LabelMode, Precision
from bench.cohort.cohort import Cohort
from bench.environment import Fact, environment, load_average, public_argv, usable_cores
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
from bench.sandbox.launch import SandboxLimits
from bench.sandbox.worker_process import Worker, WorkerFailure
from bench.submission.manifest import Manifest
from bench.timing.inputs import ROTATED_BYTES, TimedInputs, calibration_inputs, timed_inputs
from bench.timing.model_facts import precision_fault
from bench.timing.protocol import FULL, Protocol
from bench.timing.record import (
    BatchTiming,
    ColdStart,
    Roofline,
    TimingRecord,
    Trial,
    with_published_figures,
)
from bench.timing.roofline import MEMORY_MB, measure_roofline, with_limit
from bench.timing.rows import BUILD_FACTS, BlockAnswer, Circumstances, ended_row, measured_row
from bench.timing.service import FILE
from bench.timing.verdict import advice

Keep = Callable[[TimingRecord], object]

WORKER = "bench.timing.workers.block"
COLD_START_WORKER: Final = "bench.timing.workers.cold_start"
FACTS_WORKER: Final = "bench.timing.workers.model_facts"
FACTS_LIMIT_S: Final = 120.0
DEFAULT_BATCHES = (1, 8, 32)
OTHER_BLOCKS_IMAGES = 32  # the first block's session predicts all parity images, the others these


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts about an ONNX file that affect its speed.

    Attributes:
        control_flow: Operators that choose what is computed; None where the file could not be read.
        stored_precision: Precision → convolutions and matrix products in it; None likewise.
    """

    control_flow: tuple[str, ...] | None = None
    stored_precision: dict[str, int] | None = None


@dataclass(slots=True)
class _Job:
    """One backend in one precision: the request of every block, and the device by the first block.

    Attributes:
        backend: What runs the model.
        inputs: What goes in.
        protocol: How long and how often.
        request: Request of every worker, without the batch size.
        device: Name and facts of the device, as the workers report them.
        options: Settings of the sessions, as the workers report them.
        facts: What the file says of its own speed.
        command: What measures the rows again.
    """

    backend: Backend
    inputs: TimedInputs
    protocol: Protocol
    request: dict[str, Any]
    device: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    facts: ModelFacts = field(default_factory=ModelFacts)
    command: str = ""


def time_model(
    model_path: Path,
    manifest: Manifest,
    cohort: Cohort,
    stored_predictions: dict[str, Floats] | None,
    *,
    slug: str = "",
    model_sha256: str = "",
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
    """Time a model at several batch sizes with one backend in one precision.

    A crash, a time limit or too little memory at one batch size is recorded in its row; the others go on.

    Args:
        model_path: A model that `bench.onnx.interface.check_model` found no error in.
        manifest: Its manifest, with the table ``[model]``.
        cohort: Its test images go in; where they are not at hand, random pixels, and parity is not checked.
        stored_predictions: Target → (images of the manifest's track,) the predictions that were scored, in
            canonical order; None where the model is in no store.
        slug: The entry's slug, for the record.
        model_sha256: Hash of the submitted file, where the one that is run has its functions inlined.
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
            positive number, or the model cannot be converted to the precision.
    """
    chosen = require_backend(backend, precision)
    raise_errors([*manifest_problems(manifest, cohort.spec), *_batch_problems(batches)])
    assert manifest.model is not None
    wanted = max(protocol.parity_images, *batches)
    inputs = timed_inputs(manifest, cohort, stored_predictions, wanted, ROTATED_BYTES)
    calibration = calibration_inputs(manifest, cohort) if precision == "int8" else None
    with TemporaryDirectory() as folder:
        converted = convert(model_path.resolve(), precision, Path(folder), calibration)
        request = {
            "model": str(converted.path),
            "backend": backend,
            "precision": precision,
            "protocol": asdict(protocol),
            "picks": [pick.plain() for pick in picks_of(manifest.model, cohort.spec)],
            "image": manifest.model.image.model_dump(),
            # a GPU's driver reserves far more addresses than it uses memory
            "memory_mb": None if chosen.is_gpu else (limits or Limits()).memory_mb,
        }
        command = f"bench time {slug or model_path.name} --backend {backend} --precision {precision} --again"
        job = _Job(chosen, inputs, protocol, request, facts=model_facts(converted.path), command=command)
        if device is not None:
            job.device = {"device": device.name, "facts": device.facts}
        image_shapes = {name: array.shape[1:] for name, array in inputs.arrays.items()}
        if roofline is None:
            roofline = measure_roofline(converted.path, image_shapes, precision, is_gpu=chosen.is_gpu)
        outline = _outline(slug, model_sha256 or sha256_file(model_path), cohort, job, roofline)
        if precision == "int8" and inputs.kind == "cohort images":
            outline["own_auroc"] = own_auroc(converted.path, manifest, cohort, backend, precision, limits)
        rows: list[BatchTiming] = []
        for batch in batches:
            row = _time_batch(job, batch, _stepper(progress, len(rows), batches, protocol))
            row = row.model_copy(update={"cold_start": _cold_start(job, batch, row)})
            rows.append(with_limit(row, roofline).model_copy(update={"measured_on": _today()}))
            if keep:
                keep(_record(outline, job, converted.facts, (rows[-1],), cohort.spec.labels))
    return _record(outline, job, converted.facts, tuple(rows), cohort.spec.labels)


def _outline(slug: str, model_sha256: str, cohort: Cohort, job: _Job, roofline: Roofline) -> dict[str, Any]:
    """Fields of a record that are known before its rows are."""
    return {
        "slug": slug,
        "cohort": cohort.spec.id,
        "fingerprint": cohort.split.fingerprint,
        "backend": job.backend.name,
        "backend_label": job.backend.label,
        "is_gpu": job.backend.is_gpu,
        "precision": job.request["precision"],
        "model_sha256": model_sha256,
        "harness_version": bench.__version__,
        "protocol": job.protocol,
        "inputs": job.inputs.kind,
        "roofline": roofline,
        "control_flow": job.facts.control_flow,
        "stored_precision": job.facts.stored_precision,
        "environment": environment(),
        "argv": public_argv(),
    }


def _record(
    outline: dict[str, Any],
    job: _Job,
    converted: dict[str, Fact],
    rows: tuple[BatchTiming, ...],
    labels: LabelMode,
) -> TimingRecord:
    record = TimingRecord(
        **outline,
        device=job.device.get("device", "unknown"),
        options={**job.device.get("facts", {}), **job.options, **converted},
        measured_on=_today(),
        batches=rows,
    )
    return with_published_figures(record, labels)


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _stepper(
    progress: Progress | None, rows: int, batches: Sequence[int], protocol: Protocol
) -> Callable[[int], None]:
    """Function that reports the blocks of one batch size as part of all blocks."""

    def step(done: int) -> None:
        if progress:
            progress(rows * protocol.blocks + done, len(batches) * protocol.blocks)

    return step


def check_batches(batches: Sequence[int]) -> None:
    """Refuse batch sizes that are not different whole numbers from 1 (``timing-batch``)."""
    raise_errors(_batch_problems(batches))


def _batch_problems(batches: Sequence[int]) -> list[Problem]:
    if batches and all(batch >= 1 for batch in batches) and len(set(batches)) == len(batches):
        return []
    message = f"Batch sizes must be different whole numbers from 1: {', '.join(map(str, batches)) or 'none'}."
    return [Problem("timing-batch", message, "--batch")]


def _time_batch(job: _Job, batch: int, step: Callable[[int], None]) -> BatchTiming:
    """The row of one batch size: the first stable trial, or that whose p50 is known best.

    Noise of a busy machine comes and goes: nvbench and perf_analyzer, too, measure until figures agree.
    """
    rows: list[BatchTiming] = []
    left_s = job.protocol.limit_s
    for _ in range(job.protocol.trials):
        row, taken_s = _trial(job, batch, left_s, step)
        rows.append(row)
        left_s -= taken_s
        if not _worth_repeating(row) or left_s < taken_s:
            break
    best = min(rows, key=_doubt)
    trials = tuple(_as_trial(row, used=row is best) for row in rows)
    clock = best.telemetry.clock_mhz_median if best.telemetry else None
    message = advice(
        best.stability,
        is_gpu=job.backend.is_gpu,
        load=best.load_average,
        cores=usable_cores(),
        command=job.command,
        clock_mhz=clock,
    )
    stability = best.stability.model_copy(update={"message": message})
    return best.model_copy(update={"stability": stability, "trials": trials})


_LASTING: Final = {"telemetry", "precision"}  # another trial would not change these


def _worth_repeating(row: BatchTiming) -> bool:
    """Return whether noise alone keeps a row from being ranked."""
    codes = {reason.code for reason in row.stability.reasons}
    return row.status == "ok" and bool(codes) and not codes & _LASTING and row.parity.status != "failed"


def _doubt(row: BatchTiming) -> tuple[bool, bool, float]:
    """Order of trials: those that ended well, then the stable one, then by what is known of p50."""
    known = row.stability.p50_half_width
    return row.status != "ok", row.stability.stable is not True, np.inf if known is None else known


def _as_trial(row: BatchTiming, *, used: bool) -> Trial:
    return Trial(
        p50_ms=row.end_to_end.p50.value_ms,
        p50_half_width=row.stability.p50_half_width,
        stable=row.stability.stable,
        load_average=row.load_average,
        used=used,
        reason=row.message or " ".join(reason.message for reason in row.stability.reasons),
    )


def _trial(job: _Job, batch: int, limit_s: float, step: Callable[[int], None]) -> tuple[BatchTiming, float]:
    """One trial and the seconds that its blocks took, one after the other.

    Blocks that ended before a failure are kept.
    """
    protocol = job.protocol
    precision = job.request["precision"]
    fault = precision_fault(job.facts.stored_precision or {}, precision)
    around = Circumstances(precision, job.backend.is_gpu, load_average(), fault)
    left_s = limit_s
    blocks: list[BlockAnswer] = []
    try:
        for number in range(protocol.blocks):
            answer, taken_s = _run_block(job, batch, number, left_s)
            left_s = max(0.1, left_s - taken_s)
            blocks.append(answer)
            step(number + 1)
    except WorkerFailure as failure:
        step(protocol.blocks)
        late = f"{len(blocks)} of {protocol.blocks} blocks had ended after {protocol.limit_s:g} s, its limit."
        message = late if failure.kind == "timeout" else failure.message
        if not blocks:
            return ended_row(batch, failure.kind, message, 0, around.load), limit_s
        row = measured_row(batch, blocks, job.inputs, around, status=failure.kind, message=message)
        return row, limit_s
    return measured_row(batch, blocks, job.inputs, around), limit_s - left_s


def _run_block(job: _Job, batch: int, number: int, left_s: float) -> tuple[BlockAnswer, float]:
    """Answer of a block's worker, and the seconds that it took after its session was there."""
    wanted = job.protocol.parity_images if number == 0 else OTHER_BLOCKS_IMAGES
    checked = 0 if job.inputs.stored is None else min(job.inputs.images, wanted)
    with Worker(WORKER, job.protocol.build_limit_s, _sandbox(job)) as worker:
        check_s = job.protocol.longest_s if number == 0 else 0.0
        request = {
            **job.request,
            "batch": batch,
            "parity_images": checked,
            "check_s": check_s,
            "service": number == 0,
        }
        files = {f"{FILE}{k}": data for k, data in enumerate(job.inputs.files if number == 0 else ())}
        worker.send(request, {**job.inputs.arrays, **files})
        job.device, _ = worker.receive()
        worker.receive()  # the session is there: a build does not count
        start = time.monotonic()
        worker.renew(left_s)
        answer = BlockAnswer(*worker.receive())
        taken_s = time.monotonic() - start
    job.options = {k: v for k, v in answer.header["options"].items() if k not in BUILD_FACTS}
    return answer, taken_s


def _sandbox(job: _Job) -> SandboxLimits:
    """Return what a worker may use."""
    cpu_s = math.ceil((job.protocol.build_limit_s + job.protocol.limit_s) * (usable_cores() + 1))
    if job.backend.is_gpu:
        return SandboxLimits.for_gpu(cpu_s)
    return SandboxLimits(cpu_s=cpu_s, readable=(job.request["model"],))


def _cold_start(job: _Job, batch: int, row: BatchTiming) -> ColdStart:
    """Cold start in fresh processes that do nothing else; the blocks' own where such a process fails."""
    if row.end_to_end.p50.value_ms is None:
        return row.cold_start
    index = np.arange(batch) % job.inputs.images
    inputs = {name: np.ascontiguousarray(array[index]) for name, array in job.inputs.arrays.items()}
    processes: list[tuple[float, float, float]] = []
    try:
        for _ in range(job.protocol.cold_starts):
            start = time.perf_counter()
            with Worker(COLD_START_WORKER, job.protocol.build_limit_s, _sandbox(job)) as worker:
                worker.send({**job.request, "batch": batch}, inputs)
                spans, _ = worker.receive()
                total_ms = 1000 * (time.perf_counter() - start)
            processes.append((spans["prepare_ms"], spans["first_inference_ms"], total_ms))
    except WorkerFailure as failure:
        reason = f"A fresh process failed: {failure.message}"
        return row.cold_start.model_copy(update={"reason": reason})
    if not processes:
        return row.cold_start
    prepare_ms, first_ms, total_ms = (float(value) for value in np.median(processes, axis=0))
    return ColdStart(
        prepare_ms=prepare_ms, first_inference_ms=first_ms, total_ms=total_ms, processes=len(processes)
    )


def model_facts(path: Path) -> ModelFacts:
    """Read what a file says of its own speed, in a process of its own; empty where it cannot be read."""
    try:
        with Worker(FACTS_WORKER, FACTS_LIMIT_S, SandboxLimits(MEMORY_MB, readable=(str(path),))) as worker:
            worker.send({"model": str(path)})
            answer, _ = worker.receive()
    except WorkerFailure:
        return ModelFacts()
    return ModelFacts(tuple(answer["control_flow"]), answer["stored_precision"])


def own_auroc(
    model: Path, manifest: Manifest, cohort: Cohort, backend: str, precision: str, limits: Limits | None
) -> dict[str, float]:
    """Binary target → AUROC on all test images, of a model that was put into another precision.

    Targets that are not predicted or have one class only are left out, and so is everything where the model
    does not run: the rows of the record say how it ended.
    """
    rows = cohort.rows("test")
    try:
        predictions = predict(
            model, manifest, cohort, rows, backend=backend, precision=precision, limits=limits
        )
    except BenchError:
        return {}
    scores: dict[str, float] = {}
    for target in cohort.spec.binary_targets:
        if target.name in predictions:
            labels = cohort.targets[target.name][rows]
            known = ~np.isnan(labels)
            value = auroc(labels[known], predictions[target.name][known])
            if value is not None:
                scores[target.name] = round(float(value), 4)  # published with the record
    return scores
