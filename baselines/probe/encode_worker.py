"""Worker process that opens an encoder's file: checks, extends or runs it; it sees no ids and no labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench.documents import parse
from bench.errors import BenchError
from bench.onnx.file import read_onnx
from bench.onnx.graph import graph_problems
from bench.onnx.interface import interface_problems
from bench.runtime.backends.registry import require_backend
from bench.sandbox.messages import limit_memory, read_exactly, read_message, serve, write_message
from bench.sandbox.worker_process import scrubbed
from bench.submission.manifest import ModelInputs

MOST_PROBLEMS = 100


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request to check or extend a file, or requests to encode images until the input ends."""
    request, _ = read_message(requests)
    path = Path(request["model"])
    if request["do"] == "check":
        write_message(answers, {"problems": _problems(path, request["declared"])})
    elif request["do"] == "extend":
        data = _extended(path, read_exactly(requests, request["bytes"]))
        write_message(answers, {"bytes": len(data)})
        answers.write(data)
        answers.flush()
    else:
        _encode(request, path, requests, answers)


def _problems(path: Path, declared: Any) -> list[dict[str, Any]]:
    """What is wrong with a file, as plain data."""
    try:
        model = read_onnx(path)
        inputs = parse(ModelInputs, declared, "baseline-encoder", str(path))
        faults, _ = graph_problems(model, str(path))
        problems = [*faults, *interface_problems(model, inputs, str(path))]
    except BenchError as error:
        problems = list(error.problems)
    return [problem.as_dict() for problem in problems[:MOST_PROBLEMS]]


def _extended(path: Path, addition: bytes) -> bytes:
    """The file with nodes, constants and inputs appended, and other outputs."""
    import onnx

    model, extra = read_onnx(path), onnx.GraphProto.FromString(addition)
    graph = model.graph
    graph.node.extend(extra.node)
    graph.initializer.extend(extra.initializer)
    graph.input.extend(extra.input)
    del graph.output[:]
    graph.output.extend(extra.output)
    return bytes(model.SerializeToString())


def _encode(request: dict[str, Any], path: Path, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer each message of images with a message of features."""
    limit_memory(request["memory_mb"])
    name = request["features"]
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
