"""The worker process of one block: measure a fresh session, then check that its work was real."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from bench.metrics.validation import Floats
from bench.runtime.backends.base import Backend
from bench.runtime.backends.registry import require_backend
from bench.runtime.outputs import OutputSelector
from bench.sandbox.messages import limit_memory, peak_memory_mb, read_message, serve, write_message
from bench.sandbox.worker_process import scrubbed
from bench.submission.manifest import ImageInput
from bench.timing.measure import IN_FLIGHT, Block, measure_block, timed_batches
from bench.timing.protocol import Protocol
from bench.timing.service import FILE, ImageFiles, Service, measure_service
from bench.timing.unseen import Integrity, check_integrity, images_to_check, predict_images

if TYPE_CHECKING:
    from bench.timing.telemetry import Sampler


@dataclass(frozen=True, slots=True)
class _Measured:
    """What one session showed.

    Attributes:
        block: Its timed runs.
        options: Its settings.
        predictions: Target → (images,) predictions of the images that are checked.
        integrity: Findings of the passes after the timed runs; None where nothing was to be checked.
        service: Its figures in service; empty where they were not requested.
    """

    block: Block
    options: Mapping[str, Any]
    predictions: Mapping[str, Floats]
    integrity: Integrity | None
    service: Service


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request in three messages: the device, that the session is there, and what was measured."""
    request, arrays = read_message(requests)
    limit_memory(request["memory_mb"])
    backend = require_backend(request["backend"], request["precision"])
    device = backend.device()
    write_message(answers, {"device": device.name, "facts": device.facts})
    samplers = _samplers() if backend.is_gpu else (None, None)
    try:
        measured = _measure(
            backend, request, arrays, samplers, lambda: write_message(answers, {"prepared": True})
        )
    except MemoryError:
        raise
    except Exception as error:
        path = Path(request["model"])
        raise RuntimeError(scrubbed(str(error) or type(error).__name__, path)) from error
    traces = [sampler.trace.plain() if sampler else None for sampler in samplers]
    write_message(answers, _header(measured, request["batch"], traces), _arrays(measured))


def _measure(
    backend: Backend,
    request: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]],
    samplers: tuple[Sampler | None, Sampler | None],
    prepared: Callable[[], None],
) -> _Measured:
    """Time a fresh session, run it on images that were not timed, and measure it in service."""
    inputs, image_files = _inputs(request, arrays)
    batch, protocol = request["batch"], Protocol(**request["protocol"])
    picks = [OutputSelector(**pick) for pick in request["picks"]]
    block, session = measure_block(
        backend,
        Path(request["model"]),
        request["precision"],
        inputs,
        batch,
        protocol,
        watching=samplers[0],
        watching_device=samplers[1],
        prepared=prepared,
    )
    available, parity_images = len(next(iter(inputs.values()))), request["parity_images"]
    images = images_to_check(parity_images, available, batch, block.end_to_end_ms, request["check_s"])
    checked = predict_images(session, inputs, images, batch, picks)
    integrity = None
    if parity_images:
        integrity = check_integrity(session, inputs, batch, picks, checked, block.end_to_end_ms)
    service = Service({}, {})
    if request["service"]:
        batches, typical_ms = timed_batches(inputs, batch), float(np.median(block.end_to_end_ms))
        service = measure_service(session, batches, batch, typical_ms, image_files, picks, protocol)
    return _Measured(block, session.options, checked.predictions, integrity, service)


def _header(measured: _Measured, batch: int, traces: list[dict[str, Any] | None]) -> dict[str, Any]:
    """Return the plain values of the last message."""
    block = measured.block
    return {
        "prepare_ms": block.prepare_ms,
        "first_inference_ms": block.first_inference_ms,
        "images_per_s": block.in_flight.runs_per_s * batch,
        "in_flight_images_per_s": measured.service.in_flight,
        "server_rates": measured.service.rates,
        "options": measured.options,
        "peak_memory_mb": peak_memory_mb(),
        "telemetry": traces[0],
        "compute_telemetry": traces[1],
        "integrity": asdict(measured.integrity) if measured.integrity else None,
    }


def _arrays(measured: _Measured) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of the last message: latencies by kind, and predictions by target."""
    block = measured.block
    arrays = {
        **measured.service.arrays,
        "end_to_end_ms": block.end_to_end_ms,
        f"in_flight:{IN_FLIGHT}": block.in_flight.latency_ms,
    }
    if block.device is not None:
        arrays |= {"compute_ms": block.device.compute_ms, "enqueue_ms": block.device.enqueue_ms}
    return arrays | {f"target:{target}": values for target, values in measured.predictions.items()}


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
