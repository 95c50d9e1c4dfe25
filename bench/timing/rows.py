"""Rows of a record: the figures of a batch size from its blocks, or how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bench.metrics.validation import Floats
from bench.runtime.worker_process import Failing
from bench.timing.inputs import TimedInputs
from bench.timing.measure import IN_FLIGHT
from bench.timing.parity import check_parity, not_checked
from bench.timing.record import BatchTiming, ColdStart, EngineBuild, Parity, Stability, Throughput
from bench.timing.statistics import judge, summarise, summarise_throughput, unmeasured
from bench.timing.telemetry import Trace, evidence, figures

# Settings of a session that belong to one build of its engine alone.
BUILD_FACTS: Final = ("engine_sha256", "build_ms", "engine_bytes", "engine_layer_types")

_NO_DEVICE_CLOCK: Final = "The backend reports no device events: see end_to_end."


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """What a worker answered.

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


def measured_row(
    batch: int,
    blocks: Sequence[BlockAnswer],
    inputs: TimedInputs,
    precision: str,
    *,
    is_gpu: bool,
    load: float | None,
) -> BatchTiming:
    """The row of a batch size whose blocks all ended well.

    Args:
        batch: The batch size.
        blocks: What their workers answered, in order.
        inputs: What went in, with the stored predictions.
        precision: Decides the gates of parity.
        is_gpu: Decides the limits of stability.
        load: Load average before the first block.
    """
    end_to_end = [block.arrays["end_to_end_ms"] for block in blocks]
    compute = [block.arrays["compute_ms"] for block in blocks if "compute_ms" in block.arrays]
    traces = [Trace(**b.header["telemetry"]) for b in blocks if b.header["telemetry"]]
    images = [batch * (len(latencies) + 1) for latencies in end_to_end]  # one more to check
    peaks = [block.header["peak_memory_mb"] for block in blocks]
    return BatchTiming(
        batch=batch,
        status="ok",
        compute=summarise(compute) if compute else unmeasured(_NO_DEVICE_CLOCK),
        end_to_end=summarise(end_to_end),
        throughput=summarise_throughput([b.header["images_per_s"] for b in blocks], IN_FLIGHT),
        cold_start=ColdStart(
            prepare_ms=float(np.median([b.header["prepare_ms"] for b in blocks])),
            first_inference_ms=float(np.median([b.header["first_inference_ms"] for b in blocks])),
        ),
        stability=judge(compute or end_to_end, is_gpu=is_gpu, device=evidence(traces) if traces else None),
        parity=_parity(blocks, inputs, precision),
        blocks=len(blocks),
        telemetry=figures(traces, images) if len(traces) == len(blocks) else None,
        peak_memory_mb=max(peaks) if all(p is not None for p in peaks) else None,
        load_average=load,
        builds=tuple(found for b in blocks if (found := _build(b.header["options"]))),
    )


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


def _parity(blocks: Sequence[BlockAnswer], inputs: TimedInputs, precision: str) -> Parity:
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
