"""All entries of one track for one target: rank intervals, tie group, differences, twins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.board.model import Standing, TargetBoard, Twins
from bench.cohort.spec import BinaryTarget
from bench.metrics.discrimination import mean_rank
from bench.metrics.validation import Floats
from bench.scoring.scorecard import Flag, RankInputs
from bench.uncertainty.intervals import MOST_UNDEFINED, t_quantile
from bench.uncertainty.ranks import BoardStatements, holm, ranks_and_statements

REFERENCE = "demographics"
"""Slug of the baseline that knows age and sex only; every entry is compared with it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """AUROC minus that of another entry; `p_value` is Holm-adjusted within its family."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class RankedEntry:
    """An entry with its scorecard and what it is ranked by.

    Attributes:
        card: Its scorecard.
        replicates: Target → (B,) replicates of the ranked AUROC.
        scores: Target → its stored predictions, read when twins are looked for.
    """

    card: RankInputs
    replicates: dict[str, Floats]
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
        reason = "target not handed in" if found is None else found.ranked.reason
    return Standing(
        slug=card.slug,
        auroc=ranked_value(card, target),
        rank=None,
        rank_low=None,
        rank_high=None,
        unranked_reason=reason,
    )


def target_board(
    target: BinaryTarget, ranked_entries: Sequence[RankedEntry], others: Sequence[Standing], level: float
) -> TargetBoard:
    """Ranks all contenders that have an AUROC together; the others follow with the reason.

    Args:
        target: The target.
        ranked_entries: Entries of one track.
        others: What follows in any case.
        level: Confidence of every statement.
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
            target=name, label=target.label, leader=None, not_told_apart=0, standings=tuple(last)
        )
    values = np.array([c.value(name) for c in ranked], np.float64)
    drawn = np.stack([c.replicates[name] for c in ranked])
    sets, statements = ranks_and_statements(drawn, values, level)
    slugs = [c.card.slug for c in ranked]
    first = _differences(statements, 0, level)
    place = slugs.index(REFERENCE) if REFERENCE in slugs else None
    reference = [Difference()] * len(slugs) if place is None else _differences(statements, place, level)
    standings = [
        Standing(
            slug=slug,
            auroc=float(values[i]),
            rank=found.rank,
            rank_low=found.low,
            rank_high=found.high,
            with_leader=i in statements.tie_group,
            p_best=found.p_best,
            usual_rank_low=found.usual_low,
            usual_rank_high=found.usual_high,
            difference=first[i].value,
            difference_low=first[i].low,
            difference_high=first[i].high,
            p_value=first[i].p_value,
            reference_difference=reference[i].value,
            reference_difference_low=reference[i].low,
            reference_difference_high=reference[i].high,
            reference_p_value=reference[i].p_value,
            flags=_flags(name, reference[i], float(values[i])),
        )
        for i, (slug, found) in enumerate(zip(slugs, sets, strict=True))
    ]
    return TargetBoard(
        target=name,
        label=target.label,
        leader=slugs[0],
        not_told_apart=len(statements.tie_group) - 1,
        standings=(*standings, *last),
        twins=_twins(ranked, name, statements.twins),
        reference=None if place is None else REFERENCE,
    )


def _doubt(contender: RankedEntry, target: str) -> str | None:
    """Why an entry cannot be ranked: empty where its scorecard says why there is no AUROC; None if it can."""
    if contender.value(target) is None:
        return ""
    drawn = contender.replicates[target]
    undefined = int(np.isnan(drawn).sum())
    if undefined > MOST_UNDEFINED * len(drawn) or len(drawn) - undefined < 2:
        return f"its AUROC is undefined in {undefined} of {len(drawn)} replicates, so ranks would be a guess"
    return None


def _differences(statements: BoardStatements, to: int, level: float) -> list[Difference]:
    """Every entry against one, p-values adjusted by Holm within this family; empty for the one itself."""
    family = [i for i in range(len(statements.se)) if i != to]
    adjusted = dict(zip(family, holm(statements.p[family, to]), strict=True))
    reach = t_quantile(level, np.inf)
    found = [Difference()] * len(statements.se)
    for i in family:
        gap, width = float(statements.difference[i, to]), reach * float(statements.se[i, to])
        found[i] = Difference(value=gap, low=gap - width, high=gap + width, p_value=float(adjusted[i]))
    return found


def _flags(target: str, reference: Difference, value: float) -> tuple[Flag, ...]:
    if reference.value is None or reference.value >= 0:
        return ()
    message = (
        f"The AUROC of {value:.3f} is below that of age and sex alone (difference {reference.value:+.3f}, "
        f"{reference.low:+.3f} to {reference.high:+.3f})."
    )
    return (Flag(code="below-age-and-sex", message=message, target=target),)


def _twins(
    entries: Sequence[RankedEntry], target: str, candidates: Sequence[tuple[int, int]]
) -> tuple[Twins, ...]:
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
        Twins(
            slugs=tuple(entries[i].card.slug for i in group),
            identical=all(np.array_equal(scores[group[0]], scores[i]) for i in group),
        )
        for group in groups
        if len(group) > 1
    )
