"""Roofline: the least time that a model's work takes on this device, beside the time that it took.

The limit is the larger of the time for its multiplications and the time for its bytes at the rates that the
device was seen to reach (Williams, Waterman and Patterson 2009, Commun ACM 52(4):65-76).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.timing.record import BatchTiming, Roofline

WORKER = "bench.timing.workers.roofline"
LIMIT_S: Final = 50.0
MEMORY_MB: Final = 12_288  # a file of 2 GiB is held about four times while it is counted


def measure_roofline(
    model_path: Path, inputs: Mapping[str, tuple[int, ...]], precision: str, *, is_gpu: bool
) -> Roofline:
    """The model's work and the device's ceilings; null with a reason where they are not known.

    Args:
        model_path: The file as it is run.
        inputs: Input name → shape of one image.
        precision: In which the device multiplies.
        is_gpu: Which device is measured.
    """
    from bench.sandbox.launch import SandboxLimits
    from bench.sandbox.worker_process import Worker, WorkerFailure  # here: sites are built without numpy

    if precision == "int8":
        return Roofline(reason="No ceiling is measured for int8.")
    request = {
        "model": str(model_path),
        "inputs": {name: list(shape) for name, shape in inputs.items()},
        "precision": precision,
        "is_gpu": is_gpu,
    }
    try:
        on_cpu = SandboxLimits(MEMORY_MB, readable=(str(model_path),))
        limits = SandboxLimits.for_gpu() if is_gpu else on_cpu
        with Worker(WORKER, LIMIT_S, limits) as worker:
            worker.send(request)
            answer, _ = worker.receive()
    except WorkerFailure as failure:
        return Roofline(reason=failure.message)
    if "reason" in answer:
        return Roofline(reason=answer["reason"])
    cost = answer["cost"]
    return Roofline(
        mflop_per_image=2e-6 * cost["multiply_adds"],
        weight_mb=1e-6 * cost["weight_bytes"],
        image_mb=1e-6 * cost["image_bytes"],
        device_gflop_per_s=2e-9 * answer["products_per_s"],
        device_gb_per_s=1e-9 * answer["bytes_per_s"],
    )


def least_ms(roofline: Roofline, batch: int) -> float | None:
    """Milliseconds that a batch takes at least at the device's ceilings; None where they are unknown."""
    if not roofline.figures:
        return None
    mflop, weight_mb, image_mb, gflop_per_s, gb_per_s = roofline.figures
    return max(batch * mflop / gflop_per_s, (weight_mb + batch * image_mb) / gb_per_s)


def taken_ms(row: BatchTiming) -> float | None:
    """The median held against the limit: of the computation where the device reports it, or end to end."""
    return row.compute.p50.value_ms or row.end_to_end.p50.value_ms


def with_limit(row: BatchTiming, roofline: Roofline) -> BatchTiming:
    """The row with the fraction of the limit that its `taken_ms` reaches; none where it is below that."""
    least, taken = least_ms(roofline, row.batch), taken_ms(row)
    if least is None or taken is None or least > taken:
        return row.model_copy(update={"limit_fraction": None})
    return row.model_copy(update={"limit_fraction": least / taken})
