"""Measure one block: a fresh session, a warm-up, then latencies and throughput, with its own checks."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.garbage import paused_garbage_collection
from bench.runtime.backends.base import Arrays, Backend, DeviceTimes, Milliseconds, Session
from bench.timing.protocol import Protocol

Clock = Callable[[], int]  # nanoseconds

IN_FLIGHT = 2
LEAST_THROUGHPUT_RUNS = 4
MOST_QUEUED = 50  # runs that are put on the device at once while its own clock is read
QUEUED_S = 1.0
UNACCOUNTED_LIMIT = 0.2
UNACCOUNTED_GRACE_NS = 1e8  # the system may have let other processes run between two runs
LEAST_PAUSE_S = 0.2  # after which an answer is taken for finished
PAUSE_RUNS = 5
ATTEMPTS = 3  # of a phase whose time is not accounted for: another program may have run in between
ANSWER_ROUNDING = 2e-3  # of the largest value: a GPU may add in another order each time
_NS_PER_MS = 1e6
_NS_PER_S = 1e9


class UnfinishedWork(Exception):  # noqa: N818
    """The backend answered before its work was done, so that its latencies mean nothing."""


@dataclass(frozen=True, slots=True)
class Block:
    """Measurements of one block.

    Attributes:
        prepare_ms: Load or build of the session.
        first_inference_ms: Its first answer.
        end_to_end_ms: (n,) host arrays in, host arrays out.
        device: Device times of runs on data already there; None where the device has no clock.
        in_flight: Runs with `IN_FLIGHT` batches in flight.
    """

    prepare_ms: float
    first_inference_ms: float
    end_to_end_ms: Milliseconds
    device: DeviceTimes | None
    in_flight: ConcurrentRuns


def timed_batches(inputs: Arrays, batch: int) -> list[dict[str, npt.NDArray[Any]]]:
    """Batches of exactly `batch` images that hold every image; the last is filled up from the start.

    All images take their turn, so that a model cannot know which are timed.
    """
    images = len(next(iter(inputs.values())))
    count = max(-(-images // batch), min(2, images))
    return [_batch(inputs, start, batch) for start in range(0, count * batch, batch)]


def _batch(inputs: Arrays, start: int, batch: int) -> dict[str, npt.NDArray[Any]]:
    images = len(next(iter(inputs.values())))
    if start + batch <= images:  # without a copy
        return {name: np.ascontiguousarray(array[start : start + batch]) for name, array in inputs.items()}
    index = np.arange(start, start + batch) % images
    return {name: np.ascontiguousarray(array[index]) for name, array in inputs.items()}


def measure_block(
    backend: Backend,
    onnx_path: Path,
    precision: str,
    inputs: Arrays,
    batch: int,
    protocol: Protocol,
    clock: Clock = time.perf_counter_ns,
    watching: AbstractContextManager[object] | None = None,
    watching_device: AbstractContextManager[object] | None = None,
    prepared: Callable[[], object] = lambda: None,
) -> tuple[Block, Session]:
    """Measure one block; return it and the session, still open, for the parity check.

    Args:
        backend: What is timed.
        onnx_path: The model.
        precision: Of the session.
        inputs: Name → (images, …) float32, preprocessed images of the cohort.
        batch: Images per run.
        protocol: How long and how often.
        clock: Nanoseconds of a clock that only goes forward.
        watching: Entered while latencies are measured, after the warm-up.
        watching_device: Entered while device times are measured.
        prepared: Called when the session is there.

    Raises:
        UnfinishedWork: Answers came before the work was done.
    """
    batches = timed_batches(inputs, batch)
    start = clock()
    session = backend.prepare(onnx_path, precision, batch)
    ready = clock()
    prepared()
    asked = clock()
    session.infer(batches[0])
    answered = clock()
    end_to_end = latencies(session, batches, protocol, clock, watching)
    device = device_times(session, batches[0], protocol, clock, watching_device)
    block = Block(
        prepare_ms=(ready - start) / _NS_PER_MS,
        first_inference_ms=(answered - asked) / _NS_PER_MS,
        end_to_end_ms=end_to_end,
        device=device,
        in_flight=concurrent_runs(session, batches, IN_FLIGHT, protocol.throughput_s, clock),
    )
    return block, session


def latencies(
    session: Session,
    batches: Sequence[Arrays],
    protocol: Protocol,
    clock: Clock = time.perf_counter_ns,
    watching: AbstractContextManager[object] | None = None,
    settle: Callable[[float], object] = time.sleep,
) -> Milliseconds:
    """(n,) milliseconds of runs after a warm-up, at least as long and as many as the protocol says.

    A slow model's runs end after `Protocol.longest_s`, once there are `Protocol.least_runs`.

    Two things would give away a backend that answers early: the time that passes until a last answer is
    there is more than all latencies together; or an answer, as it was when it came, is not what its input
    gives once all is done. For the latter a first answer is looked at after a pause, before there is a
    queue in which work could be left behind.

    Raises:
        UnfinishedWork: One of them was seen.
    """
    reference = _settled(session, batches[0], clock, settle)
    warm_up = Length(protocol.warmup_s, protocol.warmup_runs, protocol.longest_s, protocol.least_warmup_runs)
    timed = Length(protocol.measure_s, protocol.measure_runs, protocol.longest_s, protocol.least_runs)
    _run(session, batches, warm_up, clock)
    gc.collect()
    with paused_garbage_collection(), watching or nullcontext():
        for attempt in range(1, ATTEMPTS + 1):
            start = clock()
            durations, answer, last = _run(session, batches, timed, clock)
            again = session.infer(batches[last])
            passed = clock() - start
            if _accounted(durations, passed, last_attempt=attempt == ATTEMPTS):
                break
    _check_answer(answer, again)
    _check_answer(_copied(session.infer(batches[0])), reference)
    return np.array(durations, np.float64) / _NS_PER_MS


def _settled(
    session: Session, inputs: Arrays, clock: Clock, settle: Callable[[float], object]
) -> dict[str, npt.NDArray[Any]]:
    """The answer to `inputs` after a pause in which work that was left behind would be done."""
    start = clock()
    answer = session.infer(inputs)
    settle(max(LEAST_PAUSE_S, PAUSE_RUNS * (clock() - start) / _NS_PER_S))
    return _copied(answer)


def _copied(answer: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Copy an answer as it is now.

    Raises:
        UnfinishedWork: It is no array of the host: something else may do its work when it is looked at.
    """
    for name, value in answer.items():
        if not isinstance(value, np.ndarray):
            raise UnfinishedWork(
                f"Output {name!r} is a {type(value).__name__}, not an array in the host's memory."
            )
    return {name: np.array(value, copy=True) for name, value in answer.items()}


def device_times(
    session: Session,
    inputs: Arrays,
    protocol: Protocol,
    clock: Clock = time.perf_counter_ns,
    watching: AbstractContextManager[object] | None = None,
) -> DeviceTimes | None:
    """Device times of runs, at least as long and as many as the protocol says; None without such a clock.

    The answer that is requested afterwards waits for all of them, so that times which leave out most of what
    passed were not taken around the work.

    Raises:
        UnfinishedWork: They do.
    """
    start = clock()
    session.infer(inputs)
    single_ns = clock() - start
    queued = max(1, min(MOST_QUEUED, int(QUEUED_S * _NS_PER_S / max(single_ns, 1))))
    length = Length(protocol.measure_s, protocol.measure_runs, protocol.longest_s, protocol.least_runs)
    with watching or nullcontext():
        for attempt in range(1, ATTEMPTS + 1):
            parts: list[DeviceTimes] = []
            runs = 0
            start = clock()
            while not length.reached(runs, clock() - start):
                part = session.run_block(queued)
                if part is None:
                    return None
                parts.append(part)
                runs += len(part.compute_ms)
            session.infer(inputs)
            passed = clock() - start - single_ns
            compute = np.concatenate([part.compute_ms for part in parts])
            blocked = sum(part.blocked_ms for part in parts)
            warm = len(parts) * float(np.median(compute))  # each part begins with a run that is not counted
            claimed = [round(ms * _NS_PER_MS) for ms in (*compute, warm)]
            worked = passed - round(blocked * _NS_PER_MS)
            if _accounted(claimed, worked, last_attempt=attempt == ATTEMPTS):
                break
    return DeviceTimes(compute, np.concatenate([part.enqueue_ms for part in parts]), blocked)


@dataclass(frozen=True, slots=True)
class Length:
    """Duration and number of runs of a phase.

    Attributes:
        seconds: At least.
        runs: At least.
        longest_s: A slow model is stopped after so long,
        few_runs: once it has run so often.
    """

    seconds: float
    runs: int
    longest_s: float
    few_runs: int

    def reached(self, runs: int, passed_ns: int) -> bool:
        """Return whether so many runs in so long are enough."""
        passed_s = passed_ns / _NS_PER_S
        enough = runs >= self.runs and passed_s >= self.seconds
        return enough or (runs >= min(self.few_runs, self.runs) and passed_s >= self.longest_s)


def _run(
    session: Session, batches: Sequence[Arrays], length: Length, clock: Clock
) -> tuple[list[int], dict[str, npt.NDArray[Any]], int]:
    """Durations (ns), a copy of the last answer as it was when it came, and the index of its batch."""
    infer, count = session.infer, len(batches)
    durations: list[int] = []
    which = run = 0
    answer: dict[str, npt.NDArray[Any]] = {}
    start = after = clock()
    while not length.reached(run, after - start):
        which = run % count
        inputs = batches[which]
        before = clock()
        answer = infer(inputs)
        after = clock()
        durations.append(after - before)
        run += 1
    return durations, _copied(answer), which


def _accounted(durations: Sequence[int], passed_ns: int, *, last_attempt: bool) -> bool:
    """Return whether the latencies make up the time that passed.

    A process that had to wait for a core between two runs has unaccounted time now and then; one that
    answers before its work is done has it every time.

    Raises:
        UnfinishedWork: They do not, at the last attempt.
    """
    claimed = sum(durations)
    typical = float(np.median(durations))
    unaccounted = passed_ns - claimed - typical  # the one run after the others is not among them
    accounted = unaccounted <= UNACCOUNTED_LIMIT * claimed + UNACCOUNTED_GRACE_NS
    if last_attempt and not accounted:
        message = (
            f"{len(durations)} latencies add up to {claimed / _NS_PER_MS:.1f} ms, and "
            f"{passed_ns / _NS_PER_MS:.1f} ms passed until the last: it answers before its work is done."
        )
        raise UnfinishedWork(message)
    return accounted


def _check_answer(answer: Mapping[str, npt.NDArray[Any]], again: Mapping[str, npt.NDArray[Any]]) -> None:
    for name, value in answer.items():
        defined = again[name][np.isfinite(again[name])]
        rounding = ANSWER_ROUNDING * float(np.abs(defined).max(initial=0.0))
        if not np.allclose(value, again[name], rtol=0.0, atol=rounding, equal_nan=True):
            message = f"Output {name!r} was returned before it was computed from its input."
            raise UnfinishedWork(message)


@dataclass(frozen=True, slots=True)
class ConcurrentRuns:
    """Concurrent runs: several threads that keep one batch in flight each.

    Attributes:
        latency_ms: (n,) time of each run.
        runs_per_s: Runs of all threads together, until the last has ended.
    """

    latency_ms: Milliseconds
    runs_per_s: float


def concurrent_runs(
    session: Session,
    batches: Sequence[Arrays],
    in_flight: int,
    seconds: float,
    clock: Clock = time.perf_counter_ns,
) -> ConcurrentRuns:
    """Run with `in_flight` batches in flight, one thread each.

    Every thread makes at least a few runs, however long they take; time counts until the last has ended.
    """
    lanes = session.lanes(in_flight)
    durations: list[list[int]] = [[] for _ in lanes]
    failures: list[Exception] = []
    end = clock() + int(seconds * _NS_PER_S)

    def work(lane: int) -> None:
        own = durations[lane]
        try:
            before = clock()
            while len(own) < LEAST_THROUGHPUT_RUNS or before < end:
                lanes[lane].infer(batches[(lane + len(own)) % len(batches)])
                after = clock()
                own.append(after - before)
                before = after
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(len(lanes))]
    start = clock()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed_s = (clock() - start) / _NS_PER_S
    if failures:
        raise failures[0]
    latency_ms = np.concatenate(durations).astype(np.float64) / _NS_PER_MS
    return ConcurrentRuns(latency_ms, len(latency_ms) / passed_s)
