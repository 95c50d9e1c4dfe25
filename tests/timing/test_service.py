"""A model in service: arrivals at random, several in flight, image files."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.runtime.outputs import OutputSelector
from bench.submission.manifest import ImageInput
from bench.timing.measure import timed_batches
from bench.timing.rows import BlockAnswer, _server
from bench.timing.service import (
    LEAST_REQUESTS,
    REQUESTS,
    ImageFiles,
    pipeline_runs,
    poisson_latencies,
)
from tests.timing.fakes import SHORT, FakeClock, FakeSession

BATCHES = timed_batches({"image": np.zeros((4, 1, 4, 4), np.float32)}, 1)


def served(clock: FakeClock, latency_ms: float, rate: float, limit_s: float = 1e9) -> np.ndarray:
    session = FakeSession(clock, lambda _: latency_ms)

    def sleep(seconds: float) -> None:
        clock.advance(max(1e-3, 1000 * seconds))

    return poisson_latencies(session, BATCHES, rate, limit_s, clock, sleep)


def queue(latency_ms: float, rate: float) -> np.ndarray:
    """Lindley's recursion: the wait of a request is what is left of the wait before it."""
    gaps = np.random.default_rng(0).exponential(1000 / rate, REQUESTS)
    waits = [0.0]
    for gap in gaps[1:]:
        waits.append(max(0.0, waits[-1] + latency_ms - gap))
    return np.array(waits) + latency_ms


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9, 1.5])
def test_latencies_hold_the_wait_for_the_requests_before(load: float) -> None:
    server = served(FakeClock(), 5.0, load * 200)
    np.testing.assert_allclose(server, queue(5.0, load * 200), atol=0.01)


def test_the_mean_wait_is_that_of_a_queue_with_one_server() -> None:
    """Pollaczek and Khinchine: load / (2 (1 - load)) service times for a constant service time."""
    server = served(FakeClock(), 5.0, 100.0)
    assert server.mean() == pytest.approx(5 + 5 * 0.5, rel=0.15)


def test_arrivals_are_the_same_each_time_and_end_with_the_limit() -> None:
    np.testing.assert_array_equal(served(FakeClock(), 5.0, 100.0), served(FakeClock(), 5.0, 100.0))
    assert len(served(FakeClock(), 500.0, 1.0, limit_s=1.0)) == LEAST_REQUESTS
    assert 15 <= len(served(FakeClock(), 5.0, 10.0, limit_s=2.0)) <= 25


def png(value: int, side: int = 40) -> np.ndarray:
    stream = io.BytesIO()
    Image.new("L", (side, side), value).save(stream, "PNG")
    return np.frombuffer(stream.getvalue(), np.uint8)


def test_the_pipeline_decodes_resizes_normalises_and_infers() -> None:
    seen: list[Any] = []

    class Session(FakeSession):
        def infer(self, inputs):
            seen.append({name: array.copy() for name, array in inputs.items()})
            return super().infer(inputs)

    clock = FakeClock()
    image = ImageInput(name="image", height=8, width=8, scale=255.0, mean=(0.5,), std=(0.25,))
    files = ImageFiles([png(v) for v in (0, 255, 51)], image, {"age": np.array([[1.0], [2.0], [3.0]])})
    protocol = replace(SHORT, throughput_s=0.02, least_runs=20)
    picks = [OutputSelector("a", "scores", sigmoid=True)]
    runs = pipeline_runs(Session(clock, lambda _: 2.0), files, 2, picks, protocol, clock)
    assert len(runs.total_ms) == 20
    assert set(runs.total_ms) == {2.0}
    assert set(runs.decode_ms) == {0.0}  # the fake clock stands still while it decodes
    first, second = seen[0]["image"], seen[1]["image"]
    assert first.shape == (2, 1, 8, 8)
    np.testing.assert_allclose(first[:, 0, 0, 0], [-2.0, 2.0])
    np.testing.assert_allclose(second[:, 0, 0, 0], [(51 / 255 - 0.5) / 0.25, -2.0], rtol=1e-6)
    np.testing.assert_array_equal(seen[1]["age"], [[3.0], [1.0]])


def answer(*p99_ms: float, runs: int = 400) -> BlockAnswer:
    rates = [10.0 * (k + 1) for k in range(len(p99_ms))]
    arrays = {f"server:{k}": np.full(runs, ms) for k, ms in enumerate(p99_ms)}
    return BlockAnswer({"server_rates": rates}, arrays)


def test_the_largest_rate_within_the_bound_is_taken() -> None:
    server = _server(1, answer(20.0, 60.0, 99.0, 400.0))
    assert server is not None
    assert (server.requests_per_s, server.reason) == (30.0, "")
    late = _server(1, answer(120.0, 400.0))
    assert late is not None
    assert (late.requests_per_s, late.reason) == (None, "p99 is above 100 ms at every rate")
    few = _server(1, answer(20.0, runs=30))
    assert few is not None
    assert few.requests_per_s is None
    assert few.reason == "p99 is not known at any rate: 30 runs; a 95% interval needs 368"
    assert _server(8, answer(20.0)) is None
