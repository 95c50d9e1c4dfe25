"""Comparison of all entries of a board as one family, with intervals, p-values and ranks that agree.

The critical value comes from the largest standardised difference over all pairs in each bootstrap replicate
(single-step max-T: Westfall & Young 1993, "Resampling-Based Multiple Testing"). Each pair is referred to its
own t distribution first, because the standard error of a difference rests on few patients where few have a
positive image. Rank intervals follow from the separated pairs (Mogstad, Romano, Shaikh & Wilhelm 2024,
"Inference for ranks with applications to mobility across neighbourhoods and academic achievement across
countries"). Higher values are better.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil, inf, isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.display import Displayed, Table
from bench.metrics.kernels.pairs import largest_distance, pair_moments, pair_squares
from bench.metrics.validation import Bools, Floats, Ints, check_level
from bench.uncertainty.compare import SE_TOLERANCE
from bench.uncertainty.intervals import influence_df, t_p_value

SIDE_MARGIN = 1e-5
"""Adjusted p-values of pairs that are not separated exceed 1 - level by at least this share of it.

So they stay on their side when they are stored with six significant digits.
"""

TINY = float(np.finfo(np.float64).tiny)
"""Least distance from 0 of an interval that excludes it."""

LARGEST_Z = 37.0
"""Normal scores are not computed beyond this one: the p-value is then below 1e-299."""


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Figures of the pairs i < j, row by row, (S(S - 1)/2,) each; see the (S, S) arrays of the same names."""

    se: Floats
    df: Floats
    p: Floats
    p_adjusted: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EntryComparisons(Displayed):
    """All pairwise comparisons of S entries, and the ranks that follow from them.

    Statements about pairs hold together with probability `level`: for every pair the adjusted interval
    excludes 0 if and only if the adjusted p-value is at most 1 - level, and if and only if the pair is
    separated. Rank intervals and `may_be_first` count separated pairs, so they never disagree with these.
    In an (S, S) array the element (i, j) is about the value of entry i minus the value of entry j.

    Attributes:
        level: Probability that all statements about pairs are right.
        values: (S,) the metric of every entry.
        separated: (S, S) whether entry i is significantly higher than entry j, adjusted for all pairs.
        critical: Critical value of the normal scores; infinite where the replicates are too few for it.
        most_df: Most degrees of freedom of a pair in adjusted intervals and p-values; see `pooled_df`.
        widest: Largest possible difference of two values, to which limits are clipped.
        p_best: (S,) share of replicates in which the entry is first, ties shared: stability, not confidence.
        percentile_rank_low: (S,) best rank within the middle `level` of the replicates: stability too.
        percentile_rank_high: (S,) worst rank within them.
        shrunken_leader: Value of the leader less its expected gain from being chosen; see `shrunken_best`.
        replicates: Replicates that are defined for every entry.
        patients: Patients behind the influences.
        pairs: The pairs i < j.
    """

    level: float
    values: Floats
    separated: Bools = field(repr=False)
    critical: float
    most_df: float
    widest: float
    p_best: Floats
    percentile_rank_low: Ints
    percentile_rank_high: Ints
    shrunken_leader: float
    replicates: int
    patients: int
    pairs: _Pairs = field(repr=False)

    def __repr__(self) -> str:
        first = ", ".join(map(str, np.flatnonzero(self.may_be_first)))
        return f"<EntryComparisons of {len(self.values)} entries; may be first: {first}>"

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each entry: its position, value, rank interval and whether it may be first."""
        columns = {
            "entry": np.arange(len(self.values)),
            "value": self.values,
            "rank": self.rank,
            "rank_low": self.rank_low,
            "rank_high": self.rank_high,
            "may_be_first": self.may_be_first,
            "p_best": self.p_best,
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def tables(self) -> tuple[Table, ...]:
        """Return one table, a row for each entry by rank."""
        rows = tuple(
            (
                str(row["entry"]),
                f"{row['value']:.4g}",
                str(row["rank"]),
                f"{row['rank_low']} to {row['rank_high']}",
                "yes" if row["may_be_first"] else "no",
            )
            for row in sorted(self.records(), key=lambda row: row["rank"])
        )
        columns = ("entry", "value", "rank", "rank interval", "may be first")
        return (Table(f"{len(rows)} entries compared", columns, rows),)

    @property
    def difference(self) -> Floats:
        """(S, S) differences of the values."""
        return self.values[:, None] - self.values

    @property
    def se(self) -> Floats:
        """(S, S) standard error of the difference; 0 for identical rankings."""
        return self._square(self.pairs.se, self.pairs.se, 0)

    @property
    def df(self) -> Floats:
        """(S, S) degrees of freedom of the difference, from the patients' influences."""
        return self._square(self.pairs.df, self.pairs.df, max(self.patients - 1, 1))

    @property
    def p(self) -> Floats:
        """(S, S) two-sided p-value by t, unadjusted; 1 for entries with identical ranking."""
        return self._square(self.pairs.p, self.pairs.p, 1)

    @property
    def p_adjusted(self) -> Floats:
        """(S, S) p-value adjusted for all pairs, never below `p`."""
        return self._square(self.pairs.p_adjusted, self.pairs.p_adjusted, 1)

    @property
    def low(self) -> Floats:
        """(S, S) lower limit of the interval adjusted for all pairs."""
        return self._square(self.pairs.low, 0.0 - self.pairs.high, 0)

    @property
    def high(self) -> Floats:
        """(S, S) upper limit of the interval adjusted for all pairs."""
        return self._square(self.pairs.high, 0.0 - self.pairs.low, 0)

    def _square(self, above: Floats, below: Floats, diagonal: float) -> Floats:
        """(S, S) array from its elements above the diagonal, and those of the same pairs below it."""
        entries = len(self.values)
        square = np.full((entries, entries), float(diagonal))
        upper = np.triu_indices(entries, 1)
        square[upper], square.T[upper] = above, below
        return square

    def unadjusted_interval(self, entry: int) -> tuple[Floats, Floats]:
        """(S,) lower and (S,) upper limits of every value minus that of `entry`, by t, for one pair alone."""
        from scipy.special import stdtrit

        half_width = stdtrit(self.df[:, entry], (1 + self.level) / 2) * self.se[:, entry]
        difference = self.values - self.values[entry]
        return _clipped(difference - half_width, difference + half_width, self.widest)

    @property
    def leader(self) -> int:
        """Index of the highest value; of the first one where several are equal."""
        return int(np.argmax(self.values))

    @property
    def rank(self) -> Ints:
        """(S,) 1 + number of entries with a higher value."""
        ascending = np.sort(self.values)
        return 1 + len(ascending) - np.searchsorted(ascending, self.values, side="right")

    @property
    def rank_low(self) -> Ints:
        """(S,) 1 + number of entries that are separated above the entry."""
        return np.asarray(1 + self.separated.sum(axis=0), np.int64)

    @property
    def rank_high(self) -> Ints:
        """(S,) S - number of entries that are separated below the entry."""
        return np.asarray(len(self.values) - self.separated.sum(axis=1), np.int64)

    @property
    def may_be_first(self) -> Bools:
        """(S,) whether no entry is separated above the entry; true of the leader."""
        return np.asarray(~self.separated.any(axis=0))

    @property
    def tied_with_leader(self) -> Bools:
        """(S,) whether the leader is not separated above the entry; true of every entry that may be first."""
        return np.asarray(~self.separated[self.leader])

    @property
    def identical_ranking(self) -> tuple[tuple[int, int], ...]:
        """Pairs (i, j), i < j, whose difference is the same in every replicate."""
        upper = np.stack(np.triu_indices(len(self.values), 1), axis=1)
        return tuple((int(i), int(j)) for i, j in upper[self.pairs.se == 0])


def compare_all_pairs(
    replicates: ArrayLike,
    values: ArrayLike,
    influences: ArrayLike,
    level: float = 0.95,
    *,
    bounds: tuple[float, float] = (-inf, inf),
) -> EntryComparisons:
    """Compare all entries of a board with each other, as one family.

    1. The difference d of a pair has the standard error se = s·√(P / (P - 1)) with s the standard deviation
       of the difference over the replicates. Below 1e-12 the rankings are identical: p = 1, never separated.
    2. Its degrees of freedom come from the difference of the two entries' patient influences (Satterthwaite).
    3. Its normal score z = -Φ⁻¹(p / 2), with p the two-sided p-value of d / se by t. Here and in step 6 the
       degrees of freedom are at most those of `pooled_df`: among many pairs the standard errors of some are
       too small by chance, and the degrees of freedom of the same pairs are too many.
    4. In every replicate the largest |replicate of the difference - d| / s over all pairs; the critical value
       c is the ⌈level·(B + 1)⌉-th smallest of these B, and at least Φ⁻¹((1 + level) / 2).
    5. A pair is separated if z > c.
    6. Interval: d ± T⁻¹(Φ(c))·se, clipped to the range of differences. Adjusted p: the share (1 + number of
       replicates with a maximum of at least z) / (B + 1), and at least the unadjusted p.

    Replicates that are undefined for some entry are left out for all.

    Args:
        replicates: (S, B) a metric of every entry in the same bootstrap replicates, higher is better.
        values: (S,) the metric of every entry.
        influences: (S, P) influence of every patient on the metric of every entry.
        level: Probability that all statements about pairs are right.
        bounds: Range of the metric, such as (0, 1) for an AUROC.

    Raises:
        ValueError: No entry, shapes do not fit, values or influences are not finite, values are out of
            bounds, or fewer than two replicates are defined.

    >>> rng = np.random.default_rng(0)
    >>> values, influences = np.array([0.80, 0.79, 0.60]), rng.normal(size=(3, 400)) / 1000
    >>> replicates = values[:, None] + 0.02 * rng.normal(size=(3, 500))
    >>> family = compare_all_pairs(replicates, values, influences)
    >>> family.rank.tolist(), family.rank_low.tolist(), family.rank_high.tolist()
    ([1, 2, 3], [1, 1, 3], [2, 2, 3])
    >>> family.may_be_first.tolist()
    [True, True, False]
    """
    check_level(level, "level")
    point, defined, influence = _checked(replicates, values, influences)
    if point.min() < bounds[0] or point.max() > bounds[1]:
        raise ValueError(f"values must lie between {bounds[0]:g} and {bounds[1]:g}")
    patients, total, widest = influence.shape[1], defined.shape[1], bounds[1] - bounds[0]
    upper = np.triu_indices(len(point), 1)
    with ThreadPoolExecutor(1) as beside:  # the loops over pairs hold no lock
        moments = beside.submit(pair_moments, influence)
        squares = pair_squares(defined - defined.mean(axis=1, keepdims=True))
        spread = np.sqrt(squares / (total - 1))
        maxima = np.sort(largest_distance(defined - point[:, None], _reciprocal(spread)))
    critical = critical_value(maxima, level)
    same = spread[upper] < SE_TOLERANCE
    se = np.where(same, 0, spread[upper] * np.sqrt(patients / max(patients - 1, 1)))
    squares, fourths = moments.result()
    df = influence_df(squares[upper], fourths[upper], patients)
    del spread, squares, fourths
    difference = point[upper[0]] - point[upper[1]]
    p = t_p_value(difference, se, df)
    most_df = pooled_df(df, se)
    capped = df > most_df
    family_p = p.copy()
    family_p[capped] = t_p_value(difference[capped], se[capped], most_df)
    z = _normal_score(family_p)
    is_separated = z > critical
    adjusted = _adjusted_p(p, z, maxima, is_separated, level)
    adjusted[same] = 1
    higher, lower = is_separated & (difference > 0), is_separated & (difference < 0)
    half_width = _half_width(se, df, most_df, critical)
    low, high = difference - half_width, difference + half_width
    if isfinite(critical):
        low, high = _clipped(low, high, widest)
    low = np.where(higher, np.maximum(low, TINY), np.where(lower, low, np.minimum(low, 0)))
    high = np.where(lower, np.minimum(high, -TINY), np.where(higher, high, np.maximum(high, 0)))
    separated = np.zeros((len(point), len(point)), np.bool_)
    separated[upper], separated.T[upper] = higher, lower
    rank_low, rank_high = _percentile_ranks(defined, level)
    return EntryComparisons(
        level=level,
        values=point,
        separated=separated,
        critical=critical,
        most_df=most_df,
        widest=widest,
        p_best=_best_share(defined),
        percentile_rank_low=rank_low,
        percentile_rank_high=rank_high,
        shrunken_leader=shrunken_best(defined, point),
        replicates=total,
        patients=patients,
        pairs=_Pairs(se, df, p, adjusted, low, high),
    )


def _adjusted_p(p: Floats, z: Floats, maxima: Floats, is_separated: Bools, level: float) -> Floats:
    """Return each pair's p-value adjusted for all pairs, below 1 - level exactly where it is separated."""
    at_least = len(maxima) - np.searchsorted(maxima, z, side="left")
    adjusted = np.maximum((1 + at_least) / (len(maxima) + 1), p)
    limit = _significance(level)
    above = limit * (1 + SIDE_MARGIN)
    return np.where(is_separated, np.minimum(adjusted, limit), np.maximum(adjusted, above))


def _half_width(se: Floats, df: Floats, most_df: float, critical: float) -> Floats:
    """Return T⁻¹(Φ(critical))·se with at most `most_df` degrees of freedom; 0 for identical rankings."""
    from scipy.special import ndtr, stdtrit

    lower_tail = ndtr(-critical)
    quantile = np.full_like(se, stdtrit(most_df, lower_tail))
    own = df <= most_df
    quantile[own] = stdtrit(df[own], lower_tail)
    return np.multiply(np.abs(quantile), se, out=np.zeros_like(se), where=se > 0)


def _clipped(low: Floats, high: Floats, widest: float) -> tuple[Floats, Floats]:
    """Limits of differences, none beyond the widest difference."""
    return np.maximum(low, -widest), np.minimum(high, widest)


def _reciprocal(spread: Floats) -> Floats:
    """1 / spread, and 0 for pairs with identical ranking."""
    return np.divide(1, spread, out=np.zeros_like(spread), where=spread >= SE_TOLERANCE)


def _checked(
    replicates: ArrayLike, values: ArrayLike, influences: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Values, the replicates that are defined for every entry, and influences."""
    by_entry, point = np.asarray(replicates, np.float64), np.asarray(values, np.float64)
    influence = np.asarray(influences, np.float64)
    if (
        point.ndim != 1
        or by_entry.ndim != 2
        or influence.ndim != 2
        or not (len(by_entry) == len(influence) == len(point))
    ):
        raise ValueError(
            "replicates must be (entries, B), values (entries,) and influences (entries, patients), not "
            f"{by_entry.shape}, {point.shape}, {influence.shape}"
        )
    if not len(point):
        raise ValueError("no entries")
    if not np.isfinite(point).all():
        raise ValueError("values must be finite: leave out entries without a value")
    if not np.isfinite(influence).all() or not influence.shape[1]:
        raise ValueError("influences must be finite, with one column for every patient")
    by_entry = np.ascontiguousarray(by_entry[:, np.isfinite(by_entry).all(axis=0)])
    if by_entry.shape[1] < 2:
        raise ValueError("fewer than two replicates are defined for every entry")
    return point, by_entry, np.ascontiguousarray(influence)


def pooled_df(df: Floats, se: Floats) -> float:
    """Degrees of freedom of a typical pair: the harmonic mean over all pairs, weighted by standard error.

    The relative variance of a variance with ν degrees of freedom is 2/ν, so the mean is taken of 1/ν. The
    weights keep pairs of nearly identical entries, which differ on few patients, from lowering it.

    Args:
        df: Degrees of freedom of each pair.
        se: Standard errors of the same shape, 0 for identical rankings.

    Returns:
        The mean; infinite where all standard errors are 0.
    """
    total = float(se.sum())
    return total / float((se / df).sum()) if total > 0 else float("inf")


def critical_value(maxima: Floats, level: float) -> float:
    """The ⌈level·(B + 1)⌉-th smallest maximum, and at least the normal quantile of a single comparison.

    Infinite where B is too small for this level: 19 replicates are needed for 95%.

    Args:
        maxima: (B,) largest standardised difference of each replicate, ascending.
        level: Probability that all statements about pairs are right.
    """
    from scipy.special import ndtri

    place = ceil(level * (len(maxima) + 1) - 1e-9)
    if place > len(maxima):
        return float("inf")
    return float(max(maxima[place - 1], ndtri((1 + level) / 2)))


def _significance(level: float) -> float:
    """1 - level without the rounding of the subtraction, so that 0.95 gives 0.05."""
    return round(1 - level, 12)


def _normal_score(p: Floats) -> Floats:
    from scipy.special import ndtri

    return np.asarray(np.minimum(-ndtri(p / 2), LARGEST_Z), np.float64)


def shrunken_best(replicates: Floats, values: Floats) -> float:
    """The highest value, less its expected gain from being chosen as the highest (winner's curse).

    In each replicate the entry with the highest replicate is chosen, and its replicate exceeds its value by
    some amount; the mean of that excess over the replicates estimates the excess of the leader's value over
    its truth. Entries that are equally high in a replicate share it.

    Args:
        replicates: (S, B) a metric of every entry in the same bootstrap replicates.
        values: (S,) the metric of every entry.
    """
    first = _first(replicates)
    excess = (first * (replicates - values[:, None])).sum(axis=0) / first.sum(axis=0)
    return float(values.max() - excess.mean())


def _first(replicates: Floats) -> Bools:
    """(S, B) whether an entry is first in a replicate; several are where they are equal."""
    return np.asarray(replicates >= replicates.max(axis=0) - SE_TOLERANCE)


def _best_share(replicates: Floats) -> Floats:
    """(S,) share of replicates in which each entry is first, ties shared."""
    first = _first(replicates)
    return np.asarray((first / first.sum(axis=0)).mean(axis=1))


def _percentile_ranks(replicates: Floats, level: float) -> tuple[Ints, Ints]:
    """(S,) and (S,) the ranks, 1 + entries above, between which an entry stays in `level` of replicates."""
    descending = np.ascontiguousarray(-replicates.T)
    order = np.argsort(descending, axis=1)
    ranked = np.take_along_axis(descending, order, axis=1)
    first = np.ones(descending.shape, np.bool_)
    first[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    place = np.arange(1, len(replicates) + 1, dtype=np.int32)
    rank = np.maximum.accumulate(np.where(first, place, 0), axis=1)
    ranks = np.empty_like(rank)
    np.put_along_axis(ranks, order, rank, axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(ranks, [tail, 1 - tail], axis=0, method="inverted_cdf")
    return low.astype(np.int64), high.astype(np.int64)


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
