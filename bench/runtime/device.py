"""What a backend computes on, asked in a process of its own."""

from __future__ import annotations

from typing import Final

from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.runtime.backend import Device
from bench.runtime.child import Worker, WorkerFailure

WORKER = "bench.runtime.device_worker"
LIMIT_S: Final = 120.0


def device_of(backend: str) -> Device:
    """The processor of an available backend, with the versions between it and a model.

    Raises:
        BenchError: Its library crashed or refused (``backend-unavailable``, exit 3).
    """
    try:
        with Worker(WORKER, LIMIT_S) as worker:
            worker.send({"backend": backend})
            answer, _ = worker.receive()
    except WorkerFailure as failure:
        message = f"{backend} could not say what it computes on. {failure.message}"
        raise BenchError(Problem("backend-unavailable", message), EXIT_ENVIRONMENT) from failure
    return Device(answer["name"], is_gpu=answer["is_gpu"], facts=answer["facts"])
