"""Every reason against a figure, on traces made to show it; and none on steady ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.timing.verdict import DeviceTrace, judge

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


def with_median_error(relative: float) -> list[np.ndarray]:
    """Blocks whose medians lie evenly around 10 ms, so far out."""
    return [np.full(400, 10.0 * (1 + relative * k / 2)) for k in (-2, -1, 0, 1, 2)]


def test_a_row_is_judged_by_what_is_known_of_p50() -> None:
    unsure = with_median_error(0.024)
    verdict = judge(unsure, is_gpu=True, device=CALM)
    assert [reason.code for reason in verdict.reasons] == ["p50-interval"]
    assert verdict.p50_half_width == pytest.approx(0.024, abs=0.006)
    assert "p50 is known to ±2." in verdict.reasons[0].message
    assert codes(unsure, is_gpu=False) == []
    assert codes(with_median_error(0.01), is_gpu=True, device=CALM) == []


def test_a_few_slow_runs_are_a_note_and_do_not_count() -> None:
    blocks = [steady() for _ in range(5)]
    for block in blocks:
        block[::50] *= 40.0  # another program took the processor; (CV) is above 500%
    verdict = judge(blocks, is_gpu=False)
    assert verdict.stable is True
    (note,) = verdict.notes
    assert "Single runs vary" in note
    assert judge([steady() for _ in range(5)], is_gpu=False).notes == ()


def test_blocks_that_disagree() -> None:
    blocks = [steady(level) for level in (10.0, 10.0, 10.0, 10.0, 10.7)]
    assert "block-spread" in codes(blocks, is_gpu=True, device=CALM)
    assert codes(blocks, is_gpu=False) == []
    blocks[-1] = steady(11.2)
    assert "block-spread" in codes(blocks, is_gpu=False)


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


def test_drift_in_one_block_alone_is_not_a_trend() -> None:
    blocks = [steady() for _ in range(4)] + [steady() * (1 + np.linspace(0, 0.04, 400))]
    assert codes(blocks, is_gpu=False) == []


def test_two_modes_leave_p50_unknown() -> None:
    shares = (0.40, 0.45, 0.5, 0.55, 0.60)
    blocks = [np.where(np.arange(400) < share * 400, 10.0, 13.0) for share in shares]
    shuffled = [GENERATOR.permutation(block) for block in blocks]
    assert "p50-interval" in codes(shuffled, is_gpu=False)


def test_a_gpu_that_reports_nothing_is_not_ranked() -> None:
    blocks = [steady() for _ in range(5)]
    assert codes(blocks, is_gpu=True) == ["telemetry"]
    assert codes(blocks, is_gpu=True, device=DeviceTrace(np.array([]), (), 0)) == ["telemetry"]
    assert codes(blocks, is_gpu=False) == []


def test_an_idle_moment_between_blocks_does_not_count_as_a_change_of_the_clock() -> None:
    idle = DeviceTrace(np.r_[np.full(96, 1980.0), np.full(4, 210.0)], (), 0)
    assert codes([steady() for _ in range(5)], is_gpu=True, device=idle) == []


def test_a_throttled_device() -> None:
    clock = np.r_[np.full(30, 1980.0), np.full(20, 1600.0)]
    hot = DeviceTrace(clock, ("thermal slowdown",), 0)
    verdict = judge([steady() for _ in range(5)], is_gpu=True, device=hot)
    assert [reason.code for reason in verdict.reasons] == ["clocks", "throttled"]
    assert verdict.reasons[0].value == pytest.approx(380 / 1980, abs=0.01)
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
    assert judge([np.full(runs, level)] * blocks, is_gpu=True, device=CALM).stable is True


def test_all_reasons_stand_together() -> None:
    blocks = [steady(level, 0.2) * (1 + np.linspace(0, 0.2, 400)) for level in (8, 10, 14)]
    bad = DeviceTrace(np.array([1000.0, 2000.0]), ("power brake",), 1)
    assert codes(blocks, is_gpu=True, device=bad) == [
        "p50-interval",
        "block-spread",
        "trend",
        "clocks",
        "throttled",
        "foreign-process",
    ]
