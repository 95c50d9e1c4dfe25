"""The worker process of a cold start: prepare a session and give one answer, and nothing before that."""

from __future__ import annotations

import time
from pathlib import Path
from typing import BinaryIO

from bench.runtime.backends.registry import backends
from bench.sandbox.messages import limit_memory, read_message, serve, write_message
from bench.sandbox.worker_process import scrubbed


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request: a batch of inputs."""
    request, inputs = read_message(requests)
    limit_memory(request["memory_mb"])
    path = Path(request["model"])
    try:
        start = time.perf_counter()
        session = backends()[request["backend"]].prepare(path, request["precision"], request["batch"])
        prepared = time.perf_counter()
        session.infer(inputs)
        answered = time.perf_counter()
    except MemoryError:
        raise
    except Exception as error:
        raise RuntimeError(scrubbed(str(error) or type(error).__name__, path)) from error
    spans = {"prepare_ms": 1000 * (prepared - start), "first_inference_ms": 1000 * (answered - prepared)}
    write_message(answers, spans)


if __name__ == "__main__":
    serve(work)
