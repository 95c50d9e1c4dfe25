"""The process of one block: measures a fresh session, then lets that session predict the parity images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bench.metrics.validation import Floats
from bench.runtime.backends.base import Arrays, Session
from bench.runtime.backends.registry import require_backend
from bench.runtime.messages import limit_memory, peak_memory_mb, read_message, serve, write_message
from bench.runtime.outputs import OutputSelector, select
from bench.runtime.worker_process import scrubbed
from bench.timing.measure import measure_block
from bench.timing.protocol import Protocol
from bench.timing.telemetry import sampler_of_current_gpu


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers one request: the device at once, the figures and predictions when they are there."""
    request, inputs = read_message(requests)
    limit_memory(request["memory_mb"])
    backend = require_backend(request["backend"], request["precision"])
    device = backend.device()
    write_message(answers, {"device": device.name, "facts": device.facts})
    path, batch = Path(request["model"]), request["batch"]
    picks = [OutputSelector(**pick) for pick in request["picks"]]
    sampler = sampler_of_current_gpu() if backend.is_gpu else None
    protocol = Protocol(**request["protocol"])
    try:
        block, session = measure_block(
            backend, path, request["precision"], inputs, batch, protocol, watching=sampler
        )
        predictions = predict_images(session, inputs, request["parity_images"], batch, picks)
    except MemoryError:
        raise
    except Exception as error:
        raise RuntimeError(scrubbed(str(error) or type(error).__name__, path)) from error
    header = {
        "prepare_ms": block.prepare_ms,
        "first_inference_ms": block.first_inference_ms,
        "images_per_s": block.images_per_s,
        "options": session.options,
        "peak_memory_mb": peak_memory_mb(),
        "telemetry": sampler.trace.plain() if sampler else None,
    }
    arrays = {"end_to_end_ms": block.end_to_end_ms}
    if block.compute_ms is not None:
        arrays["compute_ms"] = block.compute_ms
    arrays |= {f"target:{target}": values for target, values in predictions.items()}
    write_message(answers, header, arrays)


def predict_images(
    session: Session, inputs: Arrays, images: int, batch: int, picks: Sequence[OutputSelector]
) -> dict[str, Floats]:
    """Target → (images,) predictions of the first images, in batches of exactly `batch`.

    The last batch is filled up with images from the start, as a session of fixed size needs.
    """
    held = len(next(iter(inputs.values())))
    parts: dict[str, list[Floats]] = {pick.target: [] for pick in picks}
    for start in range(0, images, batch):
        index = np.arange(start, start + batch) % held
        chunk = {name: np.ascontiguousarray(array[index]) for name, array in inputs.items()}
        found = select(session.infer(chunk), picks, batch)
        for target, values in found.items():
            parts[target].append(values[: images - start])
    return {target: np.concatenate(part) if part else np.empty(0) for target, part in parts.items()}


if __name__ == "__main__":
    serve(work)
