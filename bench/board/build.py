"""Boards from scorecards and replicates: all entries of a track are compared as one family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.board.model import Board, SameRanking, TargetBoard, TestSet
from bench.board.ranking import SIMILAR, KnownCopies, RankedEntry
from bench.board.tracks import TeamAttempts, rank_tracks
from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.spec import CohortSpec
from bench.cohort.studies import unit_cohort
from bench.cohort.summary import test_resolution
from bench.environment import usable_cores
from bench.errors import BenchError, Problem
from bench.files import round_significant
from bench.metrics.validation import Floats
from bench.sandbox.reader import read_many
from bench.scoring.attempts import team_key
from bench.scoring.run import (
    EntryReplicates,
    Plans,
    entry_replicates,
    make_plans,
    write_replicate_index,
)
from bench.scoring.score import LEVEL
from bench.scoring.scorecard import SCORING_VERSION, RankInputs, hashed_scorecard
from bench.submission.manifest import NOT_STATED, Retraction
from bench.submission.packed import unpack_units
from bench.submission.store import Submission


def build_board(
    cohort: Cohort,
    entries: Sequence[Submission],
    cache: Path,
    reuse: Plans | None = None,
    *,
    one_per_team: bool = False,
    ladder: bool = False,
) -> Board:
    """Compute the board of all entries that hold predictions.

    Args:
        cohort: The cohort.
        entries: Stored submissions; reported ones and those not scored yet are left out.
        cache: Folder of replicates.
        reuse: Plans that were made already, for scoring.
        one_per_team: Whether only the highest entry of each team is ranked; baselines are not counted.
        ladder: Whether a team's new entry is shown only if it beats its best by more than noise.

    Raises:
        BenchError: A scorecard is out of date, or the scorecards are not all of one seed and number of
            replicates (``board-mixed``).
    """
    scored = [entry for entry in entries if entry.scored]
    targets = cohort.spec.binary_targets
    read = read_many(lambda entry: hashed_scorecard(entry, RankInputs), scored)
    cards = {entry.slug: card for entry, (card, _) in zip(scored, read, strict=True)}
    replicates, seed = _settings(cards)
    plans = make_plans(cohort, scored, replicates=replicates, seed=seed, reuse=reuse)
    # Reading replicates and the loops over pairs hold no lock; with a thread a target no core is left over.
    with ThreadPoolExecutor(max(usable_cores(), len(targets))) as pool:
        ranked_entries = list(
            pool.map(lambda entry: _ranked_entry(plans, entry, cards[entry.slug], cache), scored)
        )
        write_replicate_index(plans, {cards[e.slug].predictions_sha256: e for e in scored}, cache)
        retracted = _retractions(scored)
        ranked = rank_tracks(
            cohort.spec,
            ranked_entries,
            retracted,
            TeamAttempts.of(scored),
            pool,
            one_per_team=one_per_team,
            ladder=ladder,
        )
    return Board(
        stamp=next(iter(cards.values())).stamp,
        title=cohort.spec.title,
        headline=cohort.spec.headline,
        scoring_version=SCORING_VERSION,
        seed=seed,
        replicates=replicates,
        level=LEVEL,
        test_set=_test_set(cohort),
        targets=ranked.targets,
        cv5=ranked.cv5,
        one_per_team=one_per_team,
        ladder=ladder,
        withheld=ranked.withheld,
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
    scored = [entry for entry in entries if entry.scored]
    read = read_many(lambda entry: hashed_scorecard(entry, RankInputs), scored)
    ranked_entries = [
        RankedEntry(card, replicates[card.predictions_sha256], _not_read, _team(entry))
        for entry, (card, _) in zip(scored, read, strict=True)
    ]
    for entry in ranked_entries:
        _require_computed(entry.card, entry.computed)
    retracted = _retractions(scored)
    known = {
        (track, board.target): _known_copies(board, renamed, retracted)
        for track, boards in ((Track.HOLDOUT, stored.targets), (Track.CV5, stored.cv5))
        for board in boards
    }
    with ThreadPoolExecutor(max(usable_cores(), len(spec.binary_targets))) as pool:
        ranked = rank_tracks(
            spec,
            ranked_entries,
            retracted,
            TeamAttempts.of(scored),
            pool,
            one_per_team=stored.one_per_team,
            ladder=stored.ladder,
            known=known,
        )
    return stored.model_copy(
        update={
            "schema_": Board.model_fields["schema_"].default,
            "targets": ranked.targets,
            "cv5": ranked.cv5,
            "withheld": ranked.withheld,
            "scorecards": {card.slug: sha256 for card, sha256 in read},
            "retracted": retracted,
        }
    )


def _not_read(target: str) -> Floats:
    raise AssertionError(f"predictions of {target} are not read without the data")


def _known_copies(
    board: TargetBoard, renamed: Mapping[str, str], retracted: Mapping[str, Retraction]
) -> KnownCopies:
    """Return what a stored board says of copies, under the slugs of today and without retracted entries."""
    groups = [
        SameRanking(
            slugs=tuple(slug for s in group.slugs if (slug := renamed.get(s, s)) not in retracted),
            identical=group.identical,
        )
        for group in board.same_ranking
    ]
    similar = {}
    for standing in board.standings:
        flags = tuple(flag for flag in standing.flags if flag.code == SIMILAR)
        for old, new in renamed.items():
            flags = tuple(
                f.model_copy(update={"message": f.message.replace(f" {old}:", f" {new}:")}) for f in flags
            )
        if flags:
            similar[renamed.get(standing.slug, standing.slug)] = flags
    return KnownCopies(tuple(group for group in groups if len(group.slugs) > 1), similar)


def _retractions(entries: Sequence[Submission]) -> dict[str, Retraction]:
    return {entry.slug: entry.retraction for entry in entries if entry.retraction}


def _ranked_entry(plans: Plans, entry: Submission, card: RankInputs, cache: Path) -> RankedEntry:
    computed = entry_replicates(plans, entry, cache, card.predictions_sha256)
    _require_computed(card, computed)

    def scores(target: str) -> Floats:
        return unpack_units(entry.predictions, plans.cohort, entry.manifest.track)[target]

    return RankedEntry(card, computed, scores, _team(entry))


def _team(entry: Submission) -> str:
    """Return the key of an entry's team; empty for baselines and where no team is stated."""
    counted = entry.manifest.kind != "baseline" and entry.manifest.team != NOT_STATED
    return team_key(entry.manifest.team) if counted else ""


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
        listed = ", ".join(f"{b} replicates with seed {seed}" for b, seed in settings)
        raise BenchError(Problem("board-mixed", f"The scorecards were computed with {listed}."))
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
