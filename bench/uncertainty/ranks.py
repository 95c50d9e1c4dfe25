"""What paired replicates allow to say about ranks: of one entry, and about the whole board at once.

Mogstad, Romano, Shaikh & Wilhelm 2024, "Inference for ranks with applications to mobility across
neighbourhoods and academic achievement across countries". Higher values are better.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics.kernels.pairs import pair_errors, widest_by_entry, widest_of_all
from bench.metrics.validation import Bools, Floats, Ints, check_level
from bench.uncertainty.compare import SE_TOLERANCE


@dataclass(frozen=True, slots=True)
class RankSet:
    """The rank of one entry.

    Attributes:
        rank: 1 + number of entries with a larger value.
        low: Best rank that the data allow, for this entry, at the level asked for.
        high: Worst rank.
        p_best: Share of replicates in which the entry is first, ties shared; stability, not confidence.
        usual_low: Best rank within the middle 95% (or the level asked for) of replicates; stability too.
        usual_high: Worst rank within them.
    """

    rank: int
    low: int
    high: int
    p_best: float
    usual_low: int
    usual_high: int


class RankSets(tuple[RankSet, ...]):
    """One `RankSet` per entry, in the order given; each field also as an array (S,)."""

    @property
    def rank(self) -> Ints:
        """(S,) ranks."""
        return np.array([one.rank for one in self], np.int64)

    @property
    def low(self) -> Ints:
        """(S,) best ranks that the data allow."""
        return np.array([one.low for one in self], np.int64)

    @property
    def high(self) -> Ints:
        """(S,) worst ranks that the data allow."""
        return np.array([one.high for one in self], np.int64)

    @property
    def p_best(self) -> Floats:
        """(S,) shares of replicates in which the entry is first."""
        return np.array([one.p_best for one in self], np.float64)


@dataclass(frozen=True, slots=True)
class BoardStatements:
    """Statements about all pairs of entries that hold together at the level asked for.

    Attributes:
        separated: (S, S) whether the row's entry is told apart from the column's, as the better one.
        tie_group: Entries that are not told apart from the leader, itself among them, by falling value.
        difference: (S, S) value of the row's entry minus the column's.
        se: (S, S) standard error of the difference.
        p: (S, S) two-sided 2Φ(-|difference| / se), unadjusted; 1 for twins and on the diagonal.
        twins: Pairs (i, j), i < j, whose differences do not vary at all.
        critical: Quantile of the last step, in standard errors.
    """

    separated: Bools = field(repr=False)
    tie_group: tuple[int, ...]
    difference: Floats = field(repr=False)
    se: Floats = field(repr=False)
    p: Floats = field(repr=False)
    twins: tuple[tuple[int, int], ...]
    critical: float


@dataclass(frozen=True, slots=True)
class _Pairs:
    values: Floats
    centred: Floats
    difference: Floats
    se: Floats
    precision: Floats


def _pairs(replicates: ArrayLike, values: ArrayLike) -> _Pairs:
    """Differences of all pairs, their errors, and replicates less their value; undefined replicates dropped.

    Raises:
        ValueError: Shapes do not fit, or fewer than two replicates are defined.
    """
    drawn, point = np.asarray(replicates, np.float64), np.asarray(values, np.float64)
    if drawn.ndim != 2 or point.shape != (len(drawn),):
        raise ValueError(
            f"replicates must be (entries, B) and values (entries,), not {drawn.shape}, {point.shape}"
        )
    if not np.isfinite(point).all():
        raise ValueError("values must be finite: leave out entries without a value")
    drawn = np.ascontiguousarray(drawn[:, np.isfinite(drawn).all(axis=0)])
    if drawn.shape[1] < 2:
        raise ValueError("fewer than two replicates are defined for every entry")
    se = pair_errors(np.ascontiguousarray((drawn - drawn.mean(axis=1, keepdims=True)).T))
    precision = np.divide(1, se, out=np.zeros_like(se), where=se >= SE_TOLERANCE)
    return _Pairs(point, drawn - point[:, None], point[:, None] - point[None, :], se, precision)


def rank_sets(replicates: ArrayLike, values: ArrayLike, level: float = 0.95) -> RankSets:
    """A rank interval for every entry, each right with probability `level` for its own entry.

    Args:
        replicates: (S, B) a metric of every entry in the same replicates, higher is better.
        values: (S,) the metric of every entry.
        level: Coverage of one interval.

    Returns:
        A `RankSet` for every entry, in the order given.

    Raises:
        ValueError: Shapes do not fit, values are not finite, or fewer than two replicates are defined.

    >>> rng = np.random.default_rng(0)
    >>> values = np.array([0.80, 0.79, 0.60])
    >>> replicates = values[:, None] + 0.02 * rng.normal(size=(3, 500))
    >>> [(found.rank, found.low, found.high) for found in rank_sets(replicates, values)]
    [(1, 1, 2), (2, 1, 2), (3, 3, 3)]
    """
    check_level(level, "level")
    pairs = _pairs(replicates, values)
    if len(pairs.difference) == 0:
        return RankSets()
    return _rank_sets(pairs, widest_by_entry(pairs.centred, pairs.precision), level)


def _rank_sets(pairs: _Pairs, widest: Floats, level: float) -> RankSets:
    """Rank intervals from the (S, B) largest standardised distance of every entry in every replicate."""
    critical = np.quantile(widest, level, axis=1)
    distance = pairs.difference * pairs.precision
    worse = (distance > critical[:, None]).sum(axis=1)
    better = (-distance > critical[:, None]).sum(axis=1)
    rank = 1 + (pairs.difference < 0).sum(axis=1)
    drawn = pairs.centred + pairs.values[:, None]
    best, usual = _best_share(drawn), _usual_ranks(drawn, level)
    total = len(rank)
    return RankSets(
        RankSet(
            int(rank[i]), int(1 + better[i]), int(total - worse[i]), float(best[i]), *map(int, usual[:, i])
        )
        for i in range(total)
    )


def _best_share(drawn: Floats) -> Floats:
    """(S,) share of replicates in which each entry is first, ties shared."""
    first = drawn >= drawn.max(axis=0) - SE_TOLERANCE
    return np.asarray((first / first.sum(axis=0)).mean(axis=1))


def _usual_ranks(drawn: Floats, level: float) -> Ints:
    """(2, S) the ranks, 1 + entries above, between which an entry stays in `level` of the replicates."""
    falling = np.ascontiguousarray(-drawn.T)
    order = np.argsort(falling, axis=1)
    ranked = np.take_along_axis(falling, order, axis=1)
    first = np.ones(falling.shape, np.bool_)
    first[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    place = np.arange(1, len(drawn) + 1, dtype=np.int32)
    rank = np.maximum.accumulate(np.where(first, place, 0), axis=1)
    ranks = np.empty_like(rank)
    np.put_along_axis(ranks, order, rank, axis=1)
    tail = (1 - level) / 2
    limits = np.quantile(ranks, [tail, 1 - tail], axis=0, method="inverted_cdf")
    return np.asarray(limits).astype(np.int64)


def board_statements(replicates: ArrayLike, values: ArrayLike, level: float = 0.95) -> BoardStatements:
    """Which entries are told apart, with one error probability for the whole board, stepped down.

    The largest standardised difference over all pairs gives the critical value; pairs beyond it are told
    apart and leave the maximum, which is taken again until nothing changes.

    Args:
        replicates: (S, B) a metric of every entry in the same replicates, higher is better.
        values: (S,) the metric of every entry.
        level: Probability that all statements are right.

    Raises:
        ValueError: As `rank_sets`, or no entry.
    """
    check_level(level, "level")
    pairs = _pairs(replicates, values)
    if len(pairs.difference) == 0:
        raise ValueError("no entries")
    return _board_statements(pairs, widest_of_all(pairs.centred, pairs.precision), level)


def ranks_and_statements(
    replicates: ArrayLike, values: ArrayLike, level: float = 0.95
) -> tuple[RankSets, BoardStatements]:
    """`rank_sets` and `board_statements` of one board; what both need of the pairs is worked out once.

    Raises:
        ValueError: As `board_statements`.
    """
    check_level(level, "level")
    pairs = _pairs(replicates, values)
    if len(pairs.difference) == 0:
        raise ValueError("no entries")
    widest = widest_by_entry(pairs.centred, pairs.precision)
    return _rank_sets(pairs, widest, level), _board_statements(pairs, widest.max(axis=0), level)


def _board_statements(pairs: _Pairs, widest: Floats, level: float) -> BoardStatements:
    """Statements from the (B,) largest standardised distance of any pair, stepped down."""
    distance = pairs.difference * pairs.precision
    separated = np.zeros(distance.shape, np.bool_)
    open_pairs = pairs.precision
    while True:
        critical = float(np.quantile(widest, level))
        found = distance > max(critical, 0.0)
        if not open_pairs.any() or np.array_equal(found | separated, separated):
            break
        separated |= found
        open_pairs = np.where(separated | separated.T, 0.0, pairs.precision)
        widest = _narrowed(pairs.centred, open_pairs, widest, level)
    leader = int(np.argmax(pairs.values))
    by_value = np.argsort(-pairs.values, kind="stable")
    return BoardStatements(
        separated=separated,
        tie_group=tuple(int(i) for i in by_value if not separated[leader, i]),
        difference=pairs.difference,
        se=pairs.se,
        p=_normal_p(distance),
        twins=tuple((int(i), int(j)) for i, j in np.argwhere(np.triu(pairs.se < SE_TOLERANCE, 1))),
        critical=critical,
    )


def _narrowed(centred: Floats, open_pairs: Floats, widest: Floats, level: float) -> Floats:
    """(B,) upper limits of the largest distance over the open pairs, with the same quantile at `level`.

    Fewer pairs make no distance larger, so only the replicates with the largest distances so far are worked
    out again: enough of them that no other one can reach the quantile.
    """
    order = np.argsort(-widest, kind="stable")
    drawn = len(widest)
    above = drawn - int((drawn - 1) * level)  # the quantile lies between this and the next larger one
    taken = min(2 * above, drawn)
    while True:
        some = order[:taken]
        fresh = widest_of_all(np.ascontiguousarray(centred[:, some]), open_pairs)
        if taken == drawn or np.sort(fresh)[-above] >= widest[order[taken]]:
            limits = widest.copy()
            limits[some] = fresh
            return limits
        taken = min(2 * taken, drawn)


def _normal_p(distance: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(2 * ndtr(-np.abs(distance)), np.float64)


def holm(p: ArrayLike) -> Floats:
    """(k,) p-values adjusted within a family that was named before looking (Holm 1979).

    Raises:
        ValueError: A p outside [0, 1].

    >>> holm([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.06, 0.06]
    """
    raw: NDArray[np.float64] = np.asarray(p, np.float64)
    if ((raw < 0) | (raw > 1) | np.isnan(raw)).any():
        raise ValueError("p must lie in [0, 1]")
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
