"""Boards from scorecards and replicates: all entries of a track are compared as one family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ConfigDict

from bench.board.model import Board, SameRanking, TargetBoard, TestSet
from bench.board.ranking import RankedEntry, target_board, unranked
from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.spec import BinaryTarget, CohortSpec
from bench.cohort.studies import unit_cohort
from bench.cohort.summary import test_resolution
from bench.documents import Document
from bench.environment import usable_cores
from bench.errors import BenchError, Problem
from bench.files import round_significant, sha256_file
from bench.metrics.validation import Floats
from bench.sandbox.reader import read_document
from bench.scoring.run import (
    EntryReplicates,
    Plans,
    entry_replicates,
    make_plans,
    write_replicate_index,
)
from bench.scoring.score import LEVEL
from bench.scoring.scorecard import SCORING_VERSION, RankInputs, hashed_scorecard
from bench.submission.manifest import Retraction
from bench.submission.packed import unpack_units
from bench.submission.store import Submission

ELSEWHERE = "cv5 track: scored on all patients, not on the test set"


def build_board(
    cohort: Cohort, entries: Sequence[Submission], cache: Path, made: Plans | None = None
) -> Board:
    """The board of all entries that hold predictions.

    Args:
        cohort: The cohort.
        entries: Stored submissions; reported ones and those not scored yet are left out.
        cache: Folder of replicates.
        made: Plans that were made already, for scoring.

    Raises:
        BenchError: A scorecard is out of date, or the scorecards are not all of one seed and number of
            replicates (``board-mixed``).
    """
    scored = [e for e in entries if e.manifest.kind != "reported" and e.scorecard.exists()]
    targets = cohort.spec.binary_targets
    # Hashing, reading and the loops over pairs hold no lock; with a thread a target no core is left over.
    with ThreadPoolExecutor(max(usable_cores(), len(targets))) as pool:
        read = list(pool.map(lambda entry: hashed_scorecard(entry, RankInputs), scored))
        cards = {entry.slug: card for entry, (card, _) in zip(scored, read, strict=True)}
        replicates, seed = _settings(cards)
        plans = make_plans(cohort, scored, replicates=replicates, seed=seed, reuse=made)
        contenders = list(pool.map(lambda entry: _contender(plans, entry, cards[entry.slug], cache), scored))
        write_replicate_index(plans, {cards[e.slug].predictions_sha256: e for e in scored}, cache)
        retracted = _retractions(scored)
        boards, cv5 = _rank(targets, contenders, retracted, pool)
    return Board(
        stamp=next(iter(cards.values())).stamp,
        title=cohort.spec.title,
        headline=cohort.spec.headline,
        scoring_version=SCORING_VERSION,
        seed=seed,
        replicates=replicates,
        level=LEVEL,
        test_set=_test_set(cohort),
        targets=boards,
        cv5=cv5,
        scorecards={card.slug: sha256 for card, sha256 in read},
        retracted=retracted,
    )


def rank_again(
    stored: Board,
    spec: CohortSpec,
    entries: Sequence[Submission],
    replicates: Mapping[str, EntryReplicates],
    renamed: Mapping[str, str],
) -> Board:
    """Rank the entries of a stored board again, without the data.

    Args:
        stored: The board; its test set, its draws and its groups of equal rankings stay.
        spec: The cohort's spec.
        entries: Stored submissions; reported ones and those not scored yet are left out.
        replicates: SHA-256 of predictions → replicates.
        renamed: Slug on the stored board → slug now, where it differs.

    Raises:
        BenchError: A scorecard is out of date.
    """
    scored = [e for e in entries if e.manifest.kind != "reported" and e.scorecard.exists()]
    read = [hashed_scorecard(entry, RankInputs) for entry in scored]
    contenders = [RankedEntry(card, replicates[card.predictions_sha256], _not_read) for card, _ in read]
    for contender in contenders:
        _require_computed(contender.card, contender.computed)
    retracted = _retractions(scored)
    same = {
        (track, board.target): _still_same(board, renamed, retracted)
        for track, boards in ((Track.HOLDOUT, stored.targets), (Track.CV5, stored.cv5))
        for board in boards
    }
    with ThreadPoolExecutor(max(usable_cores(), len(spec.binary_targets))) as pool:
        boards, cv5 = _rank(spec.binary_targets, contenders, retracted, pool, same)
    return stored.model_copy(
        update={
            "schema_": Board.model_fields["schema_"].default,
            "targets": boards,
            "cv5": cv5,
            "scorecards": {card.slug: sha256 for card, sha256 in read},
            "retracted": retracted,
        }
    )


def _not_read(target: str) -> Floats:
    raise AssertionError(f"predictions of {target} are not read without the data")


def _still_same(
    board: TargetBoard, renamed: Mapping[str, str], retracted: Mapping[str, Retraction]
) -> tuple[SameRanking, ...]:
    """Groups of entries with equal rankings, under their slugs now and without retracted ones."""
    groups = [
        SameRanking(
            slugs=tuple(slug for s in group.slugs if (slug := renamed.get(s, s)) not in retracted),
            identical=group.identical,
        )
        for group in board.same_ranking
    ]
    return tuple(group for group in groups if len(group.slugs) > 1)


def _retractions(entries: Sequence[Submission]) -> dict[str, Retraction]:
    return {entry.slug: entry.retraction for entry in entries if entry.retraction}


def _rank(
    targets: Sequence[BinaryTarget],
    contenders: Sequence[RankedEntry],
    retracted: Mapping[str, Retraction],
    pool: ThreadPoolExecutor,
    same: Mapping[tuple[Track, str], tuple[SameRanking, ...]] | None = None,
) -> tuple[tuple[TargetBoard, ...], tuple[TargetBoard, ...]]:
    """Rank the entries of each track for each target; no cv5 board without an entry of that track."""
    holdout, cv5 = (
        [c for c in contenders if c.card.track == track and c.card.slug not in retracted] for track in Track
    )
    out = [c.card for c in contenders if c.card.slug in retracted]

    def board(track: Track, target: BinaryTarget) -> TargetBoard:
        on_holdout = track == Track.HOLDOUT
        others = [unranked(c.card, target.name, ELSEWHERE) for c in cv5] if on_holdout else []
        shown = [card for card in out if on_holdout or card.track == track]
        others += [unranked(card, target.name, retracted[card.slug].sentence) for card in shown]
        known = None if same is None else same.get((track, target.name), ())
        return target_board(target, holdout if on_holdout else cv5, others, LEVEL, known)

    boards = tuple(pool.map(lambda target: board(Track.HOLDOUT, target), targets))
    has_cv5 = any(c.card.track == Track.CV5 for c in contenders)
    return boards, tuple(board(Track.CV5, target) for target in targets) if has_cv5 else ()


def _contender(plans: Plans, entry: Submission, card: RankInputs, cache: Path) -> RankedEntry:
    computed = entry_replicates(plans, entry, cache, card.predictions_sha256)
    _require_computed(card, computed)

    def scores(target: str) -> Floats:
        return unpack_units(entry.predictions, plans.cohort, entry.manifest.track)[target]

    return RankedEntry(card, computed, scores)


class _Draws(Document):
    """Fields of a scorecard about its bootstrap draws; other fields are ignored."""

    model_config = ConfigDict(extra="ignore")

    replicates: int
    seed: int


def refuse_mixed(
    entries: Sequence[Submission],
    chosen: Sequence[Submission],
    replicates: int,
    seed: int,
    *,
    board: Path,
) -> None:
    """Refuse to score some entries with other draws than the rest have, before anything is written.

    Args:
        entries: All stored entries.
        chosen: Those to be scored.
        replicates: Their number of replicates.
        seed: Their seed.
        board: The stored board, if there is one: it tells the draws of the scorecards it was computed from.

    Raises:
        BenchError: ``board-mixed``.
    """
    slugs = {entry.slug for entry in chosen}
    others = [e for e in entries if e.slug not in slugs and e.scorecard.exists()]
    if not others:
        return
    known = _known_draws(board)
    drawn = {e.slug: known.get(sha256_file(e.scorecard)) or _draws(e) for e in others}
    if differing := [slug for slug, d in drawn.items() if (d.replicates, d.seed) != (replicates, seed)]:
        who = "1 other entry is" if len(differing) == 1 else f"{len(differing)} other entries are"
        message = (
            f"{who} scored with other draws than {replicates} replicates with seed {seed}: "
            f"{', '.join(differing[:5])}."
        )
        raise BenchError(Problem("board-mixed", message))


def _draws(entry: Submission) -> _Draws:
    return read_document(_Draws, entry.scorecard, "scorecard-invalid")[0]


def _known_draws(board: Path) -> dict[str, _Draws]:
    """SHA-256 of a scorecard → its draws, by the stored board; empty where there is none to be read."""
    try:
        stored, _ = read_document(Board, board, "board-invalid")
    except BenchError:
        return {}
    draws = _Draws(replicates=stored.replicates, seed=stored.seed)
    return dict.fromkeys(stored.scorecards.values(), draws)


def _require_computed(card: RankInputs, computed: EntryReplicates) -> None:
    """Refuse a scorecard whose AUROC is not the one of the stored predictions on the labels at hand."""
    for target in card.targets:
        stored, now = target.ranked.value, computed.values.get(target.target)
        if stored is not None and now is not None and round_significant(stored) != round_significant(now):
            message = (
                f"{card.slug!r}, {target.target}: the stored AUROC is {stored:.9g}, the predictions give "
                f"{now:.9g} on the labels at hand. The labels changed, or the scorecard was edited."
            )
            raise BenchError(Problem("scorecard-stale", message))


def _settings(cards: dict[str, RankInputs]) -> tuple[int, int]:
    settings = sorted({(card.replicates, card.seed) for card in cards.values()})
    if not settings:
        raise BenchError(Problem("board-empty", "No entry has predictions that could be compared."))
    if len(settings) > 1:
        found = ", ".join(f"{b} replicates with seed {seed}" for b, seed in settings)
        raise BenchError(Problem("board-mixed", f"The scorecards were computed with {found}."))
    return settings[0]


def _test_set(images: Cohort) -> TestSet:
    cohort = unit_cohort(images)
    test = cohort.rows("test")
    return TestSet(
        images=len(test),
        patients=len(set(cohort.patients[test])),
        train_images=len(cohort.rows("train")),
        val_images=len(cohort.rows("val")),
        targets=test_resolution(cohort),
    )
