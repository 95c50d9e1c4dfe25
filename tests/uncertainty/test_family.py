"""All entries as one family: its definition, agreement of everything read from it, error rates."""

from __future__ import annotations

from itertools import combinations
from math import ceil

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student

from bench.uncertainty.family import compare_all_pairs, critical_value, holm, pooled_df, shrunken_best


def board(seed, entries=6, draws=200, patients=40, spread=0.02):
    """Values, replicates and influences of entries on the same patients, some with identical ranking."""
    rng = np.random.default_rng(seed)
    weight = rng.exponential(size=patients) ** 2
    phi = weight * (0.8 * rng.normal(size=patients) + 0.6 * rng.normal(size=(entries, patients)))
    phi *= 0.03 / np.sqrt((phi**2).sum(axis=1, keepdims=True))
    phi -= phi.mean(axis=1, keepdims=True)
    values = np.clip(np.round(0.8 + spread * rng.normal(size=entries), 3), 0, 1)
    for copy in range(1, entries):
        if rng.random() < 0.15:
            values[copy], phi[copy] = values[copy - 1], phi[copy - 1]
    times = rng.multinomial(patients, np.full(patients, 1 / patients), size=draws)
    return values[:, None] + phi @ (times.T - 1.0), values, phi


def slow_df(a, b):
    phi = np.asarray(a) - np.asarray(b)
    patients = len(phi)
    total = sum(x**2 for x in phi)
    spread = sum(x**4 for x in phi) - total**2 / patients
    return patients - 1 if spread <= 1e-9 * total**2 else min(2 * total**2 / spread, patients - 1)


def slow_family(drawn, values, influences, level):
    """The seven steps, pair by pair and replicate by replicate."""
    entries, total = drawn.shape
    pairs = list(combinations(range(entries), 2))
    d = {(i, j): values[i] - values[j] for i, j in pairs}
    spread = {(i, j): np.std(drawn[i] - drawn[j], ddof=1) for i, j in pairs}
    se = {pair: s * np.sqrt(influences.shape[1] / (influences.shape[1] - 1)) for pair, s in spread.items()}
    open_pairs = [pair for pair in pairs if spread[pair] >= 1e-12]
    df = {(i, j): slow_df(influences[i], influences[j]) for i, j in pairs}
    most = sum(se[pair] for pair in open_pairs) / (sum(se[pair] / df[pair] for pair in open_pairs) or np.nan)
    capped = {pair: min(df[pair], most) for pair in open_pairs}
    z = {pair: -norm.ppf(student.sf(abs(d[pair]) / se[pair], capped[pair])) for pair in open_pairs}
    maxima = sorted(
        max((abs(drawn[i, b] - drawn[j, b] - d[i, j]) / spread[i, j] for i, j in open_pairs), default=0.0)
        for b in range(total)
    )
    place = ceil(round(level * (total + 1), 6))
    critical = np.inf if place > total else max(maxima[place - 1], norm.ppf((1 + level) / 2))
    low, high = [1] * entries, [entries] * entries
    intervals, adjusted = {}, {}
    for pair in pairs:
        if pair not in open_pairs:
            intervals[pair], adjusted[pair] = (d[pair], d[pair]), 1.0
            continue
        half = student.isf(norm.sf(critical), capped[pair]) * se[pair]
        intervals[pair] = d[pair] - half, d[pair] + half
        share = (1 + sum(m >= z[pair] for m in maxima)) / (total + 1)
        adjusted[pair] = max(share, 2 * student.sf(abs(d[pair]) / se[pair], df[pair]))
        if z[pair] > critical:
            better, worse = pair if d[pair] > 0 else pair[::-1]
            low[worse] += 1
            high[better] -= 1
    return critical, se, df, intervals, adjusted, low, high


def contradictions(found, limit):
    """Everything in which two answers of one board differ."""
    p, low, high, apart = found.p_adjusted, found.low, found.high, found.separated
    either, limits = apart | apart.T, np.stack([low, high])
    checks = {
        "interval and p": np.array_equal((low > 0) | (high < 0), p <= limit),
        "interval and separation": np.array_equal(low > 0, apart) and np.array_equal(high < 0, apart.T),
        "p and separation": np.array_equal(p <= limit, either),
        "direction": not (apart & (found.difference <= 0)).any(),
        "interval holds the difference": ((low <= found.difference) & (found.difference <= high)).all(),
        "interval within the range of differences": np.abs(limits[np.isfinite(limits)]).max() <= found.widest,
        "adjusted p is not below p": (p >= found.p).all(),
        "symmetry": np.array_equal(p, p.T) and np.array_equal(found.se, found.se.T),
        "rank intervals": np.array_equal(found.rank_low - 1, apart.sum(axis=0))
        and np.array_equal(len(p) - found.rank_high, apart.sum(axis=1)),
        "rank within its interval": ((found.rank_low <= found.rank) & (found.rank <= found.rank_high)).all(),
        "may be first": np.array_equal(found.may_be_first, found.rank_low == 1),
        "leader may be first": found.may_be_first[found.leader] and found.rank[found.leader] == 1,
        "may be first is tied": (found.tied_with_leader >= found.may_be_first).all(),
        "tie and interval": np.array_equal(found.tied_with_leader, found.high[:, found.leader] >= 0),
        "identical ranking is never separated": not any(either[pair] for pair in found.identical_ranking),
    }
    return [name for name, agrees in checks.items() if not agrees]


SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([0.8, 0.95]), st.integers(1, 6), st.sampled_from([19, 60]), st.integers(2, 30))
@example(0, 0.95, 2, 18, 10)
@example(0, 0.95, 5, 39, 2)
def test_equals_its_definition(seed, level, entries, draws, patients):
    drawn, values, influences = board(seed, entries, draws, patients)
    family = compare_all_pairs(drawn, values, influences, level)
    critical, se, df, intervals, adjusted, low, high = slow_family(drawn, values, influences, level)
    assert family.critical == pytest.approx(critical, rel=1e-9)
    assert (family.rank_low.tolist(), family.rank_high.tolist()) == (low, high)
    for pair in combinations(range(entries), 2):
        assert family.se[pair] == pytest.approx(se[pair], rel=1e-9, abs=1e-12)
        assert family.df[pair] == pytest.approx(df[pair], rel=1e-8)
        if np.isfinite(critical):
            expected = pytest.approx(intervals[pair], rel=1e-7, abs=1e-11)
            assert (family.low[pair], family.high[pair]) == expected
        assert family.p_adjusted[pair] == pytest.approx(adjusted[pair], rel=1e-9)


@settings(max_examples=80, deadline=None)
@given(
    SEEDS,
    st.integers(1, 25),
    st.sampled_from([2, 18, 19, 20, 199, 200]),
    st.sampled_from([2, 3, 30, 300]),
    st.sampled_from([0.0, 0.003, 0.02, 0.1]),
    st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
def test_nothing_on_a_board_disagrees(seed, entries, draws, patients, spread, level):
    drawn, values, influences = board(seed, entries, draws, patients, spread)
    family = compare_all_pairs(drawn, values, influences, level, bounds=(0, 1))
    assert contradictions(family, round(1 - level, 12)) == []
    free = compare_all_pairs(drawn, values, influences, level)
    assert contradictions(free, round(1 - level, 12)) == []
    inside = np.isfinite(free.low)
    assert np.array_equal(family.low[inside], np.maximum(free.low[inside], -1))
    for name in ("critical", "p", "p_adjusted", "separated", "rank_low", "rank_high", "tied_with_leader"):
        assert np.array_equal(getattr(family, name), getattr(free, name)), name


def test_limits_stay_within_the_range_of_differences():
    """With large errors of few patients intervals would reach beyond a difference of 1, adjusted or not."""
    drawn, values, influences = board(3, entries=4, patients=4)
    drawn = values[:, None] + 200 * (drawn - values[:, None])
    free = compare_all_pairs(drawn, values, influences)
    family = compare_all_pairs(drawn, values, influences, bounds=(0, 1))
    assert free.high.max() > 1
    assert (family.low.min(), family.high.max()) == (-1, 1)
    assert np.array_equal(family.high, np.minimum(free.high, 1))
    for entry in range(4):
        here, there = family.unadjusted_interval(entry), free.unadjusted_interval(entry)
        assert np.array_equal(here, np.clip(there, -1, 1))
    with pytest.raises(ValueError, match=r"between 0\.9 and 1"):
        compare_all_pairs(drawn, values, influences, bounds=(0.9, 1))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(2, 9))
def test_the_order_of_the_entries_does_not_matter(seed, entries):
    drawn, values, influences = board(seed, entries)
    order = np.random.default_rng(seed).permutation(entries)
    here = compare_all_pairs(drawn, values, influences)
    there = compare_all_pairs(drawn[order], values[order], influences[order])
    square = np.ix_(order, order)
    assert np.array_equal(here.separated[square], there.separated)
    for name in ("rank", "rank_low", "rank_high", "may_be_first", "percentile_rank_low", "p_best"):
        assert np.array_equal(getattr(here, name)[order], getattr(there, name)), name
    for name in ("se", "df", "p", "p_adjusted", "low", "high"):
        np.testing.assert_allclose(getattr(here, name)[square], getattr(there, name), rtol=1e-9, atol=1e-15)


def test_degrees_of_freedom_of_nearly_identical_entries_are_exact():
    rng = np.random.default_rng(0)
    first = rng.normal(size=500)
    second = first + 1e-7 * rng.exponential(size=500) ** 3
    drawn = 0.8 + 0.01 * rng.normal(size=(2, 100))
    family = compare_all_pairs(drawn, np.array([0.8, 0.8]), np.stack([first, second]))
    assert family.df[0, 1] == pytest.approx(slow_df(first, second), rel=1e-12)


def test_degrees_of_freedom_of_a_board():
    """A board of three pairs, one of them nearly identical: it hardly counts, though its df are few."""
    df, se = np.array([30.0, 60.0, 2.0]), np.array([0.01, 0.02, 1e-9])
    assert pooled_df(df, se) == pytest.approx(1 / ((1 / 3) / 30 + (2 / 3) / 60), rel=1e-5)
    assert pooled_df(df, np.zeros(3)) == np.inf


def test_sums_over_many_entries_equal_plain_sums():
    """More entries and columns than one tile of the kernels holds, in numbers that are no multiple of it."""
    from bench.metrics.kernels.pairs import largest_distance, pair_moments, pair_squares

    rows = np.random.default_rng(1).normal(size=(261, 131))
    squares, fourths = pair_moments(rows)
    apart = rows[:, None] - rows[None]
    np.testing.assert_allclose(squares, (apart**2).sum(axis=2), rtol=1e-12)
    np.testing.assert_allclose(fourths, (apart**4).sum(axis=2), rtol=1e-12)
    assert np.array_equal(squares, pair_squares(rows))
    assert np.array_equal(squares, squares.T)
    assert np.array_equal(fourths, fourths.T)
    precision = np.random.default_rng(2).random((261, 261))
    precision = np.where(precision + precision.T > 1.8, 0, precision + precision.T)
    expected = (np.abs(apart) * precision[..., None]).max(axis=(0, 1))
    np.testing.assert_allclose(largest_distance(rows, precision), expected, rtol=1e-12)


def test_unadjusted_interval_and_p_are_students():
    drawn, values, influences = board(1)
    family = compare_all_pairs(drawn, values, influences)
    low, high = family.unadjusted_interval(2)
    for i in (0, 1, 3, 4, 5):
        d, se = values[i] - values[2], np.sqrt(40 / 39) * np.std(drawn[i] - drawn[2], ddof=1)
        half = student.ppf(0.975, slow_df(influences[i], influences[2])) * se
        assert (low[i], high[i]) == pytest.approx((d - half, d + half), rel=1e-9, abs=1e-11)
        if se > 1e-12:
            expected = 2 * student.sf(abs(d) / se, slow_df(influences[i], influences[2]))
            assert family.p[i, 2] == pytest.approx(expected, rel=1e-9)
    assert (low[2], high[2], family.p[2, 2]) == (0, 0, 1)


def test_all_identical():
    rng = np.random.default_rng(4)
    drawn = np.tile(0.8 + 0.01 * rng.normal(size=100), (4, 1))
    family = compare_all_pairs(drawn, np.full(4, 0.8), np.tile(rng.normal(size=30), (4, 1)))
    assert family.identical_ranking == ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    assert (family.p == 1).all()
    assert (family.p_adjusted == 1).all()
    assert not family.separated.any()
    assert (family.low == 0).all()
    assert (family.high == 0).all()
    assert family.rank.tolist() == [1, 1, 1, 1]
    assert (family.rank_low.tolist(), family.rank_high.tolist()) == ([1] * 4, [4] * 4)
    assert family.p_best.tolist() == [0.25] * 4
    assert contradictions(family, 0.05) == []


def test_one_entry():
    family = compare_all_pairs([[0.7, 0.8, 0.75]], [0.75], [[0.1, -0.1, 0.0]])
    assert (family.rank.tolist(), family.rank_low.tolist(), family.rank_high.tolist()) == ([1], [1], [1])
    assert (family.may_be_first.tolist(), family.p_best.tolist()) == ([True], [1.0])
    assert family.shrunken_leader == pytest.approx(0.75)


def test_identical_entries_are_tied_though_everything_else_is_separated():
    rng = np.random.default_rng(3)
    values = np.array([0.9, 0.9, 0.5])
    drawn = values[:, None] + 0.001 * rng.normal(size=(3, 300))
    drawn[1] = drawn[0]
    influences = rng.normal(size=(3, 100))
    influences[1] = influences[0]
    family = compare_all_pairs(drawn, values, influences)
    assert family.identical_ranking == ((0, 1),)
    assert family.may_be_first.tolist() == [True, True, False]
    assert (family.rank.tolist(), family.rank_low.tolist(), family.rank_high.tolist()) == (
        [1, 1, 3], [1, 1, 3], [2, 2, 3]
    )  # fmt: skip
    assert family.p_best.tolist() == [0.5, 0.5, 0.0]


def test_undefined_replicates_are_left_out():
    drawn, values, influences = board(5)
    holes = drawn.copy()
    holes[2, :7] = np.nan
    here = compare_all_pairs(holes, values, influences)
    there = compare_all_pairs(drawn[:, 7:], values, influences)
    assert here.replicates == there.replicates == 193
    assert here.critical == there.critical
    assert np.array_equal(here.p_adjusted, there.p_adjusted)


@pytest.mark.parametrize("total", [19, 20, 199, 1999, 2000, 10_000])
def test_place_of_the_critical_value(total):
    """The smallest place at which at most 5% of the ranks of one more draw among the maxima lie above."""
    maxima = 10.0 + np.arange(total)
    expected = next(k for k in range(1, total + 1) if 100 * (total + 1 - k) <= 5 * (total + 1))
    assert critical_value(maxima, 0.95) == maxima[expected - 1]


def test_the_critical_value_is_never_below_that_of_one_comparison_nor_taken_from_too_few():
    assert critical_value(np.zeros(100), 0.95) == pytest.approx(1.959963985, abs=1e-9)
    assert critical_value(np.full(18, 3.0), 0.95) == np.inf


def test_the_leader_is_shrunk_by_what_choosing_gains():
    values = np.array([0.80, 0.79, 0.70])
    drawn = np.array([[0.81, 0.78, 0.79], [0.80, 0.80, 0.79], [0.60, 0.71, 0.72]])
    # Chosen are entry 0 (+0.01), entry 1 (+0.01), and entries 0 and 1 together (-0.01 and 0).
    assert shrunken_best(drawn, values) == pytest.approx(0.80 - (0.01 + 0.01 - 0.005) / 3)


def test_the_shrunken_value_of_equal_entries_is_near_their_truth():
    rng = np.random.default_rng(0)
    gains, left = [], []
    for _ in range(300):
        values = 0.8 + 0.01 * rng.normal(size=20)
        drawn = values[:, None] + 0.01 * rng.normal(size=(20, 400))
        gains.append(values.max() - 0.8)
        left.append(shrunken_best(drawn, values) - 0.8)
    assert np.mean(gains) == pytest.approx(0.0187, abs=0.001)  # E of the largest of 20 normals: 1.867 sd
    assert 0 < np.mean(left) < 0.6 * np.mean(gains)


def test_percentile_ranks_are_quantiles_of_the_rank_in_every_replicate():
    rng = np.random.default_rng(3)
    values = np.array([0.8, 0.79, 0.7, 0.7])
    drawn = values[:, None] + 0.03 * rng.normal(size=(4, 400))
    drawn[3] = drawn[2]  # ties share the better rank
    family = compare_all_pairs(drawn, values, rng.normal(size=(4, 50)))
    ranks = np.sort([1 + (drawn > row).sum(axis=0) for row in drawn], axis=1)
    assert family.percentile_rank_low.tolist() == ranks[:, 9].tolist()
    assert family.percentile_rank_high.tolist() == ranks[:, 389].tolist()


def test_what_does_not_fit_is_refused():
    drawn, values, influences = board(8)
    for bad in ((drawn[:3], values, influences), (drawn, values, influences[:3]), (drawn, values, values)):
        with pytest.raises(ValueError, match="replicates must be"):
            compare_all_pairs(*bad)
    with pytest.raises(ValueError, match="values must be finite"):
        compare_all_pairs(drawn, np.full(6, np.nan), influences)
    with pytest.raises(ValueError, match="influences must be finite"):
        compare_all_pairs(drawn, values, np.full((6, 3), np.nan))
    with pytest.raises(ValueError, match="influences must be finite"):
        compare_all_pairs(drawn, values, np.empty((6, 0)))
    with pytest.raises(ValueError, match="fewer than two"):
        compare_all_pairs(np.full((6, 9), np.nan), values, influences)
    with pytest.raises(ValueError, match="no entries"):
        compare_all_pairs(np.empty((0, 4)), np.empty(0), np.empty((0, 2)))
    with pytest.raises(ValueError, match="level"):
        compare_all_pairs(drawn, values, influences, level=95)


def test_holm():
    assert holm([0.01, 0.02, 0.03, 0.9]).tolist() == pytest.approx([0.04, 0.06, 0.06, 0.9])
    assert holm([]).tolist() == []
    with pytest.raises(ValueError, match="p must lie"):
        holm([1.5])


@pytest.mark.parametrize("spread", [0.0, 0.004, 0.02])
def test_a_false_statement_is_rare_and_intervals_cover(spread):
    """300 boards of 20 entries; 5% are 15 boards, and 24 or more would come of chance in 1% of such runs."""
    rng = np.random.default_rng(int(1000 * spread))
    truth = 0.8 + spread * np.linspace(-1, 1, 20)
    false = missed = 0
    for _ in range(300):
        phi = 0.8 * rng.normal(size=200) + 0.6 * rng.normal(size=(20, 200))
        phi *= 0.01 / np.sqrt(200)
        values = truth + phi.sum(axis=1)
        phi -= phi.mean(axis=1, keepdims=True)
        times = rng.multinomial(200, np.full(200, 1 / 200), size=300)
        family = compare_all_pairs(values[:, None] + phi @ (times.T - 1.0), values, phi)
        true = truth[:, None] - truth
        false += bool((family.separated & (true <= 0)).any())
        missed += bool(((family.low > true) | (family.high < true)).any())
    assert false < 24
    assert missed < 24
