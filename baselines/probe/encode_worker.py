"""Worker process that runs an encoder; it receives pixels, never ids or labels."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench.runtime.backends.registry import require_backend
from bench.sandbox.messages import limit_memory, read_message, serve, write_message
from bench.sandbox.worker_process import scrubbed


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer each message of images with a message of features until the input ends."""
    request, _ = read_message(requests)
    limit_memory(request["memory_mb"])
    path, name = Path(request["model"]), request["features"]
    try:
        session = require_backend(request["backend"], "fp32").prepare(path, "fp32", request["batch"])
        write_message(answers, {"ready": True})
        while True:
            _, inputs = read_message(requests)
            rows = len(next(iter(inputs.values())))
            features = np.asarray(session.infer(inputs)[name], np.float32)
            if features.ndim != 2 or len(features) != rows:
                raise ValueError(f"output {name!r} has shape {features.shape} for {rows} images")
            write_message(answers, {}, {"features": features})
    except (EOFError, MemoryError):
        raise
    except Exception as error:
        raise RuntimeError(scrubbed(str(error), path)) from error


if __name__ == "__main__":
    serve(work)
