"""Compares all scored entries of a cohort: rank intervals, tie groups, twins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.board.model import Board, Standing, TargetBoard, TestSet, Twins
from bench.cohort.resolution import test_resolution
from bench.cohort.spec import BinaryTarget
from bench.cohort.table import Cohort
from bench.documents import read_json
from bench.errors import BenchError, Problem
from bench.files import round_significant, sha256_file
from bench.scoring.plan import Plan
from bench.scoring.run import EntryReplicates, Plans, entry_replicates, make_plans, read_scorecard
from bench.scoring.score import LEVEL
from bench.scoring.scorecard import SCORING_VERSION, Scorecard
from bench.submission.pack import unpack
from bench.submission.store import Submission
from bench.uncertainty.intervals import t_quantile
from bench.uncertainty.ranks import board_statements, holm, rank_sets

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Scored:
    """An entry with its scorecard and its (B,) AUROC replicates by target."""

    submission: Submission
    card: Scorecard
    replicates: dict[str, Floats]


def build_board(cohort: Cohort, entries: Sequence[Submission], cache: Path) -> Board:
    """The board of all entries that hold predictions.

    Args:
        cohort: The cohort.
        entries: Stored submissions; reported ones and those not scored yet are left out.
        cache: Folder of replicates.

    Raises:
        BenchError: A scorecard is out of date, or the scorecards are not all of one seed and number of
            replicates (``board-mixed``).
    """
    scored = [e for e in entries if e.manifest.kind != "reported" and e.scorecard.exists()]
    # Hashed before they are read: a scorecard that changes meanwhile makes the board stale, not wrong.
    hashes = {e.slug: sha256_file(e.scorecard) for e in scored}
    cards = {e.slug: read_scorecard(e) for e in scored}
    replicates, seed = _settings(cards)
    plans = make_plans(cohort, scored, replicates=replicates, seed=seed)
    ranked = []
    for entry in (e for e in scored if e.manifest.track == "holdout"):
        computed = entry_replicates(plans, entry, cache)
        _require_computed(cards[entry.slug], computed)
        ranked.append(_Scored(entry, cards[entry.slug], computed.replicates))
    others = [cards[e.slug] for e in scored if e.manifest.track != "holdout"]
    plan = plans.by_track.get("holdout")
    targets = cohort.spec.binary_targets
    return Board(
        stamp=next(iter(cards.values())).stamp,
        title=cohort.spec.title,
        headline=cohort.spec.headline,
        scoring_version=SCORING_VERSION,
        seed=seed,
        replicates=replicates,
        level=LEVEL,
        test_set=_test_set(cohort),
        targets=tuple(_target_board(plan, plans, target, ranked, others) for target in targets),
        scorecards=hashes,
    )


def refuse_mixed(
    entries: Sequence[Submission], chosen: Sequence[Submission], replicates: int, seed: int
) -> None:
    """Refuses to score some entries with other draws than the rest have, before anything is written.

    Raises:
        BenchError: ``board-mixed``.
    """
    slugs = {entry.slug for entry in chosen}
    others = [e for e in entries if e.slug not in slugs and e.scorecard.exists()]
    cards = [read_json(Scorecard, e.scorecard, "scorecard-invalid") for e in others]
    if differing := [c.slug for c in cards if (c.replicates, c.seed) != (replicates, seed)]:
        message = (
            f"{len(differing)} other entries are scored with other draws than {replicates} replicates with "
            f"seed {seed}: {', '.join(differing[:5])}."
        )
        raise BenchError(Problem("board-mixed", message))


def _require_computed(card: Scorecard, computed: EntryReplicates) -> None:
    """Refuses a scorecard whose AUROC is not the one of the stored predictions on the labels at hand."""
    for target in card.targets:
        stored, now = target.metrics["auroc"].value, computed.values.get(target.target)
        if stored is not None and now is not None and round_significant(stored) != round_significant(now):
            message = (
                f"{card.slug!r}, {target.target}: the stored AUROC is {stored:.9g}, the predictions give "
                f"{now:.9g} on the labels at hand. The labels changed, or the scorecard was edited."
            )
            raise BenchError(Problem("scorecard-stale", message))


def _settings(cards: dict[str, Scorecard]) -> tuple[int, int]:
    settings = sorted({(card.replicates, card.seed) for card in cards.values()})
    if not settings:
        raise BenchError(Problem("board-empty", "No entry has predictions that could be compared."))
    if len(settings) > 1:
        found = ", ".join(f"{b} replicates with seed {seed}" for b, seed in settings)
        raise BenchError(Problem("board-mixed", f"The scorecards were computed with {found}."))
    return settings[0]


def _test_set(cohort: Cohort) -> TestSet:
    test = cohort.rows("test")
    return TestSet(
        images=len(test),
        patients=len(set(cohort.patients[test])),
        train_images=len(cohort.rows("train")),
        val_images=len(cohort.rows("val")),
        targets=test_resolution(cohort),
    )


def _target_board(
    plan: Plan | None, plans: Plans, target: BinaryTarget, entries: list[_Scored], others: list[Scorecard]
) -> TargetBoard:
    """One target: entries with an AUROC are ranked together, the others follow with the reason."""
    name = target.name
    values = {e.card.slug: _auroc(e.card, name) for e in entries}
    ranked = sorted(
        (e for e in entries if values[e.card.slug] is not None),
        key=lambda e: (-(values[e.card.slug] or 0.0), e.card.slug),
    )
    unranked = [_unranked(e.card, name) for e in entries if values[e.card.slug] is None]
    unranked += [
        _unranked(card, name, "cv5 track: scored on all patients, not on the test set") for card in others
    ]
    if plan is None or not ranked:
        return TargetBoard(
            target=name, label=target.label, leader=None, not_told_apart=0, standings=tuple(unranked)
        )
    point = np.array([values[e.card.slug] for e in ranked], np.float64)
    drawn = np.stack([e.replicates[name] for e in ranked])
    sets = rank_sets(drawn, point, LEVEL)
    statements = board_statements(drawn, point, LEVEL)
    adjusted = np.append(np.nan, holm(statements.p[1:, 0]))
    reach = t_quantile(LEVEL, np.inf)
    standings = []
    for i, entry in enumerate(ranked):
        gap, width = float(statements.difference[i, 0]), reach * float(statements.se[i, 0])
        standings.append(
            Standing(
                slug=entry.card.slug,
                auroc=float(point[i]),
                rank=sets[i].rank,
                rank_low=sets[i].low,
                rank_high=sets[i].high,
                with_leader=i in statements.tie_group,
                p_best=sets[i].p_best,
                difference=gap if i else None,
                difference_low=gap - width if i else None,
                difference_high=gap + width if i else None,
                p_value=float(adjusted[i]) if i else None,
            )
        )
    return TargetBoard(
        target=name,
        label=target.label,
        leader=ranked[0].card.slug,
        not_told_apart=len(statements.tie_group) - 1,
        standings=(*standings, *unranked),
        twins=_twins(plans, name, [e.submission for e in ranked], statements.twins),
    )


def _auroc(card: Scorecard, target: str) -> float | None:
    found = card.target(target)
    return None if found is None else found.metrics["auroc"].value


def _unranked(card: Scorecard, target: str, reason: str = "") -> Standing:
    found = card.target(target)
    if not reason:
        reason = "target not handed in" if found is None else found.metrics["auroc"].reason
    return Standing(
        slug=card.slug,
        auroc=_auroc(card, target),
        rank=None,
        rank_low=None,
        rank_high=None,
        unranked_reason=reason,
    )


def _twins(
    plans: Plans, target: str, entries: list[Submission], candidates: tuple[tuple[int, int], ...]
) -> tuple[Twins, ...]:
    """Entries that order the images identically, among the pairs whose AUROC never differs."""
    groups: list[list[int]] = []
    orders = {i: _order(plans, entries[i], target) for pair in candidates for i in pair}
    for i in sorted(orders):
        for group in groups:
            if np.array_equal(orders[group[0]][1], orders[i][1]):
                group.append(i)
                break
        else:
            groups.append([i])
    return tuple(
        Twins(
            slugs=tuple(entries[i].slug for i in group),
            identical=all(np.array_equal(orders[group[0]][0], orders[i][0]) for i in group),
        )
        for group in groups
        if len(group) > 1
    )


def _order(plans: Plans, entry: Submission, target: str) -> tuple[Floats, Floats]:
    """The entry's scores and their ranks, ties averaged."""
    from scipy.stats import rankdata

    values = unpack(entry.predictions, plans.cohort, entry.manifest.track)[target]
    return values, rankdata(values)
