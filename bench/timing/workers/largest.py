"""The process that tries whether a batch fits: one run, with two in flight as the throughput has them."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from bench.runtime.backends.registry import require_backend
from bench.runtime.workers.predict import repeated
from bench.sandbox.messages import limit_memory, read_message, serve, write_message
from bench.timing.measure import IN_FLIGHT


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request."""
    request, inputs = read_message(requests)
    limit_memory(request["memory_mb"])
    backend = require_backend(request["backend"], request["precision"])
    session = backend.prepare(Path(request["model"]), request["precision"], request["batch"])
    filled = repeated(inputs, request["batch"])
    for lane in session.lanes(IN_FLIGHT):
        lane.infer(filled)
    write_message(answers, {"runs": True})


if __name__ == "__main__":
    serve(work)
