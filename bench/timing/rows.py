"""Rows of a record: the figures of a batch size from its blocks, or how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from bench.metrics.validation import Floats
from bench.sandbox.worker_process import Failing
from bench.timing.inputs import TimedInputs
from bench.timing.measure import IN_FLIGHT
from bench.timing.parity import check_parity, not_checked
from bench.timing.record import (
    ArrivalRate,
    BatchTiming,
    ColdStart,
    EngineBuild,
    Instability,
    Latency,
    LoadPoint,
    Parity,
    Pipeline,
    Server,
    Stability,
    Status,
    Telemetry,
    Throughput,
)
from bench.timing.statistics import percentile, summarise, summarise_throughput, unmeasured
from bench.timing.telemetry import Trace, evidence, figures
from bench.timing.unseen import Integrity
from bench.timing.verdict import enqueue_note, judge

# Settings of a session that belong to one build of its engine alone.
BUILD_FACTS: Final = ("engine_sha256", "build_ms", "engine_bytes", "engine_layer_types")

SERVER_BOUND_MS: Final = 100.0
"""Latency within which a person takes an answer for immediate (Nielsen 1993, Usability Engineering, 5.5)."""

_NO_DEVICE_CLOCK: Final = "The backend reports no device events: see end_to_end."


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """Answer of a worker for one block.

    Attributes:
        header: Plain data: cold start, throughput, settings, memory, telemetry.
        arrays: Latencies, and predictions of the parity images.
    """

    header: dict[str, Any]
    arrays: dict[str, Floats]

    @property
    def predictions(self) -> dict[str, Floats]:
        """Target → (images,) predictions of the first images."""
        prefix = "target:"
        return {name.removeprefix(prefix): a for name, a in self.arrays.items() if name.startswith(prefix)}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Facts about a configuration beside its blocks.

    Attributes:
        precision: Decides the gates of parity.
        is_gpu: Decides the limits of stability.
        load: Load average before the first block.
        precision_fault: Why the figures are not those of the precision; empty where they are.
    """

    precision: str
    is_gpu: bool
    load: float | None
    precision_fault: str = ""


def measured_row(
    batch: int,
    blocks: Sequence[BlockAnswer],
    inputs: TimedInputs,
    around: Circumstances,
    *,
    status: Status = "ok",
    message: str = "",
) -> BatchTiming:
    """The row of a batch size from the blocks that ended well.

    Args:
        batch: The batch size.
        blocks: What their workers answered, in order; at least one.
        inputs: What went in, with the stored predictions.
        around: What else is known.
        status: How the configuration ended; ``ok`` where all its blocks did.
        message: In words, where they did not.
    """
    end_to_end = [block.arrays["end_to_end_ms"] for block in blocks]
    compute = [block.arrays["compute_ms"] for block in blocks if "compute_ms" in block.arrays]
    enqueue = [block.arrays["enqueue_ms"] for block in blocks if "enqueue_ms" in block.arrays]
    enqueue_ms = float(np.median(np.concatenate(enqueue))) if enqueue else None
    peaks = [block.header["peak_memory_mb"] for block in blocks]
    images = [batch * (len(latencies) + 1) for latencies in end_to_end]  # one more to check
    stability, telemetry = _judged(end_to_end, blocks, "telemetry", images, around)
    compute_latency = summarise(compute) if compute else unmeasured(_NO_DEVICE_CLOCK)
    compute_stability, compute_telemetry = None, None
    if compute:
        device_images = [batch * len(runs) for runs in compute]
        compute_stability, compute_telemetry = _judged(
            compute, blocks, "compute_telemetry", device_images, around
        )
        note = enqueue_note(compute_latency, enqueue_ms)
        notes = (*compute_stability.notes, *([note] if note else []))
        compute_stability = compute_stability.model_copy(update={"notes": notes})
    return BatchTiming(
        batch=batch,
        status=status,
        message=message,
        compute=compute_latency,
        end_to_end=summarise(end_to_end),
        throughput=summarise_throughput([b.header["images_per_s"] for b in blocks], IN_FLIGHT),
        cold_start=ColdStart(
            prepare_ms=float(np.median([b.header["prepare_ms"] for b in blocks])),
            first_inference_ms=float(np.median([b.header["first_inference_ms"] for b in blocks])),
        ),
        stability=stability,
        compute_stability=compute_stability,
        parity=_parity(blocks, inputs, around.precision),
        blocks=len(blocks),
        telemetry=telemetry,
        compute_telemetry=compute_telemetry,
        enqueue_ms=enqueue_ms,
        peak_memory_mb=max(peaks) if all(p is not None for p in peaks) else None,
        load_average=around.load,
        builds=tuple(build for b in blocks if (build := _build(b.header["options"]))),
        load_curve=_load_curve(batch, summarise(end_to_end), blocks),
        server=_server(batch, blocks[0]),
        pipeline=_pipeline(blocks[0]),
    )


def _load_curve(batch: int, single: Latency, blocks: Sequence[BlockAnswer]) -> tuple[LoadPoint, ...]:
    """Points with 1, 2 and 4 batches in flight: the first two of all blocks, the last of the first block."""
    points = []
    if single.mean_ms:
        points.append(LoadPoint(in_flight=1, images_per_s=1000 * batch / single.mean_ms, latency=single))
    name = f"in_flight:{IN_FLIGHT}"
    two = summarise([block.arrays[name] for block in blocks])
    rate = float(np.mean([block.header["images_per_s"] for block in blocks]))
    points.append(LoadPoint(in_flight=IN_FLIGHT, images_per_s=rate, latency=two))
    for count, images_per_s in blocks[0].header["in_flight_images_per_s"].items():
        latency = summarise([blocks[0].arrays[f"in_flight:{count}"]])
        points.append(LoadPoint(in_flight=int(count), images_per_s=images_per_s, latency=latency))
    return tuple(points)


def _server(batch: int, block: BlockAnswer) -> Server | None:
    """Requests at random, and the largest rate whose p99 is within the bound; None where not measured."""
    if batch != 1 or not block.header["server_rates"]:
        return None
    rates = tuple(
        ArrivalRate(requests_per_s=rate, latency=summarise([block.arrays[f"server:{number}"]]))
        for number, rate in enumerate(block.header["server_rates"])
    )
    known = [(r.requests_per_s, r.latency.p99.value_ms) for r in rates if r.latency.p99.value_ms is not None]
    within = [rate for rate, p99 in known if p99 <= SERVER_BOUND_MS]
    reason = ""
    if not known:
        reason = f"p99 is not known at any rate: {rates[0].latency.p99.reason}"
    elif not within:
        reason = f"p99 is above {SERVER_BOUND_MS:g} ms at every rate"
    return Server(
        bound_ms=SERVER_BOUND_MS, rates=rates, requests_per_s=max(within, default=None), reason=reason
    )


def _pipeline(block: BlockAnswer) -> Pipeline:
    if "pipeline" not in block.arrays:
        return Pipeline(latency=unmeasured("The cohort's images are not available."))
    decode_ms = percentile(np.sort(block.arrays["decode"]), 0.5)
    return Pipeline(latency=summarise([block.arrays["pipeline"]]), decode_ms=decode_ms)


def _judged(
    latencies: Sequence[Floats],
    blocks: Sequence[BlockAnswer],
    watched: str,
    images: Sequence[int],
    around: Circumstances,
) -> tuple[Stability, Telemetry | None]:
    """The verdict on one scope, and what the device reported while it was measured."""
    traces = [Trace(**b.header[watched]) for b in blocks if b.header[watched]]
    complete = len(traces) == len(blocks)
    stability = judge(latencies, is_gpu=around.is_gpu, device=evidence(traces) if complete else None)
    if around.precision_fault:
        mislabelled = Instability(code="precision", message=around.precision_fault)
        reasons = (*stability.reasons, mislabelled)
        stability = stability.model_copy(update={"stable": False, "reasons": reasons})
    return stability, figures(traces, images) if complete else None


def _build(options: dict[str, Any]) -> EngineBuild | None:
    """The engine of a block; None where the backend builds none."""
    if "engine_sha256" not in options:
        return None
    return EngineBuild(
        sha256=options["engine_sha256"],
        build_ms=options["build_ms"],
        engine_bytes=options["engine_bytes"],
        layer_types={kind: int(count) for kind, count in (options["engine_layer_types"] or {}).items()},
    )


def ended_row(batch: int, status: Failing, message: str, blocks: int, load: float | None) -> BatchTiming:
    """The row of a configuration of which no block ended well."""
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
        load_curve=(),
        server=Server(bound_ms=SERVER_BOUND_MS, reason=message) if batch == 1 else None,
        pipeline=Pipeline(latency=unmeasured(message)),
    )


def _parity(blocks: Sequence[BlockAnswer], inputs: TimedInputs, precision: str) -> Parity:
    """All sessions against the stored predictions; the verdict of the first that fails, else of the first.

    The first session predicted all images and is the one whose AUROC is compared.
    """
    if inputs.stored is None:
        missing = "The cohort's images are not available." if inputs.kind == "random pixels" else ""
        return not_checked(missing or "There are no stored predictions of this model.")
    verdicts = []
    checks: list[Integrity] = []
    for number, block in enumerate(blocks):
        if block.header["integrity"]:
            checks.append(Integrity(**block.header["integrity"]))
        predictions = block.predictions
        images = len(next(iter(predictions.values())))
        stored = {target: values[:images] for target, values in inputs.stored.items()}
        labels = {t: v[:images] for t, v in inputs.labels.items()} if number == 0 else None
        verdicts.append(check_parity(predictions, stored, precision, labels=labels, spans=inputs.spans))
    failed = next((v for v in verdicts if v.status == "failed"), None)
    largest = max((v.max_difference for v in verdicts if v.max_difference is not None), default=None)
    whole = failed or verdicts[0].model_copy(update={"max_difference": largest})
    return _with_integrity(whole, checks)


def _with_integrity(parity: Parity, checks: Sequence[Integrity]) -> Parity:
    """The verdict with what the unseen images showed: a fault counts where most sessions show one."""
    if not checks:
        return parity
    repeats = [check.unseen_repeats for check in checks if check.unseen_repeats is not None]
    typical = Integrity(
        pass_ratio=float(np.median([check.pass_ratio for check in checks])),
        unseen_ratio=float(np.median([check.unseen_ratio for check in checks])),
        unseen_repeats=max(repeats, default=None),  # the first session knows most predictions
    )
    updated = parity.model_copy(update=asdict(typical))
    if not typical.faults:
        return updated
    message = " ".join(filter(None, (parity.message, *typical.faults)))
    return updated.model_copy(update={"status": "failed", "message": message})
