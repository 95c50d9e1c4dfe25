"""The measuring loop on a clock of our own: what is counted, what is not, and what gives away a cheat."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.runtime.backends.base import DeviceTimes
from bench.timing.measure import (
    ATTEMPTS,
    UnfinishedWork,
    concurrent_runs,
    device_times,
    latencies,
    measure_block,
    timed_batches,
)
from bench.timing.protocol import FULL, QUICK
from tests.runtime.models import SIZE, linear_model, save
from tests.timing.early import Early
from tests.timing.fakes import SHORT, FakeBackend, FakeClock, FakeSession, QueueingSession, StaleSession

INPUTS = {"image": np.random.default_rng(0).random((64, 1, 4, 4)).astype(np.float32)}
BATCHES = timed_batches(INPUTS, 8)


def at_once(pause_s: float) -> None:
    """A pause that takes no time."""


def test_the_protocols_are_those_of_the_specification() -> None:
    assert (FULL.blocks, FULL.warmup_s, FULL.warmup_runs) == (5, 1.0, 50)
    assert (FULL.measure_s, FULL.measure_runs, FULL.parity_images) == (3.0, 400, 256)
    assert QUICK.name == "quick"
    assert QUICK.blocks >= 2


@pytest.mark.parametrize(
    ("latency_ms", "runs"),
    [(1.0, 50), (10.0, 20), (0.5, 100), (2.5, 20)],  # 50 ms and 20 runs at least
)
def test_at_least_so_long_and_so_many_runs(latency_ms: float, runs: int) -> None:
    clock = FakeClock()
    times = latencies(FakeSession(clock, lambda _: latency_ms), BATCHES, SHORT, clock, settle=at_once)
    np.testing.assert_allclose(times, np.full(runs, latency_ms))


def test_the_warm_up_is_not_counted() -> None:
    clock = FakeClock()
    session = FakeSession(clock, lambda run: 9.0 if run < 4 else 1.0)
    times = latencies(session, BATCHES, SHORT, clock, settle=at_once)
    assert set(times) == {1.0}


@settings(max_examples=10)
@given(st.lists(st.floats(0.1, 20), min_size=30, max_size=30))
def test_every_latency_is_what_passed(schedule: list[float]) -> None:
    clock = FakeClock()
    session = FakeSession(clock, lambda run: schedule[run % 30])
    times = latencies(session, BATCHES, SHORT, clock, settle=at_once)
    first = session.runs - 2 - len(times)  # the two after the timed runs are checks
    expected = [round(schedule[run % 30] * 1e6) / 1e6 for run in range(first, session.runs - 2)]
    np.testing.assert_allclose(times, expected, rtol=1e-9)


def test_work_that_is_only_queued_is_caught() -> None:
    clock = FakeClock()
    phase = 500 + 1  # timed runs, and the one that waits for them
    session = QueueingSession(clock, claimed_ms=0.1, real_ms=5.0, before=1 + 200, phase=phase)
    with pytest.raises(UnfinishedWork, match="answers before its work is done"):
        latencies(session, BATCHES, SHORT, clock, settle=at_once)
    assert session.runs == 1 + 200 + ATTEMPTS * phase


def test_a_process_that_waits_for_a_core_between_two_runs_is_measured_again() -> None:
    class Interrupted(FakeClock):
        """Another program runs for a second between the two looks that enclose no run."""

        looks = 0

        def __call__(self) -> int:
            self.looks += 1
            if self.looks == 300:  # an odd number of looks: between a run's end and the next one's start
                self.advance(1000.0)
            return super().__call__()

    clock = Interrupted()
    session = FakeSession(clock, lambda _: 1.0)
    times = latencies(session, BATCHES, replace(SHORT, measure_runs=200), clock, settle=at_once)
    assert set(times) == {1.0}
    assert session.runs == 1 + 20 + 2 * (200 + 1) + 1


def test_an_honest_last_run_that_is_slow_is_not_a_cheat() -> None:
    clock = FakeClock()
    session = FakeSession(clock, lambda run: 11.0 if run == 21 + 50 else 1.0)
    assert len(latencies(session, BATCHES, SHORT, clock, settle=at_once)) == 50


def test_an_answer_that_was_not_ready_is_caught() -> None:
    clock = FakeClock()
    with pytest.raises(UnfinishedWork, match="'scores' was returned before"):
        latencies(StaleSession(clock), BATCHES, SHORT, clock, settle=at_once)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("queueing", "returned before|before its work is done"),
        ("lazy", "'scores' is a Later, not an array"),
        ("one-behind", "'scores' was returned before"),
    ],
)
@pytest.mark.parametrize("batch", [1, 8])
def test_a_real_backend_that_answers_early_is_caught(
    kind: str, said: str, batch: int, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).random((32, 1, SIZE, SIZE)).astype(np.float32)
    path = save(linear_model(), tmp_path / "m.onnx")
    with pytest.raises(UnfinishedWork, match=said):
        measure_block(Early(kind), path, "fp32", {"image": images}, batch, SHORT)


def test_an_answer_that_changes_after_it_was_returned_is_detected() -> None:
    class Late(FakeSession):
        def infer(self, inputs):
            self.right = super().infer(inputs)["scores"]
            self.handed_over = np.zeros_like(self.right)
            return {"scores": self.handed_over}

        def finish(self, pause_s: float) -> None:
            self.handed_over[:] = self.right

    clock = FakeClock()
    session = Late(clock, lambda _: 1.0)
    with pytest.raises(UnfinishedWork, match="returned before"):
        latencies(session, BATCHES, SHORT, clock, settle=session.finish)


def test_the_pause_is_many_times_as_long_as_a_run() -> None:
    pauses: list[float] = []
    clock = FakeClock()
    latencies(FakeSession(clock, lambda _: 100.0), BATCHES, SHORT, clock, settle=pauses.append)
    latencies(FakeSession(clock, lambda _: 0.1), BATCHES, SHORT, clock, settle=pauses.append)
    assert pauses == [pytest.approx(0.5), 0.2]


def test_device_times_that_leave_out_the_work_are_caught() -> None:
    class OffStream(FakeSession):
        def run_block(self, runs: int):
            self.queued = getattr(self, "queued", 0.0) + 3.0 * runs
            self.clock.advance(1.0)
            return DeviceTimes(np.full(runs, 0.01), np.full(runs, 0.005))

        def infer(self, inputs):
            self.clock.advance(getattr(self, "queued", 0.0))
            self.queued = 0.0
            return super().infer(inputs)

    clock = FakeClock()
    with pytest.raises(UnfinishedWork, match=r"latencies add up to .* ms, and 7"):
        device_times(OffStream(clock, lambda _: 3.0), BATCHES[0], SHORT, clock)


def test_device_times_that_account_for_what_passed_are_taken() -> None:
    class Honest(FakeSession):
        def run_block(self, runs: int):
            self.clock.advance(3.3 * runs + 40.0)  # a tenth between the runs; 40 ms held back
            return DeviceTimes(np.full(runs, 3.0), np.full(runs, 0.1), blocked_ms=40.0)

    clock = FakeClock()
    protocol = replace(SHORT, measure_s=1.0, measure_runs=400)
    times = device_times(Honest(clock, lambda _: 5.0), BATCHES[0], protocol, clock)
    assert times is not None
    np.testing.assert_array_equal(times.compute_ms, np.full(400, 3.0))
    assert (len(times.enqueue_ms), times.blocked_ms) == (400, 8 * 40.0)


def test_device_times_last_as_long_as_latencies() -> None:
    class Quick(FakeSession):
        def run_block(self, runs: int):
            self.clock.advance(0.02 * runs)
            return DeviceTimes(np.full(runs, 0.02), np.full(runs, 0.01))

    clock = FakeClock()
    protocol = replace(SHORT, measure_s=3.0, measure_runs=400)
    times = device_times(Quick(clock, lambda _: 0.03), BATCHES[0], protocol, clock)
    assert times is not None
    assert times.compute_ms.sum() >= 3000


@pytest.mark.parametrize(("latency_ms", "runs"), [(100.0, 100), (400.0, 25), (2000.0, 10), (20.0, 400)])
def test_a_slow_model_ends_after_ten_seconds_with_ten_runs(latency_ms: float, runs: int) -> None:
    clock = FakeClock()
    session = FakeSession(clock, lambda _: latency_ms)
    times = latencies(session, BATCHES, FULL, clock, settle=at_once)
    assert len(times) == runs
    warm = session.runs - 3 - runs  # the reference, and two checks
    assert warm == max(3, min(50, round(10_000 / latency_ms)))


def test_a_model_that_gives_nan_is_not_mistaken_for_one() -> None:
    class Undefined(FakeSession):
        def infer(self, inputs):
            return {"scores": np.full_like(super().infer(inputs)["scores"], np.nan)}

    clock = FakeClock()
    assert len(latencies(Undefined(clock, lambda _: 1.0), BATCHES, SHORT, clock, settle=at_once)) == 50


def test_the_collector_rests_while_it_is_measured() -> None:
    states: list[bool] = []

    class Watching(FakeSession):
        def infer(self, inputs):
            states.append(gc.isenabled())
            return super().infer(inputs)

    clock = FakeClock()
    latencies(Watching(clock, lambda _: 1.0), BATCHES, SHORT, clock, settle=at_once)
    warm, timed = 21, 51  # with the reference, and with the answer that all wait for
    assert states == [True] * warm + [False] * timed + [True]
    assert gc.isenabled()


def test_a_block_takes_the_cold_start_apart() -> None:
    clock = FakeClock()
    session = FakeSession(clock, lambda run: 40.0 if run == 0 else 1.0)
    backend = FakeBackend(clock, session, prepare_ms=700.0)
    block, handed_back = measure_block(
        backend, Path("m.onnx"), "fp32", INPUTS, 8, SHORT, clock=SteppingClock(clock)
    )
    assert handed_back is session
    assert block.prepare_ms == pytest.approx(700, rel=0.01)
    assert block.first_inference_ms == pytest.approx(40, rel=0.01)
    assert np.median(block.end_to_end_ms) == pytest.approx(1.0, rel=0.01)
    assert block.device is not None
    assert set(block.device.compute_ms) == {0.25}
    assert block.in_flight.runs_per_s > 0


class SteppingClock:
    """A fake clock that also moves a microsecond at each look, so that no span is empty."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock

    def __call__(self) -> int:
        self.clock.advance(0.001)
        return self.clock()


@pytest.mark.parametrize(
    ("images", "batch", "count"), [(64, 8, 8), (64, 1, 64), (10, 8, 2), (3, 8, 2), (1, 4, 1), (64, 64, 2)]
)
def test_timed_batches_are_full_and_hold_every_image(images: int, batch: int, count: int) -> None:
    inputs = {"image": INPUTS["image"][:images], "age": np.arange(images, dtype=np.float32)[:, None]}
    batches = timed_batches(inputs, batch)
    assert len(batches) == count
    assert all(len(b["image"]) == len(b["age"]) == batch for b in batches)
    assert all(b["image"].flags.c_contiguous for b in batches)
    for b in batches:
        np.testing.assert_array_equal(b["image"], inputs["image"][b["age"][:, 0].astype(int)])
    assert {int(age) for b in batches for age in b["age"][:, 0]} == set(range(images))
    if images > 1 and batch < images:
        assert not np.array_equal(batches[0]["image"], batches[1]["image"])


SLEEP_S = 0.04


class Sleeping(FakeSession):
    """Session that takes real time, as a device would, without the interpreter's lock."""

    def infer(self, inputs):
        time.sleep(SLEEP_S)
        return {}


def test_two_in_flight_overlap() -> None:
    """A run ends when one of the other lane is in flight too, 10 ms later; one at a time would never end."""
    clock = FakeClock()
    both = threading.Barrier(2, action=lambda: clock.advance(10.0), timeout=600)

    class Meeting(FakeSession):
        def infer(self, inputs):
            both.wait()
            return {}

    runs = concurrent_runs(Meeting(clock, lambda _: 0.0), BATCHES, 2, 0.1, clock)
    assert runs.latency_ms.tolist() == [10.0] * 20
    assert runs.runs_per_s == pytest.approx(200)


def test_throughput_makes_a_few_runs_however_slow() -> None:
    runs = concurrent_runs(Sleeping(FakeClock(), lambda _: 0.0), BATCHES, 2, 0.0)
    assert len(runs.latency_ms) == 8


def test_a_lane_that_fails_is_not_hidden() -> None:
    class Failing(FakeSession):
        def infer(self, inputs):
            raise ValueError("no memory for a second context")

    with pytest.raises(ValueError, match="second context"):
        concurrent_runs(Failing(FakeClock(), lambda _: 0.0), BATCHES, 2, 0.01)
