"""Percentiles and intervals against brute force, closed forms and simulated coverage."""

from __future__ import annotations

from itertools import product
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from bench.timing.statistics import (
    block_interval,
    interval_ranks,
    least_runs,
    percentile,
    percentile_with_interval,
    summarise,
    summarise_throughput,
    unmeasured,
)

LATENCIES = hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(0.01, 100))
SHARES = st.sampled_from([0.5, 0.9, 0.95, 0.99])


@given(LATENCIES, SHARES)
def test_a_percentile_is_the_smallest_value_that_enough_runs_do_not_exceed(
    values: np.ndarray, share: float
) -> None:
    value = percentile(np.sort(values), share)
    assert value == np.percentile(values, 100 * share, method="inverted_cdf")
    slow = min(v for v in values if (values <= v).sum() >= share * len(values) - 1e-9)
    assert value == slow


@given(st.integers(1, 800), SHARES, st.sampled_from([0.9, 0.95, 0.99]))
def test_interval_ranks_are_the_tightest_that_cover(n: int, share: float, level: float) -> None:
    low, high = interval_ranks(n, share, level)
    count = stats.binom(n, share)  # runs below the true percentile
    tail = (1 - level) / 2 + 1e-12
    if low is None:
        assert count.cdf(0) > tail
    else:
        assert count.cdf(low) <= tail < count.cdf(low + 1)
    if high is None:
        assert count.sf(n - 1) > tail
    else:
        assert count.sf(high) <= tail
        assert high == 0 or count.sf(high - 1) > tail


@pytest.mark.parametrize(("share", "least"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_the_least_number_of_runs(share: float, least: int) -> None:
    assert least_runs(share) == least
    assert None not in interval_ranks(least, share)
    assert None in interval_ranks(least - 1, share)
    below = percentile_with_interval(np.arange(least - 1.0), share)
    assert (below.value_ms, below.reason) == (None, f"{least - 1} runs; a 95% interval needs {least}")
    assert percentile_with_interval(np.arange(float(least)), share).value_ms is not None


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_the_interval_covers_the_true_percentile(share: float) -> None:
    generator = np.random.default_rng(3)
    truth = stats.gamma(4).ppf(share)
    inside = 0
    for _ in range(600):
        interval = percentile_with_interval(np.sort(generator.gamma(4, size=500)), share)
        inside += interval.low_ms <= truth <= interval.high_ms
    assert inside / 600 > 0.93


@pytest.mark.parametrize("blocks", [2, 3, 4, 5])
def test_the_block_bootstrap_counts_every_resample(blocks: int) -> None:
    values = np.random.default_rng(blocks).normal(10, 1, blocks)
    low, high = block_interval(blocks, lambda times: float(np.average(values, weights=times)))
    means = np.sort([np.mean(drawn) for drawn in product(values, repeat=blocks)])
    tail = stats.norm.cdf(-sqrt(blocks / (blocks - 1)) * stats.t(blocks - 1).ppf(0.975))
    shares = np.arange(1, len(means) + 1) / len(means)
    assert low == pytest.approx(means[np.searchsorted(shares, tail - 1e-12)])
    assert high == pytest.approx(means[min(np.searchsorted(shares, 1 - tail - 1e-12), len(means) - 1)])
    assert comb(2 * blocks - 1, blocks) <= 126


def test_the_block_interval_is_wider_than_the_plain_percentile_interval_and_covers() -> None:
    generator = np.random.default_rng(5)
    inside = plain_inside = 0
    for _ in range(250):
        values = generator.normal(10, 1, 5)
        low, high = block_interval(5, lambda t, v=values: float(np.average(v, weights=t)))  # type: ignore[misc]
        inside += low <= 10 <= high
        means = [values[generator.integers(0, 5, 5)].mean() for _ in range(200)]
        plain_inside += np.quantile(means, 0.025) <= 10 <= np.quantile(means, 0.975)
    assert plain_inside / 250 < 0.88
    assert inside / 250 > 0.91


def test_one_block_has_no_interval() -> None:
    assert block_interval(1, lambda _: 1.0) is None
    summary = summarise([np.full(40, 2.0)])
    assert (summary.p50.value_ms, summary.p50.low_ms, summary.p50_se_ms) == (2.0, None, None)
    assert summary.p50.reason == "one block has no interval"


def test_the_median_of_a_resample_is_that_of_its_runs() -> None:
    generator = np.random.default_rng(7)
    blocks = [generator.gamma(5, size=n) + shift for n, shift in ((50, 0.0), (80, 0.4), (61, 1.0))]
    summary = summarise(blocks)
    medians = []
    for drawn in product(range(3), repeat=3):
        runs = np.sort(np.concatenate([blocks[b] for b in drawn]))
        medians.append(runs[(len(runs) + 1) // 2 - 1])
    assert summary.p50.low_ms == pytest.approx(min(medians))
    assert summary.p50.high_ms == pytest.approx(max(medians))
    own = [np.percentile(block, 50, method="inverted_cdf") for block in blocks]
    assert summary.block_p50_ms == pytest.approx(own)
    assert summary.p50_se_ms == pytest.approx(np.std(own, ddof=1) / sqrt(3))


@given(
    st.lists(hnp.arrays(np.float64, st.integers(2, 60), elements=st.floats(0.01, 50)), min_size=1, max_size=4)
)
def test_figures_are_ordered_and_within_the_measured_range(blocks: list[np.ndarray]) -> None:
    summary = summarise(blocks)
    together = np.concatenate(blocks)
    assert summary.n == len(together)
    assert summary.mean_ms == pytest.approx(together.mean())
    assert summary.cv == pytest.approx(together.std(ddof=1) / together.mean())
    defined = [p for p in (summary.p50, summary.p90, summary.p95, summary.p99) if p.value_ms is not None]
    values = [p.value_ms for p in defined]
    assert values == sorted(values)
    for p in defined[1:]:
        assert together.min() <= p.low_ms <= p.value_ms <= p.high_ms <= together.max()


def test_throughput_is_the_mean_over_blocks() -> None:
    throughput = summarise_throughput([100.0, 110.0, 120.0], 2)
    assert throughput.images_per_s == pytest.approx(110)
    assert throughput.in_flight == 2
    assert throughput.low == pytest.approx(100)
    assert throughput.high == pytest.approx(120)
    assert summarise_throughput([100.0], 2).low is None


def test_figures_that_were_not_measured_are_null_with_a_reason() -> None:
    latency = unmeasured("no clock")
    assert latency.n == 0
    assert latency.reason == "no clock"
    for p in (latency.p50, latency.p90, latency.p95, latency.p99):
        assert (p.value_ms, p.low_ms, p.high_ms, p.reason) == (None, None, None, "no clock")
