"""The process that asks a backend's library what it computes on, so that ours never loads it."""

from __future__ import annotations

from typing import BinaryIO

from bench.runtime.backends.registry import find_backend
from bench.sandbox.messages import read_message, serve, write_message


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request."""
    request, _ = read_message(requests)
    device = find_backend(request["backend"]).device()
    write_message(answers, {"name": device.name, "is_gpu": device.is_gpu, "facts": device.facts})


if __name__ == "__main__":
    serve(work)
