"""Times a model: every block in a process of its own, every outcome a row of the record."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

import bench
from bench.cohort.table import Cohort
from bench.environment import environment, load_average, public_argv
from bench.errors import Problem, raise_errors
from bench.files import sha256_file
from bench.runtime.child import Failing, Worker, WorkerFailure, remaining
from bench.runtime.precision import convert
from bench.runtime.predict import Limits
from bench.runtime.registry import DEFAULT_BACKEND, require_backend
from bench.runtime.select import picks_of
from bench.submission.manifest import Manifest
from bench.submission.model import manifest_problems
from bench.timing.inputs import TimedInputs, calibration_inputs, timed_inputs
from bench.timing.measure import IN_FLIGHT
from bench.timing.parity import check_parity, not_checked
from bench.timing.protocol import FULL, Protocol
from bench.timing.record import (
    BatchTiming,
    ColdStart,
    Parity,
    Precision,
    ProtocolRecord,
    Stability,
    Throughput,
    TimingRecord,
)
from bench.timing.stability import judge
from bench.timing.summary import summarise, summarise_throughput, unmeasured

Progress = Callable[[int, int], None]
Values = npt.NDArray[np.float64]

WORKER = "bench.timing.worker"
DEFAULT_BATCHES = (1, 8, 32)
OTHER_BLOCKS_IMAGES = 32  # the first block's session predicts all parity images, the others these
_NO_DEVICE_CLOCK = "The backend reports no device events: see end_to_end."


@dataclass(frozen=True, slots=True)
class _Block:
    """One block's answers."""

    header: dict[str, Any]
    arrays: dict[str, Values]

    @property
    def predictions(self) -> dict[str, Values]:
        prefix = "target:"
        return {name.removeprefix(prefix): a for name, a in self.arrays.items() if name.startswith(prefix)}


@dataclass(slots=True)
class _Seen:
    """What the workers said of the device; the same for all of them."""

    device: dict[str, Any]
    options: dict[str, Any]


def time_model(
    model_path: Path,
    manifest: Manifest,
    cohort: Cohort,
    stored_predictions: dict[str, Values] | None,
    *,
    slug: str = "",
    backend: str = DEFAULT_BACKEND,
    precision: Precision = "fp32",
    batches: Sequence[int] = DEFAULT_BATCHES,
    protocol: Protocol = FULL,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> TimingRecord:
    """Times a model at several batch sizes with one backend in one precision.

    A crash, a time limit or too little memory at one batch size is recorded in its row; the others go on.

    Args:
        model_path: A model that `bench.submission.model.check_model` found no error in.
        manifest: Its manifest, with the table ``[model]``.
        cohort: Its test images go in; where they are not at hand, random pixels, and parity is not checked.
        stored_predictions: Target → (test images,) the predictions that were scored, in canonical order; None
            where the model is in no store.
        slug: The entry's slug, for the record.
        backend: What runs the model.
        precision: In which precision.
        batches: Batch sizes.
        protocol: How long and how often.
        limits: What a block's process may use; its times are those of the protocol.
        progress: Called with (blocks done, blocks in total).

    Raises:
        BenchError: The backend cannot be used here (exit 3), the manifest does not fit, a batch size is not a
            positive number, or the model cannot be had in the precision.
    """
    chosen = require_backend(backend, precision)
    raise_errors([*manifest_problems(manifest, cohort.spec), *_batch_problems(batches)])
    assert manifest.model is not None
    inputs = timed_inputs(manifest, cohort, stored_predictions, max(protocol.parity_images, *batches))
    calibration = calibration_inputs(manifest, cohort) if precision == "int8" else None
    seen = _Seen({}, {})
    rows = []
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
        for index, batch in enumerate(batches):

            def step(done: int, before: int = index * protocol.blocks) -> None:
                if progress:
                    progress(before + done, len(batches) * protocol.blocks)

            rows.append(_time_batch({**request, "batch": batch}, inputs, protocol, seen, chosen.is_gpu, step))
    return TimingRecord(
        slug=slug,
        cohort=cohort.spec.id,
        fingerprint=cohort.split.fingerprint,
        backend=backend,
        backend_label=chosen.label,
        device=seen.device.get("device", "unknown"),
        is_gpu=chosen.is_gpu,
        precision=precision,
        model_sha256=sha256_file(model_path),
        harness_version=bench.__version__,
        measured_on=datetime.datetime.now(datetime.UTC).date(),
        protocol=ProtocolRecord(**asdict(protocol)),
        inputs=inputs.kind,
        options={**seen.device.get("facts", {}), **seen.options, **converted.facts},
        batches=tuple(rows),
        environment=environment(),
        argv=public_argv(),
    )


def _batch_problems(batches: Sequence[int]) -> list[Problem]:
    if batches and all(batch >= 1 for batch in batches) and len(set(batches)) == len(batches):
        return []
    message = f"Batch sizes must be different whole numbers from 1: {', '.join(map(str, batches)) or 'none'}."
    return [Problem("timing-batch", message, "--batch")]


def _time_batch(
    request: dict[str, Any],
    inputs: TimedInputs,
    protocol: Protocol,
    seen: _Seen,
    is_gpu: bool,
    step: Callable[[int], None],
) -> BatchTiming:
    """The row of one batch size: its blocks one after the other, or how it ended."""
    deadline = time.monotonic() + protocol.limit_s
    load = load_average()
    blocks: list[_Block] = []
    try:
        for number in range(protocol.blocks):
            wanted = inputs.images if number == 0 else min(inputs.images, OTHER_BLOCKS_IMAGES)
            if inputs.stored is None:
                wanted = 0
            blocks.append(_run_block({**request, "parity_images": wanted}, inputs, deadline, seen))
            step(number + 1)
    except WorkerFailure as failure:
        step(protocol.blocks)
        late = f"{len(blocks)} of {protocol.blocks} blocks had ended after {protocol.limit_s:g} s, its limit."
        message = late if failure.kind == "timeout" else failure.message
        return _ended(request["batch"], failure.kind, message, len(blocks), load)
    return _row(request, blocks, inputs, is_gpu, load)


def _run_block(request: dict[str, Any], inputs: TimedInputs, deadline: float, seen: _Seen) -> _Block:
    with Worker(WORKER, remaining(deadline)) as worker:
        worker.send(request, inputs.arrays)
        seen.device, _ = worker.receive()
        header, arrays = worker.receive()
        seen.options = header["options"]
        return _Block(header, arrays)


def _row(
    request: dict[str, Any], blocks: list[_Block], inputs: TimedInputs, is_gpu: bool, load: float | None
) -> BatchTiming:
    end_to_end = [block.arrays["end_to_end_ms"] for block in blocks]
    compute = [block.arrays["compute_ms"] for block in blocks if "compute_ms" in block.arrays]
    peaks = [block.header["peak_memory_mb"] for block in blocks]
    return BatchTiming(
        batch=request["batch"],
        status="ok",
        compute=summarise(compute) if compute else unmeasured(_NO_DEVICE_CLOCK),
        end_to_end=summarise(end_to_end),
        throughput=summarise_throughput([b.header["images_per_s"] for b in blocks], IN_FLIGHT),
        cold_start=ColdStart(
            prepare_ms=float(np.median([b.header["prepare_ms"] for b in blocks])),
            first_inference_ms=float(np.median([b.header["first_inference_ms"] for b in blocks])),
        ),
        stability=judge(compute or end_to_end, is_gpu=is_gpu),
        parity=_parity(blocks, inputs, request["precision"]),
        blocks=len(blocks),
        peak_memory_mb=max(peaks) if all(p is not None for p in peaks) else None,
        load_average=load,
    )


def _ended(batch: int, status: Failing, message: str, blocks: int, load: float | None) -> BatchTiming:
    """The row of a configuration that did not come to its end: no figure of it is kept."""
    return BatchTiming(
        batch=batch,
        status=status,
        message=message,
        compute=unmeasured(message),
        end_to_end=unmeasured(message),
        throughput=Throughput(images_per_s=None, reason=message),
        cold_start=ColdStart(prepare_ms=None, first_inference_ms=None, reason=message),
        stability=Stability(stable=None),
        parity=not_checked(message),
        blocks=blocks,
        load_average=load,
    )


def _parity(blocks: list[_Block], inputs: TimedInputs, precision: str) -> Parity:
    """All sessions against the stored predictions; the verdict of the first that fails, else of the first.

    The first session predicted all images and is the one whose AUROC is compared.
    """
    if inputs.stored is None:
        missing = "The cohort's images are not at hand." if inputs.kind == "random pixels" else ""
        return not_checked(missing or "There are no stored predictions of this model.")
    verdicts = []
    for number, block in enumerate(blocks):
        predictions = block.predictions
        images = len(next(iter(predictions.values())))
        stored = {target: values[:images] for target, values in inputs.stored.items()}
        labels = inputs.labels if number == 0 else None
        verdicts.append(check_parity(predictions, stored, precision, labels=labels, spans=inputs.spans))
    failed = next((v for v in verdicts if v.status == "failed"), None)
    largest = max((v.max_difference for v in verdicts if v.max_difference is not None), default=None)
    return failed or verdicts[0].model_copy(update={"max_difference": largest})
