"""Whether latencies can be ranked: every reason against it, with what was measured and its limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.timing.record import Instability, InstabilityCode, Stability

Floats = npt.NDArray[np.float64]

VARIATION_LIMIT = {"gpu": 0.025, "cpu": 0.10}
SPREAD_LIMIT = {"gpu": 0.05, "cpu": 0.10}
TREND_LIMIT = 0.02
CLOCK_LIMIT = 0.05
SEGMENTS = 20


@dataclass(frozen=True, slots=True)
class DeviceTrace:
    """What the device reported while it was measured, after the warm-up.

    Attributes:
        clock_mhz: (n,) core clock at each sample.
        throttle_reasons: Reasons of heat or power for which the device slowed itself down.
        foreign_processes: Most other processes seen on the device at once.
    """

    clock_mhz: Floats
    throttle_reasons: tuple[str, ...]
    foreign_processes: int


def judge(blocks: Sequence[Floats], *, is_gpu: bool, device: DeviceTrace | None = None) -> Stability:
    """The verdict over all blocks of a configuration.

    Args:
        blocks: One array of latencies (ms) per block, in order of time.
        is_gpu: Which limits apply.
        device: What a GPU reported.
    """
    kind = "gpu" if is_gpu else "cpu"
    together = np.concatenate(blocks)
    checks: list[tuple[InstabilityCode, str, float, float]] = [
        ("variation", "Latencies vary by {} (CV)", _variation(together), VARIATION_LIMIT[kind]),
        ("block-spread", "Medians of blocks differ by {}", _spread(blocks), SPREAD_LIMIT[kind]),
        ("trend", "Latency changes by {} over a block", _trend(blocks), TREND_LIMIT),
    ]
    if device is not None and len(device.clock_mhz):
        clock = float(np.ptp(device.clock_mhz) / np.median(device.clock_mhz))
        checks.append(("clocks", "The clock ranged over {}", clock, CLOCK_LIMIT))
    reasons = [
        Instability(
            code=code,
            message=f"{text.format(f'{100 * abs(value):.1f}%')}; the limit is {100 * limit:g}%.",
            value=value,
            limit=limit,
        )
        for code, text, value, limit in checks
        if abs(value) > limit
    ]
    if device is not None and device.throttle_reasons:
        message = f"The device slowed itself down: {', '.join(device.throttle_reasons)}."
        reasons.append(Instability(code="throttled", message=message))
    if device is not None and device.foreign_processes:
        message = f"{device.foreign_processes} other processes used the device."
        count = float(device.foreign_processes)
        reasons.append(Instability(code="foreign-process", message=message, value=count, limit=0.0))
    return Stability(stable=not reasons, reasons=tuple(reasons))


def _variation(latencies: Floats) -> float:
    return float(latencies.std(ddof=1) / latencies.mean()) if len(latencies) > 1 else 0.0


def _spread(blocks: Sequence[Floats]) -> float:
    medians = [float(np.median(block)) for block in blocks]
    return float(np.ptp(medians) / np.median(medians))


def _trend(blocks: Sequence[Floats]) -> float:
    """Relative change of latency from the start to the end of a block: median over the blocks.

    Within a block: the slope of Theil and Sen through the medians of its segments, so that single slow runs
    do not count.
    """
    changes = []
    for block in blocks:
        segments = min(SEGMENTS, len(block))
        medians = np.array([np.median(part) for part in np.array_split(block, segments)])
        first, second = np.triu_indices(segments, k=1)
        if len(first):
            slope = np.median((medians[second] - medians[first]) / (second - first))
            changes.append(float(slope * (segments - 1) / np.median(medians)))
    return float(np.median(changes)) if changes else 0.0
