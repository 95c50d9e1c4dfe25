"""A clock that stands still unless told, and backends with planted behaviour that move it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.environment import Fact
from bench.runtime.backends.base import Arrays, Availability, Device, DeviceTimes
from bench.timing.protocol import Protocol

SHORT = Protocol(
    name="quick",
    blocks=2,
    warmup_s=0.02,
    warmup_runs=3,
    measure_s=0.05,
    measure_runs=20,
    throughput_s=0.02,
    parity_images=16,
    limit_s=600.0,
    trials=1,
    cold_starts=1,
)
BRIEF = replace(SHORT, blocks=1, cold_starts=0)
"""For tests of anything but the blocks: one process a row in place of three."""


class FakeClock:
    """Nanoseconds that pass only when `advance` says so."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, ms: float) -> None:
        self.now_ns += round(ms * 1e6)


def mean_image(inputs: Arrays) -> dict[str, Any]:
    """The right answer: each image's mean."""
    image = inputs["image"]
    return {"scores": image.reshape(len(image), -1).mean(axis=1)}


class FakeSession:
    """Session that works within `infer`: run number → milliseconds."""

    options: dict[str, Fact] = {"kind": "fake"}  # noqa: RUF012

    def __init__(self, clock: FakeClock, latency_ms: Callable[[int], float]) -> None:
        self.clock = clock
        self.latency_ms = latency_ms
        self.runs = 0

    def infer(self, inputs: Arrays) -> dict[str, Any]:
        self.clock.advance(self.latency_ms(self.runs))
        self.runs += 1
        return mean_image(inputs)

    def run_block(self, runs: int) -> DeviceTimes | None:
        self.clock.advance(0.25 * runs)
        return DeviceTimes(np.full(runs, 0.25), np.full(runs, 0.01))

    def lanes(self, count: int) -> Sequence[FakeSession]:
        return [self] * count


class QueueingSession(FakeSession):
    """Answers at once and works later: the last run of each phase waits for the queue."""

    def __init__(self, clock: FakeClock, claimed_ms: float, real_ms: float, before: int, phase: int) -> None:
        super().__init__(clock, lambda _: claimed_ms)
        self.owed_ms = 0.0
        self.real_ms = real_ms
        self.before = before
        self.phase = phase

    def infer(self, inputs: Arrays) -> dict[str, Any]:
        answer = super().infer(inputs)
        self.owed_ms += self.real_ms
        if self.runs > self.before and (self.runs - self.before) % self.phase == 0:
            self.clock.advance(self.owed_ms)
            self.owed_ms = 0.0
        return answer


class StaleSession(FakeSession):
    """Session that returns a buffer which still holds the previous answer."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, lambda _: 1.0)
        self.buffer: dict[str, Any] = {}

    def infer(self, inputs: Arrays) -> dict[str, Any]:
        before = self.buffer
        self.buffer = super().infer(inputs)
        return before or self.buffer


class FakeBackend:
    """Prepares fake sessions and takes its time over it."""

    name = "fake"
    label = "Fake"
    is_gpu = False
    precisions: tuple[str, ...] = ("fp32",)

    def __init__(self, clock: FakeClock, session: FakeSession, prepare_ms: float) -> None:
        self.clock = clock
        self.session = session
        self.prepare_ms = prepare_ms

    def availability(self) -> Availability:
        return Availability(True)

    def device(self) -> Device:
        return Device("Fake", is_gpu=False, facts={})

    def prepare(self, onnx_path: Path, precision: str, batch: int) -> FakeSession:
        self.clock.advance(self.prepare_ms)
        return self.session
