"""The worker process of one block: measure a fresh session, then check that its work was real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from bench.runtime.backends.registry import require_backend
from bench.runtime.outputs import OutputSelector
from bench.sandbox.messages import limit_memory, peak_memory_mb, read_message, serve, write_message
from bench.sandbox.worker_process import scrubbed
from bench.submission.manifest import ImageInput
from bench.timing.measure import IN_FLIGHT, measure_block, timed_batches
from bench.timing.protocol import Protocol
from bench.timing.service import FILE, ImageFiles, Service, measure_service
from bench.timing.unseen import check_integrity, images_to_check, predict_images

if TYPE_CHECKING:
    from bench.timing.telemetry import Sampler


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request in three messages: the device, that the session is there, and what was measured."""
    request, arrays = read_message(requests)
    inputs, images_in_files = _inputs(request, arrays)
    limit_memory(request["memory_mb"])
    backend = require_backend(request["backend"], request["precision"])
    device = backend.device()
    write_message(answers, {"device": device.name, "facts": device.facts})
    path, batch = Path(request["model"]), request["batch"]
    picks = [OutputSelector(**pick) for pick in request["picks"]]
    samplers = _samplers() if backend.is_gpu else (None, None)
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
        available, wanted = len(next(iter(inputs.values()))), request["parity_images"]
        images = images_to_check(wanted, available, batch, block.end_to_end_ms, request["check_s"])
        checked = predict_images(session, inputs, images, batch, picks)
        integrity = None
        if request["parity_images"]:
            integrity = check_integrity(session, inputs, batch, picks, checked, block.end_to_end_ms)
        service = Service({}, {})
        if request["service"]:
            batches, typical_ms = timed_batches(inputs, batch), float(np.median(block.end_to_end_ms))
            service = measure_service(session, batches, batch, typical_ms, images_in_files, picks, protocol)
    except MemoryError:
        raise
    except Exception as error:
        raise RuntimeError(scrubbed(str(error) or type(error).__name__, path)) from error
    traces = [sampler.trace.plain() if sampler else None for sampler in samplers]
    header = {
        "prepare_ms": block.prepare_ms,
        "first_inference_ms": block.first_inference_ms,
        "images_per_s": block.in_flight.runs_per_s * batch,
        "in_flight_images_per_s": service.in_flight,
        "server_rates": service.rates,
        "options": session.options,
        "peak_memory_mb": peak_memory_mb(),
        "telemetry": traces[0],
        "compute_telemetry": traces[1],
        "integrity": asdict(integrity) if integrity else None,
    }
    answer = {
        **service.arrays,
        "end_to_end_ms": block.end_to_end_ms,
        f"in_flight:{IN_FLIGHT}": block.in_flight.latency_ms,
    }
    if block.device is not None:
        answer |= {"compute_ms": block.device.compute_ms, "enqueue_ms": block.device.enqueue_ms}
    answer |= {f"target:{target}": values for target, values in checked.predictions.items()}
    write_message(answers, header, answer)


def _samplers() -> tuple[Sampler | None, Sampler | None]:
    """Samplers of the GPU, for latencies and for device times; imported here, since most blocks need none."""
    from bench.timing.telemetry import sampler_of_current_gpu

    return sampler_of_current_gpu(), sampler_of_current_gpu()


def _inputs(
    request: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
) -> tuple[dict[str, npt.NDArray[Any]], ImageFiles | None]:
    """The model's inputs, and the image files that came with them."""
    files = [array for name, array in arrays.items() if name.startswith(FILE)]
    inputs = {name: array for name, array in arrays.items() if not name.startswith(FILE)}
    if not files:
        return inputs, None
    image = ImageInput(**request["image"])
    beside = {name: array[: len(files)] for name, array in inputs.items() if name != image.name}
    return inputs, ImageFiles(files, image, beside)


if __name__ == "__main__":
    serve(work)
