"""The stored matrix of pairwise comparisons against the family that it was made from."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from pydantic import ValidationError

from bench.board.matrix import PairMatrix
from bench.uncertainty.family import compare_all_pairs
from tests.uncertainty.test_family import board


def ordered(seed: int, entries: int, draws: int = 200):
    drawn, values, influences = board(seed, entries, draws)
    order = np.argsort(-values, kind="stable")
    return compare_all_pairs(drawn[order], values[order], influences[order])


@pytest.mark.parametrize("entries", [1, 2, 3, 7])
def test_every_pair_comes_back_in_both_directions(entries):
    found = ordered(3, entries)
    slugs = [f"e{i}" for i in range(entries)]
    stored = PairMatrix.model_validate_json(PairMatrix.of(slugs, found).model_dump_json())
    assert stored.slugs == tuple(slugs)
    assert len(stored.p) == entries * (entries - 1) // 2
    for i, j in permutations(range(entries), 2):
        pair = stored.pair(slugs[i], slugs[j])
        expected = [m[i, j] for m in (found.difference, found.low, found.high, found.p_adjusted, found.p)]
        shown = [pair.difference, pair.low, pair.high, pair.p_adjusted, pair.p]
        assert shown == pytest.approx(expected, rel=1e-5, abs=1e-300)


@pytest.mark.parametrize("seed", range(20))
def test_rounding_moves_no_pair_to_the_other_side(seed):
    found = ordered(seed, 12)
    slugs = [f"e{i}" for i in range(12)]
    stored = PairMatrix.of(slugs, found)
    for i, j in permutations(range(12), 2):
        pair = stored.pair(slugs[i], slugs[j])
        assert (pair.low > 0) == found.separated[i, j]
        assert (pair.p_adjusted <= 0.05) == (found.separated[i, j] or found.separated[j, i])


def test_only_the_first_entries_are_stored_adjusted_for_all():
    found = ordered(5, 9)
    slugs = [f"e{i}" for i in range(9)]
    every, some = PairMatrix.of(slugs, found), PairMatrix.of(slugs, found, most=4)
    assert some.slugs == ("e0", "e1", "e2", "e3")
    assert some.pair("e1", "e3") == every.pair("e1", "e3")
    with pytest.raises(KeyError):
        some.pair("e0", "e8")


def test_no_interval_where_the_replicates_are_too_few():
    stored = PairMatrix.of(["a", "b"], ordered(1, 2, draws=18))
    assert (stored.low, stored.high) == ((None,), (None,))
    assert stored.pair("b", "a").low is None


def test_arguments_of_the_wrong_kind_are_refused():
    stored = PairMatrix.of(["a", "b"], ordered(1, 2))
    with pytest.raises(ValueError, match="itself"):
        stored.pair("a", "a")
    with pytest.raises(ValidationError, match="0 numbers, 2 entries 1 pairs"):
        PairMatrix.model_validate(stored.plain() | {"p": []})
