"""All entries of one track for one target: ranks, differences, duplicate predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.board.matrix import PairMatrix
from bench.board.model import SameRanking, Standing, TargetBoard
from bench.cohort.spec import BinaryTarget
from bench.metrics.discrimination import mean_rank
from bench.metrics.validation import Floats
from bench.scoring.run import EntryReplicates
from bench.scoring.scorecard import Flag, RankInputs
from bench.uncertainty.family import EntryComparisons, compare_all_pairs, holm
from bench.uncertainty.intervals import MOST_UNDEFINED

REFERENCE = "demographics"
"""Slug of the baseline that knows age and sex only; every entry is compared with it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """AUROC minus that of another entry, with an interval and a p-value adjusted as its maker says."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class RankedEntry:
    """An entry with its scorecard and what it is ranked by.

    Attributes:
        card: Its scorecard.
        computed: The ranked AUROC of each target with its replicates and influences.
        scores: Target → its stored predictions, read where two rankings are identical.
    """

    card: RankInputs
    computed: EntryReplicates
    scores: Callable[[str], Floats]

    def value(self, target: str) -> float | None:
        """The ranked AUROC; None where the target is not there or undefined."""
        return ranked_value(self.card, target)


def ranked_value(card: RankInputs, target: str) -> float | None:
    """The AUROC that is ranked, None where the target is not there or undefined."""
    found = card.target(target)
    return None if found is None else found.ranked.value


def unranked(card: RankInputs, target: str, reason: str = "") -> Standing:
    """An entry that follows the ranked ones, with the reason."""
    found = card.target(target)
    if not reason:
        reason = "no predictions for this target" if found is None else found.ranked.reason
    return Standing(
        slug=card.slug,
        auroc=ranked_value(card, target),
        rank=None,
        rank_low=None,
        rank_high=None,
        unranked_reason=reason,
    )


def target_board(
    target: BinaryTarget,
    ranked_entries: Sequence[RankedEntry],
    others: Sequence[Standing],
    level: float,
    same_ranking: tuple[SameRanking, ...] | None = None,
) -> TargetBoard:
    """Compare all entries that have an AUROC as one family; the others follow with the reason.

    Args:
        target: The target.
        ranked_entries: Entries of one track.
        others: What follows in any case.
        level: Confidence of every statement.
        same_ranking: Entries that order the images identically, where known; else predictions are read.
    """
    name = target.name
    doubts = {c.card.slug: _doubt(c, name) for c in ranked_entries}
    ranked = sorted(
        (c for c in ranked_entries if doubts[c.card.slug] is None),
        key=lambda c: (-(c.value(name) or 0.0), c.card.slug),
    )
    last = [unranked(c.card, name, d) for c in ranked_entries if (d := doubts[c.card.slug]) is not None]
    last += others
    if not ranked:
        return TargetBoard(
            target=name, label=target.label, leader=None, others_may_be_first=0, standings=tuple(last)
        )
    family = compare_all_pairs(
        np.stack([c.computed.replicates[name] for c in ranked]),
        np.array([c.computed.values[name] for c in ranked]),
        np.stack([c.computed.influences[name] for c in ranked]),
        level,
    )
    slugs = [c.card.slug for c in ranked]
    leader = _differences_from_leader(family)
    place = slugs.index(REFERENCE) if REFERENCE in slugs else None
    reference = [Difference()] * len(slugs) if place is None else _differences_from_reference(family, place)
    rank, rank_low, rank_high = family.rank, family.rank_low, family.rank_high
    may_be_first, tied = family.may_be_first, family.tied_with_leader
    standings = [
        Standing(
            slug=slug,
            auroc=float(family.values[i]),
            rank=int(rank[i]),
            rank_low=int(rank_low[i]),
            rank_high=int(rank_high[i]),
            may_be_first=bool(may_be_first[i]),
            tied_with_leader=bool(tied[i]),
            p_best=float(family.p_best[i]),
            percentile_rank_low=int(family.percentile_rank_low[i]),
            percentile_rank_high=int(family.percentile_rank_high[i]),
            difference=leader[i].value,
            difference_low=leader[i].low,
            difference_high=leader[i].high,
            p_value=leader[i].p_value,
            reference_difference=reference[i].value,
            reference_difference_low=reference[i].low,
            reference_difference_high=reference[i].high,
            reference_p_value=reference[i].p_value,
            flags=_flags(name, reference[i], float(family.values[i])),
        )
        for i, slug in enumerate(slugs)
    ]
    return TargetBoard(
        target=name,
        label=target.label,
        leader=slugs[0],
        others_may_be_first=int(may_be_first.sum()) - 1,
        standings=(*standings, *last),
        shrunken_auroc=family.shrunken_leader,
        critical=_finite(family.critical),
        pairs=PairMatrix.of(slugs, family),
        same_ranking=_same_ranking(ranked, name, family.identical_ranking)
        if same_ranking is None
        else _in_order(same_ranking, slugs),
        reference=None if place is None else REFERENCE,
    )


def _doubt(entry: RankedEntry, target: str) -> str | None:
    """Return why an entry cannot be ranked; empty if its scorecard gives the reason, None if it can be."""
    if entry.value(target) is None:
        return ""
    drawn = entry.computed.replicates[target]
    undefined = int(np.isnan(drawn).sum())
    if undefined > MOST_UNDEFINED * len(drawn) or len(drawn) - undefined < 2:
        return f"its AUROC is undefined in {undefined} of {len(drawn)} replicates, so ranks would be a guess"
    return None


def _differences_from_leader(family: EntryComparisons) -> list[Difference]:
    """Every entry minus the leader, adjusted for all pairs of the board; empty for the leader itself."""
    to = family.leader
    low, high, p = family.low[:, to], family.high[:, to], family.p_adjusted[:, to]
    return _differences(family.values - family.values[to], low, high, p, to)


def _differences_from_reference(family: EntryComparisons, to: int) -> list[Difference]:
    """Every entry minus one named beforehand: intervals by t, p-values by t adjusted by Holm's method."""
    others = np.arange(len(family.values)) != to
    p = np.ones(len(family.values))
    p[others] = holm(family.p[others, to])
    low, high = family.unadjusted_interval(to)
    return _differences(family.values - family.values[to], low, high, p, to)


def _differences(value: Floats, low: Floats, high: Floats, p: Floats, to: int) -> list[Difference]:
    return [
        Difference()
        if i == to
        else Difference(float(value[i]), _finite(low[i]), _finite(high[i]), float(p[i]))
        for i in range(len(value))
    ]


def _finite(limit: float) -> float | None:
    return float(limit) if np.isfinite(limit) else None


def _flags(target: str, reference: Difference, value: float) -> tuple[Flag, ...]:
    if reference.value is None or reference.value >= 0:
        return ()
    message = (
        f"The AUROC of {value:.3f} is below that of age and sex alone (difference {reference.value:+.3f}, "
        f"{reference.low:+.3f} to {reference.high:+.3f})."
    )
    return (Flag(code="below-age-and-sex", message=message, target=target),)


def _in_order(groups: Sequence[SameRanking], slugs: Sequence[str]) -> tuple[SameRanking, ...]:
    """Known groups in the order of the board."""
    place = {slug: i for i, slug in enumerate(slugs)}
    ordered = [g.model_copy(update={"slugs": tuple(sorted(g.slugs, key=place.__getitem__))}) for g in groups]
    return tuple(sorted(ordered, key=lambda group: place[group.slugs[0]]))


def _same_ranking(
    entries: Sequence[RankedEntry], target: str, candidates: Sequence[tuple[int, int]]
) -> tuple[SameRanking, ...]:
    """Entries that order the images identically, among the pairs whose AUROC never differs."""
    scores = {i: entries[i].scores(target) for pair in candidates for i in pair}
    ranks = {i: mean_rank(values) for i, values in scores.items()}
    groups: list[list[int]] = []
    for i in sorted(ranks):
        for group in groups:
            if np.array_equal(ranks[group[0]], ranks[i]):
                group.append(i)
                break
        else:
            groups.append([i])
    return tuple(
        SameRanking(
            slugs=tuple(entries[i].card.slug for i in group),
            identical=all(np.array_equal(scores[group[0]], scores[i]) for i in group),
        )
        for group in groups
        if len(group) > 1
    )
