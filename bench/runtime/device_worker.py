"""The process that asks a backend's library what it computes on, so that ours never loads it."""

from __future__ import annotations

from typing import BinaryIO

from bench.runtime.registry import backends
from bench.runtime.serve import serve
from bench.runtime.wire import read_message, write_message


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers one request."""
    request, _ = read_message(requests)
    device = backends()[request["backend"]].device()
    write_message(answers, {"name": device.name, "is_gpu": device.is_gpu, "facts": device.facts})


if __name__ == "__main__":
    serve(work)
