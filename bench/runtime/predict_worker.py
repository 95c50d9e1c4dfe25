"""The process that runs a stranger's model: it sees pixels and ages, never an id or a label."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from bench.runtime.child import scrubbed
from bench.runtime.registry import require_backend
from bench.runtime.select import Pick, select
from bench.runtime.serve import limit_memory, serve
from bench.runtime.wire import read_message, write_message


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers each message of inputs with one of predictions, until there are no more."""
    request, _ = read_message(requests)
    limit_memory(request["memory_mb"])
    path = Path(request["model"])
    picks = [Pick(**pick) for pick in request["picks"]]
    try:
        session = require_backend(request["backend"]).prepare(path, request["precision"], request["batch"])
        write_message(answers, {"ready": True})
        while True:
            header, inputs = read_message(requests)
            write_message(answers, {}, select(session.infer(inputs), picks, header["rows"]))
    except (EOFError, MemoryError):
        raise
    except Exception as error:
        raise RuntimeError(scrubbed(str(error), path)) from error


if __name__ == "__main__":
    serve(work)
