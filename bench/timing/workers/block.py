"""The worker process of one block: measure a fresh session, then check that its work was real."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from bench.runtime.backends.registry import require_backend
from bench.runtime.outputs import OutputSelector
from bench.sandbox.messages import limit_memory, peak_memory_mb, read_message, serve, write_message
from bench.sandbox.worker_process import scrubbed
from bench.timing.measure import measure_block
from bench.timing.protocol import Protocol
from bench.timing.telemetry import sampler_of_current_gpu
from bench.timing.unseen import check_integrity, images_to_check, predict_images


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request in three messages: the device, that the session is there, and what was measured."""
    request, inputs = read_message(requests)
    limit_memory(request["memory_mb"])
    backend = require_backend(request["backend"], request["precision"])
    device = backend.device()
    write_message(answers, {"device": device.name, "facts": device.facts})
    path, batch = Path(request["model"]), request["batch"]
    picks = [OutputSelector(**pick) for pick in request["picks"]]
    samplers = [sampler_of_current_gpu() if backend.is_gpu else None for _ in range(2)]
    protocol = Protocol(**request["protocol"])
    try:
        block, session = measure_block(
            backend,
            path,
            request["precision"],
            inputs,
            batch,
            protocol,
            watching=samplers[0],
            watching_device=samplers[1],
            prepared=lambda: write_message(answers, {"prepared": True}),
        )
        held, wanted = len(next(iter(inputs.values()))), request["parity_images"]
        images = images_to_check(wanted, held, batch, block.end_to_end_ms, request["check_s"])
        checked = predict_images(session, inputs, images, batch, picks)
        integrity = None
        if request["parity_images"]:
            integrity = check_integrity(session, inputs, batch, picks, checked, block.end_to_end_ms)
    except MemoryError:
        raise
    except Exception as error:
        raise RuntimeError(scrubbed(str(error) or type(error).__name__, path)) from error
    traces = [sampler.trace.plain() if sampler else None for sampler in samplers]
    header = {
        "prepare_ms": block.prepare_ms,
        "first_inference_ms": block.first_inference_ms,
        "images_per_s": block.images_per_s,
        "options": session.options,
        "peak_memory_mb": peak_memory_mb(),
        "telemetry": traces[0],
        "compute_telemetry": traces[1],
        "integrity": asdict(integrity) if integrity else None,
    }
    arrays = {"end_to_end_ms": block.end_to_end_ms}
    if block.device is not None:
        arrays |= {"compute_ms": block.device.compute_ms, "enqueue_ms": block.device.enqueue_ms}
    arrays |= {f"target:{target}": values for target, values in checked.predictions.items()}
    write_message(answers, header, arrays)


if __name__ == "__main__":
    serve(work)
