"""Every reason against a figure, on traces made to show it; and none on steady ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.timing.statistics import DeviceTrace, judge

GENERATOR = np.random.default_rng(0)


def steady(level: float = 10.0, noise: float = 0.01, runs: int = 400) -> np.ndarray:
    return level * (1 + noise * GENERATOR.standard_normal(runs))


def codes(blocks: list[np.ndarray], *, is_gpu: bool, device: DeviceTrace | None = None) -> list[str]:
    verdict = judge(blocks, is_gpu=is_gpu, device=device)
    assert verdict.stable is (not verdict.reasons)
    assert all(reason.message.endswith(".") for reason in verdict.reasons)
    return [reason.code for reason in verdict.reasons]


CALM = DeviceTrace(np.full(50, 1980.0), (), 0)


@pytest.mark.parametrize("is_gpu", [False, True])
def test_steady_latencies_have_no_reason(is_gpu: bool) -> None:
    assert codes([steady() for _ in range(5)], is_gpu=is_gpu, device=CALM if is_gpu else None) == []


def test_variation_has_its_own_limit_for_each_kind_of_processor() -> None:
    blocks = [steady(noise=0.05) for _ in range(5)]
    assert codes(blocks, is_gpu=True) == ["variation"]
    assert codes(blocks, is_gpu=False) == []
    assert "variation" in codes([steady(noise=0.15) for _ in range(5)], is_gpu=False)


def test_blocks_that_disagree() -> None:
    blocks = [steady(level) for level in (10.0, 10.0, 10.0, 10.0, 10.7)]
    assert "block-spread" in codes(blocks, is_gpu=True)
    assert codes(blocks, is_gpu=False) == []
    blocks[-1] = steady(11.2)
    assert codes(blocks, is_gpu=False) == ["block-spread"]


@pytest.mark.parametrize("direction", [1, -1])
def test_drift_within_blocks(direction: int) -> None:
    ramp = 1 + direction * np.linspace(0, 0.04, 400)
    verdict = judge([steady() * ramp for _ in range(5)], is_gpu=False)
    assert [reason.code for reason in verdict.reasons] == ["trend"]
    assert verdict.reasons[0].value == pytest.approx(0.04 * direction, abs=0.008)
    assert verdict.reasons[0].limit == 0.02


def test_a_drift_of_one_percent_and_single_slow_runs_are_no_trend() -> None:
    blocks = [steady() * (1 + np.linspace(0, 0.01, 400)) for _ in range(5)]
    for block in blocks:
        block[-3:] *= 1.2
    assert codes(blocks, is_gpu=False) == []


def test_drift_in_one_block_alone_is_no_trend_of_all() -> None:
    blocks = [steady() for _ in range(4)] + [steady() * (1 + np.linspace(0, 0.04, 400))]
    assert codes(blocks, is_gpu=False) == []


def test_two_modes_vary() -> None:
    two = np.where(GENERATOR.random(400) < 0.5, 10.0, 13.0)
    assert "variation" in codes([two for _ in range(5)], is_gpu=False)


def test_a_throttled_device() -> None:
    clock = np.r_[np.full(30, 1980.0), np.full(20, 1600.0)]
    hot = DeviceTrace(clock, ("thermal slowdown",), 0)
    verdict = judge([steady() for _ in range(5)], is_gpu=True, device=hot)
    assert [reason.code for reason in verdict.reasons] == ["clocks", "throttled"]
    assert verdict.reasons[0].value == pytest.approx(380 / 1980)
    assert "thermal slowdown" in verdict.reasons[1].message


def test_a_foreign_process() -> None:
    shared = DeviceTrace(np.full(50, 1980.0), (), 2)
    verdict = judge([steady() for _ in range(5)], is_gpu=True, device=shared)
    assert [reason.code for reason in verdict.reasons] == ["foreign-process"]
    assert verdict.reasons[0].message == "2 other processes used the device."


def test_a_clock_within_its_limit() -> None:
    nearly = DeviceTrace(np.r_[np.full(25, 1980.0), np.full(25, 1900.0)], (), 0)
    assert codes([steady() for _ in range(5)], is_gpu=True, device=nearly) == []


@given(st.integers(1, 30), st.integers(1, 4), st.floats(0.01, 1000))
def test_equal_latencies_are_stable_however_few(runs: int, blocks: int, level: float) -> None:
    assert judge([np.full(runs, level)] * blocks, is_gpu=True).stable is True


def test_all_reasons_stand_together() -> None:
    blocks = [steady(level, 0.2) * (1 + np.linspace(0, 0.2, 400)) for level in (8, 10, 14)]
    bad = DeviceTrace(np.array([1000.0, 2000.0]), ("power brake",), 1)
    assert codes(blocks, is_gpu=True, device=bad) == [
        "variation",
        "block-spread",
        "trend",
        "clocks",
        "throttled",
        "foreign-process",
    ]
