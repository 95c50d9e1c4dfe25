"""Records that were never measured, for tests of what is done with records."""

from __future__ import annotations

import datetime
from typing import Any

from bench import __version__
from bench.timing.protocol import FULL, Protocol
from bench.timing.record import (
    BatchTiming,
    ColdStart,
    Parity,
    Percentile,
    Roofline,
    Stability,
    Throughput,
    TimingRecord,
)
from bench.timing.statistics import unmeasured

DEVICE = "Fake CPU"


def row(batch: int, ms: float = 1.0, **changes: Any) -> BatchTiming:
    """A stable row with parity and this median."""
    latency = unmeasured("not measured in this test").model_copy(
        update={"p50": Percentile(value_ms=ms), "n": 1}
    )
    filled = BatchTiming(
        batch=batch,
        status="ok",
        compute=unmeasured("not measured in this test"),
        end_to_end=latency,
        throughput=Throughput(images_per_s=1000 * batch / ms),
        cold_start=ColdStart(prepare_ms=1.0, first_inference_ms=1.0),
        stability=Stability(stable=True),
        parity=Parity(status="passed"),
        blocks=5,
    )
    return filled.model_copy(update=changes)


def record(*rows: BatchTiming, protocol: Protocol = FULL, **changes: Any) -> TimingRecord:
    """A record of the rows."""
    filled: dict[str, Any] = {
        "slug": "one",
        "cohort": "tiny",
        "fingerprint": "f" * 64,
        "backend": "onnxruntime-cpu",
        "backend_label": "ONNX Runtime (CPU)",
        "device": DEVICE,
        "is_gpu": False,
        "precision": "fp32",
        "model_sha256": "a" * 64,
        "harness_version": __version__,
        "measured_on": datetime.date(2026, 1, 1),
        "protocol": protocol,
        "options": {"onnxruntime": "1.0", "intra_op_threads": 2},
        "roofline": Roofline(reason="not measured in this test"),
        "environment": {"usable_cores": 2},
        "batches": rows or (row(1),),
    }
    return TimingRecord(**{**filled, **changes})
