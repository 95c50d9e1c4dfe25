"""Percentiles of latencies with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from math import ceil, factorial, log, sqrt

import numpy as np
from scipy.special import bdtr, ndtr, stdtrit

from bench.metrics.validation import Floats
from bench.timing.record import Latency, Percentile, Throughput

LEVEL = 0.95
_SLACK = 1e-12  # of rank and probability comparisons that rounding must not decide


def percentile(ordered: Floats, share: float) -> float:
    """The smallest measured value that at least `share` of the runs do not exceed; `ordered` ascends."""
    return float(ordered[max(0, ceil(share * len(ordered) - _SLACK * len(ordered)) - 1)])


def interval_ranks(n: int, share: float, level: float = LEVEL) -> tuple[int | None, int | None]:
    """Ranks (from 0) of the two values between which a percentile lies with probability ≥ `level`.

    The number of runs below the true percentile is binomial (n, share), whatever the distribution; each side
    errs with at most (1 - level) / 2 (David and Nagaraja 2003, Order Statistics, section 7.1).

    Returns:
        Lower and upper rank; None where no run is far enough out.
    """
    tail = (1 - level) / 2 + _SLACK
    below = bdtr(np.arange(n + 1), n, share)  # P(count <= k)
    low = int((below <= tail).sum()) - 1  # the (low + 1)-th value exceeds the percentile with P(count <= low)
    outside = np.flatnonzero(1 - below <= tail)  # P(count > k) = P(count >= k + 1)
    high = int(outside[0]) if len(outside) else n
    return (low if low >= 0 else None), (high if high < n else None)


def least_runs(share: float, level: float = LEVEL) -> int:
    """Least number of runs at which a percentile has a finite interval on both sides."""
    edge = max(share, 1 - share)
    return ceil(log((1 - level) / 2) / log(edge) - _SLACK)


def percentile_with_interval(ordered: Floats, share: float) -> Percentile:
    """A percentile with its nonparametric interval; null below `least_runs`."""
    n, least = len(ordered), least_runs(share)
    if n < least:
        reason = f"{n} runs; a 95% interval needs {least}"
        return Percentile(value_ms=None, reason=reason)
    low, high = interval_ranks(n, share)
    return Percentile(
        value_ms=percentile(ordered, share),
        low_ms=None if low is None else float(ordered[low]),
        high_ms=None if high is None else float(ordered[high]),
    )


def block_interval(
    blocks: int, statistic: Callable[[Sequence[int]], float], level: float = LEVEL
) -> tuple[float, float] | None:
    """Interval of a statistic by bootstrap over blocks, every possible resample counted; None for one block.

    With so few blocks the plain percentile interval is too narrow; its tails are moved out as Student's t and
    the small-sample variance demand (Hesterberg 2015, Am Stat 69:371-386, "expanded percentile interval").

    Args:
        blocks: Number of blocks, at most 6.
        statistic: Of a resample, given how often each block is in it.
        level: Coverage.
    """
    if blocks < 2:
        return None
    values, weights = [], []
    for resample in combinations_with_replacement(range(blocks), blocks):
        times = [resample.count(block) for block in range(blocks)]
        values.append(statistic(times))
        weights.append(factorial(blocks) / np.prod([factorial(t) for t in times]))
    order = np.argsort(values)
    cumulative = np.cumsum(np.array(weights)[order]) / blocks**blocks
    tail = float(ndtr(-sqrt(blocks / (blocks - 1)) * stdtrit(blocks - 1, 1 - (1 - level) / 2)))
    low = int(np.searchsorted(cumulative, tail))
    high = int(np.searchsorted(cumulative, 1 - tail - _SLACK))
    return float(values[order[low]]), float(values[order[min(high, len(order) - 1)]])


def _resampled_median(blocks: Sequence[Floats]) -> Callable[[Sequence[int]], float]:
    together = np.concatenate(blocks)
    order = np.argsort(together, kind="stable")
    ordered = together[order]
    owner = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])[order]

    def median(times: Sequence[int]) -> float:
        cumulative = np.cumsum(np.asarray(times)[owner])
        return float(ordered[np.searchsorted(cumulative, cumulative[-1] / 2)])

    return median


def summarise(blocks: Sequence[Floats]) -> Latency:
    """The figures of one scope.

    Args:
        blocks: One array of latencies (ms) per block, in order of time.
    """
    together = np.concatenate(blocks)
    ordered = np.sort(together)
    medians = [percentile(np.sort(block), 0.5) for block in blocks]
    mean = float(together.mean())
    limits = block_interval(len(blocks), _resampled_median(blocks))
    p50 = Percentile(
        value_ms=percentile(ordered, 0.5),
        low_ms=limits[0] if limits else None,
        high_ms=limits[1] if limits else None,
        reason="" if limits else "one block has no interval",
    )
    return Latency(
        n=len(together),
        mean_ms=mean,
        cv=float(together.std(ddof=1) / mean) if len(together) > 1 and mean > 0 else None,
        p50=p50,
        p90=percentile_with_interval(ordered, 0.90),
        p95=percentile_with_interval(ordered, 0.95),
        p99=percentile_with_interval(ordered, 0.99),
        p50_se_ms=float(np.std(medians, ddof=1) / sqrt(len(medians))) if len(medians) > 1 else None,
        block_p50_ms=tuple(medians),
    )


def unmeasured(reason: str) -> Latency:
    """A scope without figures, and why."""
    none = Percentile(value_ms=None, reason=reason)
    return Latency(n=0, p50=none, p90=none, p95=none, p99=none, reason=reason)


def summarise_throughput(blocks: Sequence[float], in_flight: int) -> Throughput:
    """Mean of the blocks' images per second, with its interval over blocks."""
    values = np.array(blocks)
    limits = block_interval(len(values), lambda times: float(np.average(values, weights=times)))
    return Throughput(
        images_per_s=float(values.mean()),
        low=limits[0] if limits else None,
        high=limits[1] if limits else None,
        in_flight=in_flight,
        reason="" if limits else "one block has no interval",
    )
