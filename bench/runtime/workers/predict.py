"""The process that runs a stranger's model: it sees pixels and ages, never an id or a label."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench.runtime.backends.base import Arrays
from bench.runtime.backends.registry import require_backend
from bench.runtime.outputs import OutputSelector, select
from bench.sandbox.launch import lacking_here
from bench.sandbox.messages import read_message, serve, write_message
from bench.sandbox.worker_process import scrubbed


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer each message of inputs with one of predictions, until there are no more."""
    request, _ = read_message(requests)
    path = Path(request["model"])
    picks = [OutputSelector(**pick) for pick in request["picks"]]
    try:
        backend = require_backend(request["backend"], request["precision"])
        session = backend.prepare(path, request["precision"], request["batch"])
        write_message(answers, {"lacking": lacking_here()})
        while True:
            header, inputs = read_message(requests)
            rows = header["rows"]
            # an engine on a GPU takes its one batch size; images are repeated to fill the last batch
            size = request["batch"] if backend.is_gpu else rows
            predictions = select(session.infer(repeated(inputs, size)), picks, size)
            write_message(answers, {}, {target: values[:rows] for target, values in predictions.items()})
    except (EOFError, MemoryError):
        raise
    except Exception as error:
        raise RuntimeError(scrubbed(str(error), path)) from error


def repeated(inputs: Arrays, size: int) -> Arrays:
    """Inputs of exactly `size` images: themselves, or repeated from the start."""
    index = np.arange(size)
    return {
        name: array if len(array) == size else array[index % len(array)] for name, array in inputs.items()
    }


if __name__ == "__main__":
    serve(work)
