"""A model in service: requests that arrive at random, several in flight, image files instead of arrays.

Plain measurements of one session, which `bench.timing.rows` turns into the figures of a record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bench.cohort.decode import decode_grey
from bench.runtime.backends.base import Arrays, Milliseconds, Session
from bench.runtime.inputs import image_tensor
from bench.runtime.outputs import OutputSelector, select
from bench.submission.manifest import ImageInput
from bench.timing.measure import Clock, Length, concurrent_runs
from bench.timing.protocol import Protocol

FILE: Final = "image file "
"""Prefix of the names under which image files are sent to a worker."""

MORE_IN_FLIGHT: Final = 4
LOADS: Final = (0.25, 0.5, 0.75, 0.9)
"""Rates of arrival that are tried, as shares of the rate of one request after the other."""

REQUESTS: Final = 400
"""Requests at each rate, where the time allows: a 95% interval of p99 needs 368."""

LEAST_REQUESTS: Final = 10
SPIN_NS: Final = 1_000_000  # a sleep may end so much too late
_NS_PER_MS: Final = 1e6
_NS_PER_S: Final = 1e9


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Encoded images of the cohort and what the model takes beside them.

    Attributes:
        files: Bytes of each image file, (bytes,) uint8.
        image: How pixels become the model's input.
        beside: Input name → (files, 1) of the other inputs.
    """

    files: Sequence[npt.NDArray[np.uint8]]
    image: ImageInput
    beside: Arrays


def poisson_latencies(
    session: Session,
    batches: Sequence[Arrays],
    requests_per_s: float,
    limit_s: float,
    clock: Clock = time.perf_counter_ns,
    sleep: Callable[[float], object] = time.sleep,
) -> Milliseconds:
    """Latency of requests that arrive at random (a Poisson process) and are answered in turn.

    A latency counts from the arrival, so that it holds the wait for the requests before. The arrivals are
    those of a fixed seed. MLPerf Inference's scenario "Server" is measured so.

    Args:
        session: Answers one request after the other.
        batches: What is requested, in turn.
        requests_per_s: Mean rate of arrival.
        limit_s: No request is begun after so long, once there are `LEAST_REQUESTS`.
        clock: Nanoseconds.
        sleep: Waits so many seconds.

    Returns:
        (n,) milliseconds.
    """
    gaps = np.random.default_rng(0).exponential(_NS_PER_S / requests_per_s, REQUESTS)
    start = clock()
    latencies: list[int] = []
    for number, arrival in enumerate(start + np.cumsum(gaps).astype(np.int64)):
        if number >= LEAST_REQUESTS and clock() - start > limit_s * _NS_PER_S:
            break
        while (wait := int(arrival) - clock()) > 0:
            sleep(max(0, wait - SPIN_NS) / _NS_PER_S)
        session.infer(batches[number % len(batches)])
        latencies.append(clock() - int(arrival))
    return np.array(latencies, np.float64) / _NS_PER_MS


@dataclass(frozen=True, slots=True)
class PipelineRuns:
    """Pipeline runs: from the bytes of image files to predictions.

    Attributes:
        total_ms: (n,) decode, resize, normalise, infer, and read the predictions.
        decode_ms: (n,) of it decode, resize and normalise.
    """

    total_ms: Milliseconds
    decode_ms: Milliseconds


def pipeline_runs(
    session: Session,
    images: ImageFiles,
    batch: int,
    picks: Sequence[OutputSelector],
    protocol: Protocol,
    clock: Clock = time.perf_counter_ns,
) -> PipelineRuns:
    """Run from image files in memory to predictions, in batches of exactly `batch`, on one thread."""
    length = Length(protocol.throughput_s, protocol.least_runs, protocol.longest_s, LEAST_REQUESTS)
    total: list[int] = []
    decode: list[int] = []
    passed = 0
    rule = images.image.rule
    while not length.reached(len(total), passed):
        index = np.arange(len(total) * batch, (len(total) + 1) * batch) % len(images.files)
        before = clock()
        pixels = [
            decode_grey(images.files[int(i)].tobytes(), images.image.height, images.image.width, rule)
            for i in index
        ]
        inputs: dict[str, npt.NDArray[Any]] = {
            images.image.name: image_tensor(np.stack(pixels), images.image)
        }
        decoded = clock()
        inputs |= {name: array[index] for name, array in images.beside.items()}
        select(session.infer(inputs), picks, batch)
        after = clock()
        total.append(after - before)
        decode.append(decoded - before)
        passed += total[-1]
    return PipelineRuns(*(np.array(values, np.float64) / _NS_PER_MS for values in (total, decode)))


@dataclass(frozen=True, slots=True)
class Service:
    """Measurements of one session in service.

    Attributes:
        in_flight: Batches in flight → images per second.
        arrays: Name → (n,) latencies in milliseconds: ``in_flight:N``, ``pipeline``, ``decode``, and
            ``server:R`` for each number R of `rates`.
        rates: Requests per second that arrived at random; empty where they were not measured.
    """

    in_flight: dict[int, float]
    arrays: dict[str, Milliseconds]
    rates: tuple[float, ...] = ()


def measure_service(
    session: Session,
    batches: Sequence[Arrays],
    batch: int,
    typical_ms: float,
    images: ImageFiles | None,
    picks: Sequence[OutputSelector],
    protocol: Protocol,
) -> Service:
    """Measure a session in service, after the latencies of one request after the other.

    Requests arrive at random for batches of one image only: a radiograph is one request.

    Args:
        session: Warm.
        batches: What is requested.
        batch: Images of each.
        typical_ms: Median latency of one request after the other.
        images: Image files; None: the pipeline is not measured.
        picks: Where the predictions are read from.
        protocol: How long.
    """
    arrays: dict[str, Milliseconds] = {}
    runs = concurrent_runs(session, batches, MORE_IN_FLIGHT, protocol.throughput_s)
    arrays[f"in_flight:{MORE_IN_FLIGHT}"] = runs.latency_ms
    if images is not None:
        pipeline = pipeline_runs(session, images, batch, picks, protocol)
        arrays |= {"pipeline": pipeline.total_ms, "decode": pipeline.decode_ms}
    rates = tuple(share * 1000 / typical_ms for share in LOADS) if batch == 1 else ()
    for number, rate in enumerate(rates):
        arrays[f"server:{number}"] = poisson_latencies(session, batches, rate, protocol.longest_s)
    return Service({MORE_IN_FLIGHT: runs.runs_per_s * batch}, arrays, rates)
