"""Comparison of entries by the mean of a metric over hospitals, as one family, from standard errors alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.metrics.kernels.pairs import largest_distance
from bench.metrics.validation import Bools, Floats, Ints, check_level
from bench.uncertainty.compare import SE_TOLERANCE
from bench.uncertainty.family import critical_value
from bench.uncertainty.intervals import t_p_value

DRAWS = 10_000
"""Draws of all means from their normal distribution, for the critical value."""


@dataclass(frozen=True, slots=True, eq=False)
class SiteMeans:
    """Comparisons of S entries by their means over hospitals.

    Attributes:
        means: (S,) mean over the hospitals, each counting the same.
        se: (S, S) standard error of the difference of two means.
        p: (S, S) two-sided p-value by t, of each pair alone.
        separated: (S, S) whether entry i is significantly higher than entry j, adjusted for all pairs.
        critical: Critical value of the normal scores of the pairs.
    """

    means: Floats
    se: Floats
    p: Floats
    separated: Bools
    critical: float

    @property
    def rank(self) -> Ints:
        """(S,) 1 + number of entries with a higher mean."""
        return np.asarray(1 + (self.means > self.means[:, None]).sum(axis=1), np.int64)

    @property
    def rank_low(self) -> Ints:
        """(S,) 1 + number of entries separated above the entry."""
        return np.asarray(1 + self.separated.sum(axis=0), np.int64)

    @property
    def rank_high(self) -> Ints:
        """(S,) S - number of entries separated below the entry."""
        return np.asarray(len(self.means) - self.separated.sum(axis=1), np.int64)


def compare_site_means(values: Floats, difference_se: Floats, df: Floats, level: float = 0.95) -> SiteMeans:
    """Compare all entries by their means over hospitals whose patients are independent.

    The standard error of a pair is √(Σ d²) / K over the K hospitals, d the standard error of the difference
    within one; its degrees of freedom are Satterthwaite's, with those of the entry that has fewer in each
    hospital. The pairs are adjusted by single-step max-T as in `bench.uncertainty.family`, with normal draws
    in place of bootstrap replicates: means whose differences have these standard errors have the covariance
    -½ J D² J, J the centring matrix and D the matrix of the standard errors.

    Args:
        values: (K, S) metric of every entry at every hospital.
        difference_se: (K, S, S) standard errors of the differences within each hospital.
        df: (K, S) degrees of freedom of every value.
        level: Probability that all statements about pairs are right.

    Raises:
        ValueError: Shapes do not fit, or values are not finite.

    >>> values = np.array([[0.80, 0.70], [0.82, 0.71]])
    >>> d = np.array([[[0, 0.02], [0.02, 0]]] * 2)
    >>> compare_site_means(values, d, np.full((2, 2), 100.0)).separated.tolist()
    [[False, True], [False, False]]
    """
    from scipy.special import ndtri

    check_level(level, "level")
    sites, entries = values.shape
    if difference_se.shape != (sites, entries, entries) or df.shape != values.shape:
        raise ValueError("values, difference_se and df must be of the same hospitals and entries")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite")
    means = values.mean(axis=0)
    squares = difference_se**2
    total = squares.sum(axis=0)
    se = np.sqrt(total) / sites
    fewer = np.minimum(df[:, :, None], df[:, None, :])
    rest = (squares**2 / fewer).sum(axis=0)
    pair_df = np.divide(total**2, rest, out=np.full_like(total, np.inf), where=rest > 0)
    same = se < SE_TOLERANCE
    difference = means[:, None] - means
    p = np.ones_like(se)
    p[~same] = t_p_value(difference[~same], se[~same], pair_df[~same])
    critical = critical_value(_largest(se), level) if entries > 1 else float("inf")
    separated = (-ndtri(p / 2) > critical) & (difference > 0)
    return SiteMeans(means, se, p, separated, critical)


def _largest(se: Floats) -> Floats:
    """(DRAWS,) largest standardised difference over all pairs in every draw, ascending."""
    entries = len(se)
    centring = np.eye(entries) - 1 / entries
    spectrum, axes = np.linalg.eigh(-0.5 * centring @ se**2 @ centring)
    half = axes * np.sqrt(np.maximum(spectrum, 0))  # rounding of the errors can make some slightly negative
    normal = half @ np.random.default_rng(0).normal(size=(entries, DRAWS))
    reciprocal = np.divide(1, se, out=np.zeros_like(se), where=se >= SE_TOLERANCE)
    return np.sort(largest_distance(np.ascontiguousarray(normal), reciprocal))
