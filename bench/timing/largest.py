"""The largest batch that fits: doubled until it does not run any more, each try in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.cohort.cohort import Cohort
from bench.runtime.backends.registry import require_backend
from bench.runtime.precision import convert
from bench.runtime.predict import Limits
from bench.runtime.worker_process import Worker, WorkerFailure
from bench.submission.manifest import Manifest
from bench.timing.inputs import calibration_inputs, timed_inputs
from bench.timing.record import Precision

WORKER: Final = "bench.timing.largest_worker"
LIMIT_S: Final = 120.0
CAP: Final = 4096
_IMAGES: Final = 32


def with_largest(
    batches: Sequence[int],
    model: Path,
    manifest: Manifest,
    cohort: Cohort,
    backend: str,
    precision: Precision,
    *,
    cap: int = CAP,
    limits: Limits | None = None,
) -> tuple[int, ...]:
    """The batch sizes, and the largest of their greatest doubled that still runs, up to a cap.

    Args:
        batches: Wanted anyway; the greatest is taken to fit.
        model: The submitted file.
        manifest: Its manifest.
        cohort: Its test images go in.
        backend: What runs the model.
        precision: In which precision.
        cap: Nothing larger is tried.
        limits: What a try may use; a GPU's driver is not limited.
    """
    chosen = require_backend(backend, precision)
    inputs = timed_inputs(manifest, cohort, None, _IMAGES).arrays
    calibration = calibration_inputs(manifest, cohort) if precision == "int8" else None
    with TemporaryDirectory() as folder:
        request: dict[str, Any] = {
            "model": str(convert(model.resolve(), precision, Path(folder), calibration).path),
            "backend": backend,
            "precision": precision,
            "memory_mb": None if chosen.is_gpu else (limits or Limits()).memory_mb,
        }
        largest = max(batches)
        while 2 * largest <= cap and _runs({**request, "batch": 2 * largest}, inputs):
            largest *= 2
    return (*batches, largest) if largest not in batches else tuple(batches)


def _runs(request: dict[str, Any], inputs: dict[str, Any]) -> bool:
    try:
        with Worker(WORKER, LIMIT_S) as worker:
            worker.send(request, inputs)
            worker.receive()
    except WorkerFailure:
        return False
    return True
