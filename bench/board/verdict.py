"""Verdicts on the pairwise comparisons of a board, and their statistical power."""

from __future__ import annotations

from enum import StrEnum
from math import erf, inf, sqrt
from statistics import median

from bench.board.matrix import PairComparison, PairMatrix

SUGGESTIVE_P = 0.05
"""Unadjusted p-value below which a pair would be separated if it were the only comparison."""


class Verdict(StrEnum):
    """Evidence that one entry of a pair is higher."""

    SEPARATED = "separated"
    SUGGESTIVE = "suggestive"
    CHANCE = "could be chance"


def pair_verdict(pair: PairComparison) -> Verdict:
    """Separated, adjusted for all pairs; suggestive, for this pair alone; or neither."""
    if pair.low is not None and pair.high is not None and (pair.low > 0 or pair.high < 0):
        return Verdict.SEPARATED
    return Verdict.SUGGESTIVE if pair.p < SUGGESTIVE_P else Verdict.CHANCE


def half_width(pair: PairComparison) -> float | None:
    """Half of the adjusted interval of a pair; None where it has none, or the rankings are identical."""
    if pair.low is None or pair.high is None:
        return None
    return (pair.high - pair.low) / 2 or None


def confirmable_lead(pairs: PairMatrix | None) -> float | None:
    """The lead over the first entry that would be separated: median half-width of its adjusted intervals.

    None without a pair that has an interval.
    """
    if pairs is None or len(pairs.slugs) < 2:
        return None
    leader, *others = pairs.slugs
    widths = [width for other in others if (width := half_width(pairs.pair(leader, other)))]
    return median(widths) if widths else None


def power(lead: float, half: float, critical: float) -> float:
    """Probability that a true lead is separated, by the normal approximation.

    Args:
        lead: True difference in AUROC.
        half: Half-width of the adjusted interval.
        critical: Critical value behind the half-width, so that the standard error is `half` / `critical`.
    """
    return (1 + erf((lead - half) * critical / (half * sqrt(2)))) / 2


def lead_of_power(wanted: float, half: float, critical: float) -> float:
    """The true lead that is separated with probability `wanted`, by bisection of `power`."""
    low, high = 0.0, 10 * half
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, half, critical) < wanted else (low, middle)
    return high


def times_the_patients(pair: PairComparison) -> float | None:
    """Return the factor by which more patients would separate a pair with the same difference, or None."""
    width = half_width(pair)
    if width is None or pair.difference == 0:
        return None
    needed = (width / pair.difference) ** 2
    return needed if needed < inf else None
