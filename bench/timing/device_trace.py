"""The traces of a GPU over all blocks, as figures for the record and as evidence for the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from bench.timing.record import Telemetry
from bench.timing.stability import DeviceTrace
from bench.timing.telemetry import Trace


def evidence(traces: Sequence[Trace]) -> DeviceTrace:
    """What the verdict on stability needs."""
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
    )
