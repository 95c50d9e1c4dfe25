import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.publish.charts.scales import Linear, Log, domain, log_domain, round_step, tick_texts


def test_linear_maps_the_ends_and_the_middle():
    axis = Linear(0.5, 1.0, 100, 0)
    assert (axis(0.5), axis(0.75), axis(1.0)) == (100, 50, 0)


def test_values_outside_are_drawn_at_the_edge():
    assert Linear(0, 1, 10, 20)(7) == 20
    assert Log(1, 10, 0, 1)(0.001) == 0


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0, 1, 5, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0.62, 0.88, 6, (0.65, 0.7, 0.75, 0.8, 0.85)),
        (-0.3, 0.3, 3, (-0.2, 0.0, 0.2)),
        (0, 0.05, 5, (0, 0.01, 0.02, 0.03, 0.04, 0.05)),
    ],
)
def test_linear_ticks(low, high, count, expected):
    assert Linear(low, high, 0, 1).ticks(count) == pytest.approx(expected)


def test_log_ticks_are_one_two_five():
    assert Log(0.8, 12, 0, 1).ticks() == (1, 2, 5, 10)
    assert Log(1e-3, 1e4, 0, 1).ticks() == (1e-3, 1e-2, 1e-1, 1, 10, 100, 1000, 10000)


def test_log_is_even_per_decade():
    axis = Log(1, 100, 0, 10)
    assert axis(10) == pytest.approx(5)


@pytest.mark.parametrize(
    "make", [lambda: Linear(1, 1, 0, 1), lambda: Log(0, 1, 0, 1), lambda: Log(2, 1, 0, 1)]
)
def test_an_axis_without_length_is_refused(make):
    with pytest.raises(ValueError):
        make()


def test_tick_texts_share_their_decimals():
    assert tick_texts((0.0, 0.25, 0.5)) == ("0.00", "0.25", "0.50")
    assert tick_texts((1.0, 10.0)) == ("1", "10")


finite = st.floats(-1e4, 1e4)


@given(st.lists(finite, min_size=1, max_size=20))
def test_a_domain_holds_its_values_and_can_be_drawn(values):
    low, high = domain(values)
    assert low <= min(values)
    assert high >= max(values)
    ticks = Linear(low, high, 0, 100).ticks()
    assert 1 <= len(ticks) <= 7
    assert all(low - 1e-9 <= t <= high + 1e-9 for t in ticks)


def test_a_domain_stays_within_its_limits_and_needs_no_values():
    assert domain([0.99, 1.0], within=(0, 1))[1] == 1
    assert domain([None], within=(0, 1)) == (0, 1)
    assert domain([]) == (0, 1)


@given(st.floats(1e-6, 1e6))
def test_a_round_step_is_near_and_round(rough):
    step = round_step(rough)
    assert rough * (1 - 1e-6) <= step <= 2.5 * rough
    digit = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(digit - d) for d in (1, 2, 2.5, 5, 10)) < 1e-6


@given(st.lists(st.floats(1e-4, 1e6), min_size=1, max_size=9))
def test_a_log_domain_lies_around_its_values_and_has_ticks_at_both_ends(values):
    low, high = log_domain(values)
    assert low < min(values) <= max(values) < high
    ticks = Log(low, high, 0, 1).ticks()
    assert len(ticks) >= 2
    assert min(values) / low <= 2.5 * (1 + 1e-9)
