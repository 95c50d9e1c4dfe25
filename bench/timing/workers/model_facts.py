"""The worker process that reads a model's control flow and stored precision."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import onnx

from bench.sandbox.messages import read_message, serve, write_message
from bench.sandbox.worker_process import scrubbed
from bench.timing.model_facts import control_flow, stored_precision


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request."""
    request, _ = read_message(requests)
    path = Path(request["model"])
    try:
        model = onnx.load(path, load_external_data=False)
        facts = {"control_flow": list(control_flow(model)), "stored_precision": stored_precision(model)}
    except Exception as error:
        raise RuntimeError(scrubbed(str(error) or type(error).__name__, path)) from error
    write_message(answers, facts)


if __name__ == "__main__":
    serve(work)
