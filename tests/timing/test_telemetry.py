"""A GPU's own report, from a driver that we play: samples, throttling, company, energy, what is missing."""

# ruff: noqa: N802  (the names are NVML's)

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.timing.telemetry import Sampler, Trace, evidence, figures
from bench.timing.verdict import judge


class NVMLError(Exception):
    pass


class FakeNvml:
    """Answers as NVML does; `lacking` quantities are not supported by the device."""

    NVMLError = NVMLError
    NVML_CLOCK_SM = 1
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, *, processes: int = 1, reasons: int = 0, lacking: tuple[str, ...] = ()) -> None:
        self.processes = processes
        self.reasons = reasons
        self.lacking = lacking
        self.energy_mj = 5_000_000
        self.clocks = [1980, 1965]

    def _give(self, name: str, value: Any) -> Any:
        if name in self.lacking:
            raise NVMLError(name)
        return value

    def nvmlDeviceGetClockInfo(self, handle: object, kind: int) -> int:
        self.clocks.append(self.clocks.pop(0))
        return int(self._give("clock", self.clocks[-1]))

    def nvmlDeviceGetPowerUsage(self, handle: object) -> int:
        return int(self._give("power", 350_000))

    def nvmlDeviceGetTemperature(self, handle: object, kind: int) -> int:
        return int(self._give("temperature", 55))

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> Any:
        return self._give("memory", SimpleNamespace(used=2_500_000_000))

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: object) -> int:
        return int(self._give("reasons", self.reasons))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: object) -> list[object]:
        return list(self._give("processes", [object()] * self.processes))

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> int:
        self.energy_mj += 60_000
        return int(self._give("energy", self.energy_mj))


def sampled(nvml: FakeNvml) -> Trace:
    with Sampler(nvml, object()) as sampler:
        end = time.monotonic() + (0.1 if nvml.lacking else 600)
        while len(sampler.trace.clock_mhz) < 3 and time.monotonic() < end:
            time.sleep(0.01)
    return sampler.trace


def test_samples_are_taken_while_it_runs() -> None:
    trace = sampled(FakeNvml())
    assert len(trace.clock_mhz) >= 2
    assert set(trace.clock_mhz) == {1980.0, 1965.0}
    assert set(trace.power_w) == {350.0}
    assert set(trace.memory_mb) == {2500.0}
    assert trace.temperature_c[0] == 55
    assert (trace.reasons, trace.foreign_processes) == ([], 0)
    assert trace.energy_j == pytest.approx(60)
    assert Trace(**trace.plain()) == trace


def test_a_short_measurement_still_has_a_sample() -> None:
    with Sampler(FakeNvml(), object()) as sampler:
        pass
    assert len(sampler.trace.clock_mhz) >= 1


def test_only_heat_and_power_brake_are_reasons() -> None:
    capped = sampled(FakeNvml(reasons=0x01 | 0x04))  # idle, power cap
    assert (capped.reasons, capped.power_capped) == ([], True)
    assert figures([capped], [1]).power_capped
    assert not sampled(FakeNvml()).power_capped
    assert sampled(FakeNvml(reasons=0x40 | 0x80)).reasons == ["hardware thermal slowdown", "power brake"]


def test_other_processes_are_counted_and_the_timed_one_is_not() -> None:
    assert sampled(FakeNvml(processes=3)).foreign_processes == 2
    assert sampled(FakeNvml(processes=0)).foreign_processes == 0  # a container hides them all


def test_readings_that_the_device_lacks_are_left_out() -> None:
    every = ("clock", "power", "temperature", "memory", "reasons", "processes", "energy")
    trace = sampled(FakeNvml(lacking=every))
    assert trace == Trace()
    summary = figures([trace], [100])
    assert (summary.samples, summary.clock_mhz_median, summary.energy_j_per_1000_images) == (0, None, None)
    verdict = judge([np.full(50, 1.0)], is_gpu=True, device=evidence([trace]))
    assert [reason.code for reason in verdict.reasons] == ["telemetry"]


def test_figures_over_blocks() -> None:
    traces = [
        Trace([1800.0, 2000.0], [300.0], [50.0], [900.0], ["power brake"], 0, 30.0),
        Trace([1980.0], [340.0, 350.0], [61.0], [950.0], ["power brake"], 2, 50.0),
        Trace([1990.0], [], [], [], [], 0, None),
    ]
    summary = figures(traces, [400, 600, 500])
    assert (summary.clock_mhz_min, summary.clock_mhz_median, summary.clock_mhz_max) == (1800, 1985, 2000)
    assert (summary.power_w_median, summary.power_w_max, summary.temperature_c_max) == (340, 350, 61)
    assert (summary.memory_mb_max, summary.throttle_reasons, summary.foreign_processes) == (
        950,
        ("power brake",),
        2,
    )
    assert summary.energy_j_per_1000_images == pytest.approx(
        80.0
    )  # 80 J for the 1,000 images that were counted
    reasons = judge([np.full(50, 1.0)], is_gpu=True, device=evidence(traces)).reasons
    assert [reason.code for reason in reasons] == ["clocks", "throttled", "foreign-process"]
