"""Telemetry of an NVIDIA GPU during a measurement: clocks, power, heat, throttling, other processes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final

import numpy as np

from bench.runtime.backends.gpu import nvml_handle
from bench.timing.record import Telemetry
from bench.timing.verdict import DeviceTrace

INTERVAL_S: Final = 0.05

# Bits of NVML's clock event reasons that slow the device down against its will.
_REASONS: Final = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
_CLOCK_SETTING: Final = 0x02  # the clock is held by a setting of a user
_POWER_CAP: Final = 0x04  # the set power limit, which a GPU under full load reaches: recorded, not counted


@dataclass(slots=True)
class Trace:
    """Readings of one block, sample by sample; plain data, so that it can be sent.

    Attributes:
        clock_mhz: Clock of the multiprocessors.
        power_w: Power drawn.
        temperature_c: Temperature of the chip.
        memory_mb: Memory in use on the device.
        reasons: Reasons of slowing down that were seen.
        foreign_processes: Most processes beside ours at once.
        energy_j: Energy used from start to end; None where the device does not count it.
        power_capped: Whether the set power limit held the clock down.
        clock_set: Whether a setting held the clock, as `nvidia-smi -lgc` does.
    """

    clock_mhz: list[float] = field(default_factory=list)
    power_w: list[float] = field(default_factory=list)
    temperature_c: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    foreign_processes: int = 0
    energy_j: float | None = None
    power_capped: bool = False
    clock_set: bool = False

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


class Sampler:
    """Read a GPU in a thread of its own between entering and leaving; `trace` holds what was read.

    Args:
        nvml: The module `pynvml`, initialised.
        handle: The device.
    """

    def __init__(self, nvml: Any, handle: Any) -> None:
        self.trace = Trace()
        self._nvml = nvml
        self._handle = handle
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._energy_before: float | None = None

    def __enter__(self) -> Sampler:
        self._energy_before = self._energy_j()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        after = self._energy_j()
        self._end.set()
        self._thread.join()
        if after is not None and self._energy_before is not None:
            self.trace.energy_j = after - self._energy_before

    def _energy_j(self) -> float | None:
        with suppress(self._nvml.NVMLError):
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000
        return None

    def _sample(self) -> None:
        while True:
            self._read()
            if self._end.wait(INTERVAL_S):
                return

    def _read(self) -> None:
        """One sample; a quantity that this device does not report is left out."""
        nvml, handle, trace = self._nvml, self._handle, self.trace
        with suppress(nvml.NVMLError):
            trace.clock_mhz.append(float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)))
        with suppress(nvml.NVMLError):
            trace.power_w.append(nvml.nvmlDeviceGetPowerUsage(handle) / 1000)
        with suppress(nvml.NVMLError):
            kind = nvml.NVML_TEMPERATURE_GPU
            trace.temperature_c.append(float(nvml.nvmlDeviceGetTemperature(handle, kind)))
        with suppress(nvml.NVMLError):
            trace.memory_mb.append(nvml.nvmlDeviceGetMemoryInfo(handle).used / 1e6)
        with suppress(nvml.NVMLError):
            bits = nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)
            trace.power_capped = trace.power_capped or bool(bits & _POWER_CAP)
            trace.clock_set = trace.clock_set or bool(bits & _CLOCK_SETTING)
            seen = [word for bit, word in _REASONS.items() if bits & bit]
            trace.reasons += [word for word in seen if word not in trace.reasons]
        with suppress(nvml.NVMLError):
            others = len(nvml.nvmlDeviceGetComputeRunningProcesses(handle)) - 1  # one of them is this one
            trace.foreign_processes = max(trace.foreign_processes, others)


def sampler_of_current_gpu() -> Sampler | None:
    """A sampler of the GPU that torch computes on; None where NVML does not find it."""
    import pynvml
    import torch

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    handle = nvml_handle(pynvml, torch.cuda.get_device_properties(torch.cuda.current_device()))
    return None if handle is None else Sampler(pynvml, handle)


def evidence(traces: Sequence[Trace]) -> DeviceTrace:
    """Evidence of all blocks for the verdict on stability."""
    return DeviceTrace(
        clock_mhz=np.array([value for trace in traces for value in trace.clock_mhz]),
        throttle_reasons=tuple(dict.fromkeys(reason for t in traces for reason in t.reasons)),
        foreign_processes=max((t.foreign_processes for t in traces), default=0),
    )


def figures(traces: Sequence[Trace], images: Sequence[int]) -> Telemetry:
    """Figures over all blocks.

    Args:
        traces: One of each block.
        images: How many images each block's measured runs held.
    """
    clock = [value for trace in traces for value in trace.clock_mhz]
    power = [value for trace in traces for value in trace.power_w]
    counted = [(t.energy_j, n) for t, n in zip(traces, images, strict=True) if t.energy_j is not None]
    energy = sum(joules for joules, _ in counted)
    total = sum(n for _, n in counted)
    return Telemetry(
        samples=len(clock),
        clock_mhz_min=min(clock, default=None),
        clock_mhz_median=median(clock) if clock else None,
        clock_mhz_max=max(clock, default=None),
        power_w_median=median(power) if power else None,
        power_w_max=max(power, default=None),
        temperature_c_max=max((v for t in traces for v in t.temperature_c), default=None),
        memory_mb_max=max((v for t in traces for v in t.memory_mb), default=None),
        throttle_reasons=tuple(dict.fromkeys(reason for t in traces for reason in t.reasons)),
        foreign_processes=max((t.foreign_processes for t in traces), default=0),
        energy_j_per_1000_images=1000 * energy / total if total else None,
        power_capped=any(t.power_capped for t in traces),
        clock_set=any(t.clock_set for t in traces),
    )
