"""All entries of one track for one target: ranks, differences, duplicate predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.board.matrix import PairMatrix
from bench.board.model import SameRanking, Standing, TargetBoard
from bench.cohort.spec import BinaryTarget
from bench.metrics import registry
from bench.metrics.discrimination import mean_rank
from bench.metrics.validation import Floats
from bench.scoring.run import EntryReplicates
from bench.scoring.scorecard import Flag, RankInputs
from bench.submission.similarity import find_similar
from bench.uncertainty.family import EntryComparisons, compare_all_pairs, holm
from bench.uncertainty.intervals import MOST_UNDEFINED

REFERENCE = "demographics"
"""Slug of the baseline that knows age and sex only; every entry is compared with it."""

SIMILAR = "similar-predictions"
"""Code of the flag of predictions that are nearly those of another entry."""

CHANCE = 0.5
IMPLAUSIBLE = 0.99
"""AUROC above which an entry is flagged: two readers of one echocardiogram differ by more."""
SIMILAR_INFLUENCES = 0.9
"""Correlation of the influences of two entries above which their predictions are compared."""


@dataclass(frozen=True, slots=True)
class Difference:
    """AUROC minus that of another entry, with an interval and a p-value adjusted as its maker says."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class KnownCopies:
    """Copies named on a stored board, for ranking its entries again without their predictions.

    Attributes:
        same_ranking: Groups of entries that order the images identically.
        similar: Slug → flags of predictions that are nearly those of another entry.
    """

    same_ranking: tuple[SameRanking, ...] = ()
    similar: Mapping[str, tuple[Flag, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RankedEntry:
    """An entry with its scorecard and what it is ranked by.

    Attributes:
        card: Its scorecard.
        computed: The ranked AUROC of each target with its replicates and influences.
        scores: Target → its stored predictions, read where two rankings are identical or similar.
        team: Key of its team; empty for baselines and where no team is stated.
    """

    card: RankInputs
    computed: EntryReplicates
    scores: Callable[[str], Floats]
    team: str = ""

    def value(self, target: str) -> float | None:
        """The ranked AUROC; None where the target is not there or undefined."""
        return ranked_value(self.card, target)


def ranked_value(card: RankInputs, target: str) -> float | None:
    """The AUROC that is ranked, None where the target is not there or undefined."""
    scores = card.target(target)
    return None if scores is None else scores.ranked.value


def unranked(card: RankInputs, target: str, reason: str = "") -> Standing:
    """An entry that follows the ranked ones, with the reason."""
    scores = card.target(target)
    if not reason:
        reason = "no predictions for this target" if scores is None else scores.ranked.reason
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
    *,
    one_per_team: bool = False,
    known: KnownCopies | None = None,
) -> TargetBoard:
    """Compare all entries that are separated from chance as one family; the others follow with the reason.

    Entries with the same ranking of the images are one member of the family, so that copies change no other
    entry's rank or p-value.

    Args:
        target: The target.
        ranked_entries: Entries of one track.
        others: What follows in any case.
        level: Confidence of every statement.
        one_per_team: Whether only the highest entry of each team is ranked.
        known: What an earlier board says of copies, where predictions are not to be read.
    """
    name = target.name
    doubts = {c.card.slug: _doubt(c, name) for c in ranked_entries}
    by_value = sorted(
        (c for c in ranked_entries if doubts[c.card.slug] is None),
        key=lambda c: (-(c.value(name) or 0.0), c.card.slug),
    )
    copies = _same_replicates(by_value, name)
    if one_per_team:
        doubts |= _later_of_teams(by_value)
    ranked = [c for c in by_value if c.card.slug not in copies and doubts[c.card.slug] is None]
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
        bounds=registry.metric("auroc").bounds,
    )
    slugs = [c.card.slug for c in ranked]
    by_slug = {standing.slug: standing for standing in _standings(name, slugs, family)}
    standings = [
        by_slug[copies.get(c.card.slug, c.card.slug)].model_copy(update={"slug": c.card.slug})
        for c in by_value
        if doubts[c.card.slug] is None and copies.get(c.card.slug, c.card.slug) in by_slug
    ]
    similar: Mapping[str, tuple[Flag, ...]]
    if known is None:
        similar = _similar(by_value, name)
        same_ranking = _same_ranking(by_value, name, _pairs_of(by_value, copies))
    else:
        similar = known.similar
        same_ranking = _in_order(known.same_ranking, [c.card.slug for c in by_value])
    implausible = _implausible(by_value, name)
    return TargetBoard(
        target=name,
        label=target.label,
        leader=slugs[0],
        others_may_be_first=sum(standing.may_be_first for standing in standings) - 1,
        standings=tuple(
            s.model_copy(update={"flags": (*s.flags, *implausible.get(s.slug, ()), *similar.get(s.slug, ()))})
            for s in (*standings, *last)
        ),
        shrunken_auroc=family.shrunken_leader,
        critical=_finite(family.critical),
        pairs=PairMatrix.of(slugs, family),
        same_ranking=same_ranking,
        reference=REFERENCE if REFERENCE in slugs else None,
    )


def _standings(target: str, slugs: Sequence[str], family: EntryComparisons) -> list[Standing]:
    """Return where each member of the family stands, with its differences from leader and reference."""
    leader = _differences_from_leader(family)
    reference = (
        _differences_from_reference(family, slugs.index(REFERENCE))
        if REFERENCE in slugs
        else [Difference()] * len(slugs)
    )
    rank, rank_low, rank_high = family.rank, family.rank_low, family.rank_high
    may_be_first, tied = family.may_be_first, family.tied_with_leader
    return [
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
            flags=_flags(target, reference[i], float(family.values[i])),
        )
        for i, slug in enumerate(slugs)
    ]


AT_CHANCE = "not separated from chance"
"""Reason for no rank, before the figures that show it."""


def _doubt(entry: RankedEntry, target: str) -> str | None:
    """Return why an entry cannot be ranked; empty if its scorecard gives the reason, None if it can be."""
    if entry.value(target) is None:
        return ""
    replicates = entry.computed.replicates[target]
    undefined = int(np.isnan(replicates).sum())
    if undefined > MOST_UNDEFINED * len(replicates) or len(replicates) - undefined < 2:
        total = len(replicates)
        return f"its AUROC is undefined in {undefined} of {total} replicates, so ranks would be a guess"
    scores = entry.card.target(target)
    if scores is not None and scores.ranked.value == CHANCE:
        return "its AUROC is that of chance, 0.5"
    low, high = (scores.ranked.low, scores.ranked.high) if scores is not None else (None, None)
    if low is not None and high is not None and low <= CHANCE <= high:
        return f"{AT_CHANCE}: the CI of its AUROC, {low:.3f} to {high:.3f}, contains 0.5"
    return None


def _same_replicates(entries: Sequence[RankedEntry], target: str) -> dict[str, str]:
    """Slug → slug of the first entry with the same AUROC in every replicate, for all but these first ones."""
    first: dict[bytes, str] = {}
    copies = {}
    for entry in entries:
        key = np.round(entry.computed.replicates[target], 10).tobytes()
        earlier = first.setdefault(key, entry.card.slug)
        if earlier != entry.card.slug:
            copies[entry.card.slug] = earlier
    return copies


def _pairs_of(entries: Sequence[RankedEntry], copies: dict[str, str]) -> list[tuple[int, int]]:
    """Indices of each copy and of the entry that it is a copy of."""
    places = {entry.card.slug: place for place, entry in enumerate(entries)}
    return [(places[first], places[copy]) for copy, first in copies.items()]


def _later_of_teams(entries: Sequence[RankedEntry]) -> dict[str, str]:
    """Slug → why it is not ranked, for all but the first of these entries of each team."""
    first: dict[str, str] = {}
    reasons = {}
    for entry in entries:
        if entry.team and (earlier := first.setdefault(entry.team, entry.card.slug)) != entry.card.slug:
            reasons[entry.card.slug] = f"one entry of each team is ranked: {earlier}"
    return reasons


def _implausible(entries: Sequence[RankedEntry], target: str) -> dict[str, tuple[Flag, ...]]:
    """Return a flag for each entry whose AUROC is above `IMPLAUSIBLE`, by slug."""
    flags: dict[str, tuple[Flag, ...]] = {}
    for entry in entries:
        if (value := entry.value(target)) is not None and value > IMPLAUSIBLE:
            message = (
                f"An AUROC of {value:.4f} is higher than a second reading of the echocardiograms would reach."
            )
            flags[entry.card.slug] = (Flag(code="implausible-auroc", message=message, target=target),)
    return flags


def _similar(entries: Sequence[RankedEntry], target: str) -> dict[str, tuple[Flag, ...]]:
    """Return flags of entries whose predictions are nearly those of another team's entry, by slug.

    Predictions are read only of pairs whose influences on the AUROC have a high correlation.
    """
    flags: dict[str, tuple[Flag, ...]] = {}
    if len(entries) < 2:
        return flags
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.corrcoef(np.stack([e.computed.influences[target] for e in entries]))
    candidates = np.argwhere(np.triu(correlation > SIMILAR_INFLUENCES, 1)).tolist()
    scores: dict[int, Floats] = {}
    for i, j in candidates:
        if entries[i].team == entries[j].team:
            continue
        for k in (i, j):
            if k not in scores:
                scores[k] = entries[k].scores(target)
        for similarity in find_similar(scores[i], scores[j][None]):
            for own, other in ((i, j), (j, i)):
                message = (
                    f"Predictions nearly equal to those of {entries[other].card.slug}: rank correlation "
                    f"{similarity.rank_correlation:.4f}, R² {similarity.r_squared:.4f}."
                )
                flag = Flag(code=SIMILAR, message=message, target=target)
                slug = entries[own].card.slug
                flags[slug] = (*flags.get(slug, ()), flag)
    return flags


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
