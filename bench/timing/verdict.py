"""Verdicts: whether p50 is known well enough to be ranked, and how two rows compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, log
from typing import Final

import numpy as np

from bench.metrics.validation import Floats
from bench.timing.record import Comparison, Instability, InstabilityCode, Latency, Stability
from bench.timing.statistics import summarise

# Device → limit. A CPU is shared with other programs, so that more is allowed.
HALF_WIDTH_LIMIT: Final = {"gpu": 0.02, "cpu": 0.05}
SPREAD_LIMIT: Final = {"gpu": 0.05, "cpu": 0.10}
TREND_LIMIT: Final = 0.02
CLOCK_LIMIT: Final = 0.05
NOTED_VARIATION: Final = {"gpu": 0.025, "cpu": 0.10}
ENQUEUE_BOUND: Final = 0.8
SAME_MARGIN: Final = 0.02
SEGMENTS: Final = 20
OWN_LOAD: Final = 1.25
"""Load average for each core that a timing reaches by itself, with a thread on every core."""


@dataclass(frozen=True, slots=True)
class DeviceTrace:
    """Readings of the device while it was measured, after the warm-up.

    Attributes:
        clock_mhz: (n,) core clock at each sample.
        throttle_reasons: Reasons of heat or power for which the device slowed itself down.
        foreign_processes: Most other processes seen on the device at once.
    """

    clock_mhz: Floats
    throttle_reasons: tuple[str, ...]
    foreign_processes: int


def half_width(latency: Latency) -> float | None:
    """Half the width of p50's 95% interval, relative to p50; None without an interval."""
    p50 = latency.p50
    if p50.value_ms is None or p50.low_ms is None or p50.high_ms is None or p50.value_ms <= 0:
        return None
    return (p50.high_ms - p50.low_ms) / 2 / p50.value_ms


def judge(blocks: Sequence[Floats], *, is_gpu: bool, device: DeviceTrace | None = None) -> Stability:
    """Judge one scope of a configuration by what is known of its p50.

    Args:
        blocks: One array of latencies (ms) per block, in order of time.
        is_gpu: Which limits apply; a GPU without a report of its own is not ranked.
        device: What a GPU reported.
    """
    kind = "gpu" if is_gpu else "cpu"
    latency = summarise(blocks)
    known = half_width(latency)
    checks: list[tuple[InstabilityCode, str, float, float]] = [
        ("p50-interval", "p50 is known to ±{}", known or 0.0, HALF_WIDTH_LIMIT[kind]),
        ("block-spread", "Medians of blocks differ by {}", _spread(blocks), SPREAD_LIMIT[kind]),
        ("trend", "Latency changes by {} over a block", _trend(blocks), TREND_LIMIT),
    ]
    if device is not None and len(device.clock_mhz):
        low, median, high = np.quantile(device.clock_mhz, [0.05, 0.5, 0.95])
        checks.append(("clocks", "The clock ranged over {}", float((high - low) / median), CLOCK_LIMIT))
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
    if is_gpu and (device is None or not len(device.clock_mhz)):
        message = (
            "The driver reported no clock of the GPU, as on a MIG slice: whether it was slowed "
            "down is unknown."
        )
        reasons.append(Instability(code="telemetry", message=message))
    return Stability(
        stable=not reasons, reasons=tuple(reasons), p50_half_width=known, notes=_notes(latency, kind)
    )


def _notes(latency: Latency, kind: str) -> tuple[str, ...]:
    """Tails, which say how the machine behaved and not how well p50 is known."""
    if latency.cv is None or latency.cv <= NOTED_VARIATION[kind]:
        return ()
    tail, p50 = latency.p95.value_ms, latency.p50.value_ms
    slow = f"; p95 is {tail / p50:.3g} times p50" if tail is not None and p50 else ""
    return (f"Single runs vary (standard deviation / mean {100 * latency.cv:.3g}%){slow}.",)


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


def enqueue_note(compute: Latency, enqueue_ms: float | None) -> str:
    """A warning where the host needs about as long to start a run as the device to do it; else empty."""
    p50 = compute.p50.value_ms
    if p50 is None or enqueue_ms is None or enqueue_ms <= ENQUEUE_BOUND * p50:
        return ""
    return (
        f"Starting a run takes the host {enqueue_ms:.3g} ms and the device {p50:.3g} ms to do it: in use, "
        "the host is the limit. A CUDA graph or a larger batch helps."
    )


def compare(first: Latency, second: Latency, margin: float = SAME_MARGIN) -> Comparison:
    """Compare the first p50 with the second, as far as their 95% intervals allow.

    The interval of log(first / second) is that of two independent estimates. ``same``: it lies within the
    margin; ``faster`` or ``slower``: it leaves out equality; ``undecided``: neither, or one has no interval.

    Args:
        first: The row that is judged.
        second: The row that it is held against.
        margin: Relative difference that nobody would notice.
    """
    widths = half_width(first), half_width(second)
    if widths[0] is None or widths[1] is None:
        return "undecided"
    assert first.p50.value_ms is not None
    assert second.p50.value_ms is not None
    difference = log(first.p50.value_ms / second.p50.value_ms)
    reach = hypot(widths[0], widths[1])
    if abs(difference) + reach <= log(1 + margin):
        return "same"
    if abs(difference) <= reach:
        return "undecided"
    return "faster" if difference < 0 else "slower"


def advice(
    stability: Stability,
    *,
    is_gpu: bool,
    load: float | None,
    cores: int,
    command: str,
    clock_mhz: float | None = None,
) -> str:
    """Advice on what disturbed unstable figures and what to do; empty where nothing did.

    Args:
        stability: The verdict.
        is_gpu: What was measured.
        load: 1-minute load average before the first block; None where it is not known.
        cores: Cores that the process may use.
        command: What measures the row again.
        clock_mhz: Clock at which a GPU's clock may be locked; None where it is not known.
    """
    if stability.stable is not False:
        return ""
    codes = {reason.code for reason in stability.reasons}
    known = stability.p50_half_width
    parts = []
    if not is_gpu and load is not None and load > cores / 2:
        place = f"on {cores} {'core' if cores == 1 else 'cores'}"
        parts.append(
            f"The machine was busy (load {load:.3g} {place})."
            if load > OWN_LOAD * cores
            else f"The load average was {load:.3g} {place}, this command's own work included."
        )
    if known is not None:
        parts.append(f"p50 is known to ±{100 * known:.2g}%.")
    if "clocks" in codes and clock_mhz:
        parts.append(f"`sudo nvidia-smi -pm 1 && sudo nvidia-smi -lgc {clock_mhz:.0f}` locks the clock.")
    if "throttled" in codes:
        parts.append("Cool the device or raise its power limit (`nvidia-smi -q -d PERFORMANCE` shows why).")
    if codes == {"telemetry"} or "precision" in codes:
        return " ".join(parts)
    other = "programs on the GPU" if "foreign-process" in codes else "programs"
    parts.append(f"Close other {other} and run `{command}`.")
    return " ".join(parts)
