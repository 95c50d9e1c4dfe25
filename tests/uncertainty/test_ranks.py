import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

import bench
from bench.uncertainty.ranks import holm


def board(seed, entries=6, draws=200, spread=0.02):
    rng = np.random.default_rng(seed)
    values = np.round(0.8 + spread * rng.normal(size=entries), 3)
    common = rng.normal(size=draws)
    return values, values[:, None] + 0.02 * (0.8 * common + 0.6 * rng.normal(size=(entries, draws)))


def slow_errors(drawn):
    entries = len(drawn)
    return np.array([[np.std(drawn[i] - drawn[j], ddof=1) for j in range(entries)] for i in range(entries)])


def slow_rank_sets(drawn, values, level):
    """The definition, entry by entry and replicate by replicate."""
    se = slow_errors(drawn)
    found = []
    for i in range(len(values)):
        others = [j for j in range(len(values)) if j != i and se[i, j] >= 1e-12]
        widest = [
            max(abs((drawn[i, b] - values[i]) - (drawn[j, b] - values[j])) / se[i, j] for j in others)
            for b in range(drawn.shape[1])
        ]
        critical = np.quantile(widest, level)
        better = sum((values[j] - values[i]) / se[i, j] > critical for j in others)
        worse = sum((values[i] - values[j]) / se[i, j] > critical for j in others)
        found.append((1 + sum(values > values[i]), 1 + better, len(values) - worse))
    return found


def slow_separated(drawn, values, level):
    """Stepped-down statements by literal loops over pairs; the last critical value, if pairs are left."""
    se, entries = slow_errors(drawn), len(values)
    pairs = {(i, j) for i in range(entries) for j in range(entries) if i != j and se[i, j] >= 1e-12}
    told, critical = set(), None
    while pairs:
        widest = np.max(
            [np.abs((drawn[i] - values[i]) - (drawn[j] - values[j])) / se[i, j] for i, j in pairs], axis=0
        )
        critical = np.quantile(widest, level)
        new = {(i, j) for i, j in pairs if (values[i] - values[j]) / se[i, j] > critical}
        if not new:
            break
        told |= new
        pairs -= new | {(j, i) for i, j in new}
        critical = None
    separated = np.zeros((entries, entries), bool)
    for pair in told:
        separated[pair] = True
    return separated, critical


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.8, 0.95]), st.sampled_from([0.005, 0.03]))
def test_both_equal_their_definitions(seed, level, spread):
    values, drawn = board(seed, spread=spread)
    sets = bench.rank_sets(drawn, values, level)
    assert [(found.rank, found.low, found.high) for found in sets] == slow_rank_sets(drawn, values, level)
    told = bench.board_statements(drawn, values, level)
    separated, critical = slow_separated(drawn, values, level)
    assert np.array_equal(told.separated, separated)
    if critical is not None:
        assert told.critical == pytest.approx(critical, rel=1e-12)


def test_pairwise_figures():
    values, drawn = board(1)
    told = bench.board_statements(drawn, values)
    assert told.difference[0, 1] == values[0] - values[1]
    np.testing.assert_allclose(told.se, slow_errors(drawn), atol=1e-15)
    assert told.p[0, 1] == pytest.approx(2 * norm.sf(abs(values[0] - values[1]) / told.se[0, 1]))
    assert (np.diag(told.p) == 1).all()


def test_tie_group_is_all_that_is_not_told_apart_from_the_leader():
    rng = np.random.default_rng(2)
    values = np.array([0.70, 0.80, 0.799, 0.60])
    drawn = values[:, None] + 0.01 * rng.normal(size=(4, 1000))
    told = bench.board_statements(drawn, values)
    assert told.tie_group == (1, 2)
    assert told.separated[1, 0]
    assert not told.separated[0, 1]
    sets = bench.rank_sets(drawn, values)
    assert [(found.low, found.high) for found in sets] == [(3, 3), (1, 2), (1, 2), (4, 4)]


def test_twins_are_tied_even_where_everything_else_is_told_apart():
    rng = np.random.default_rng(3)
    values = np.array([0.9, 0.9, 0.5])
    drawn = values[:, None] + 0.001 * rng.normal(size=(3, 300))
    drawn[1] = drawn[0]
    told = bench.board_statements(drawn, values)
    assert told.twins == ((0, 1),)
    assert told.tie_group == (0, 1)
    assert told.p[0, 1] == 1
    sets = bench.rank_sets(drawn, values)
    assert [(found.rank, found.low, found.high) for found in sets] == [(1, 1, 2), (1, 1, 2), (3, 3, 3)]
    assert [found.p_best for found in sets] == [0.5, 0.5, 0.0]


def test_all_equal_gives_the_full_range():
    rng = np.random.default_rng(4)
    values = np.full(5, 0.8)
    sets = bench.rank_sets(values[:, None] + 0.01 * rng.normal(size=(5, 500)), values)
    assert {(found.rank, found.low, found.high) for found in sets} == {(1, 1, 5)}
    assert sum(found.p_best for found in sets) == pytest.approx(1)


def test_small_boards():
    assert bench.rank_sets(np.empty((0, 10)), np.empty(0)) == ()
    only = bench.rank_sets([[0.7, 0.8, 0.75]], [0.75])
    assert only == (bench.RankSet(1, 1, 1, 1.0, 1, 1),)
    assert bench.board_statements([[0.7, 0.8, 0.75]], [0.75]).tie_group == (0,)


def test_undefined_replicates_are_left_out():
    values, drawn = board(5)
    holes = drawn.copy()
    holes[2, :7] = np.nan
    assert bench.rank_sets(holes, values) == bench.rank_sets(drawn[:, 7:], values)


def test_entries_may_come_in_any_order():
    values, drawn = board(6, entries=9)
    order = np.random.default_rng(0).permutation(9)
    here, there = bench.rank_sets(drawn, values), bench.rank_sets(drawn[order], values[order])
    assert tuple(here[k] for k in order) == there
    assert here.low.tolist() == [found.low for found in here]
    assert here.p_best.sum() == pytest.approx(1)
    one, other = bench.board_statements(drawn, values), bench.board_statements(drawn[order], values[order])
    assert np.array_equal(one.separated[np.ix_(order, order)], other.separated)


def test_stepping_down_only_adds_statements():
    added = 0
    for seed in range(5):
        values, drawn = board(seed, entries=12, spread=0.05)
        told = bench.board_statements(drawn, values)
        se = slow_errors(drawn)
        np.fill_diagonal(se, np.inf)
        centred = drawn - values[:, None]
        widest = (np.abs(centred[:, None] - centred[None]) / se[..., None]).max(axis=(0, 1))
        single = (values[:, None] - values[None]) / se > np.quantile(widest, 0.95)
        assert (told.separated >= single).all()
        added += told.separated.sum() - single.sum()
    assert added > 0


def test_what_does_not_fit_is_refused():
    values, drawn = board(8)
    with pytest.raises(ValueError, match="replicates must be"):
        bench.rank_sets(drawn[:3], values)
    with pytest.raises(ValueError, match="finite"):
        bench.rank_sets(drawn, np.full(6, np.nan))
    with pytest.raises(ValueError, match="fewer than two"):
        bench.rank_sets(np.full((6, 9), np.nan), values)
    with pytest.raises(ValueError, match="no entries"):
        bench.board_statements(np.empty((0, 4)), np.empty(0))
    with pytest.raises(ValueError, match="level"):
        bench.rank_sets(drawn, values, level=95)


def test_holm():
    assert holm([0.01, 0.02, 0.03, 0.9]).tolist() == pytest.approx([0.04, 0.06, 0.06, 0.9])
    assert holm([]).tolist() == []
    with pytest.raises(ValueError, match="p must lie"):
        holm([1.5])


def coverage(truth, boards, entries_alike, seed=0):
    """Share of boards on which one entry's set, and all statements together, are right."""
    rng = np.random.default_rng(seed)
    size = len(truth)
    each, joint = np.zeros(size), 0
    true_low = 1 + (truth[None] > truth[:, None]).sum(axis=1)
    true_high = size - (truth[None] < truth[:, None]).sum(axis=1)
    root = np.linalg.cholesky(0.01**2 * ((1 - entries_alike) * np.eye(size) + entries_alike))
    for _ in range(boards):
        values = truth + root @ rng.normal(size=size)
        drawn = values[:, None] + root @ rng.normal(size=(size, 300))
        sets = bench.rank_sets(drawn, values)
        each += [found.low <= true_low[k] and true_high[k] <= found.high for k, found in enumerate(sets)]
        told = bench.board_statements(drawn, values).separated
        joint += not (told & (truth[:, None] <= truth[None])).any()
    return each / boards, joint / boards


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.004, 0.02])
def test_rank_sets_cover(spread):
    truth = 0.8 + spread * np.linspace(-1, 1, 20)
    each, joint = coverage(truth, 300, 0.7)
    assert each.min() > 0.91
    assert joint > 0.915


def test_usual_ranks_are_quantiles_of_the_rank_in_every_replicate():
    rng = np.random.default_rng(3)
    values = np.array([0.8, 0.79, 0.7, 0.7])
    drawn = values[:, None] + 0.03 * rng.normal(size=(4, 400))
    drawn[3] = drawn[2]  # ties share the better rank
    found = bench.rank_sets(drawn, values)
    ranks = np.array([1 + (drawn > row).sum(axis=0) for row in drawn])
    for one, mine in zip(found, np.sort(ranks, axis=1), strict=True):
        assert (one.usual_low, one.usual_high) == (mine[9], mine[389])
