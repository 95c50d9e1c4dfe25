"""Boards from scorecards and replicates: all entries of a track are compared as one family."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ConfigDict

from bench.board.model import Board, TargetBoard, TestSet
from bench.board.ranking import RankedEntry, target_board, unranked
from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.spec import BinaryTarget
from bench.cohort.studies import unit_cohort
from bench.cohort.summary import test_resolution
from bench.documents import Document
from bench.environment import usable_cores
from bench.errors import BenchError, Problem
from bench.files import round_significant, sha256_file
from bench.metrics.validation import Floats
from bench.sandbox.reader import read_document
from bench.scoring.run import EntryReplicates, Plans, entry_replicates, make_plans
from bench.scoring.score import LEVEL
from bench.scoring.scorecard import SCORING_VERSION, RankInputs, hashed_scorecard
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
        ranked_entries = list(
            pool.map(lambda entry: _contender(plans, entry, cards[entry.slug], cache), scored)
        )
        holdout, cv5 = ([c for c in ranked_entries if c.card.track == track] for track in Track)

        def holdout_board(target: BinaryTarget) -> TargetBoard:
            others = [unranked(c.card, target.name, ELSEWHERE) for c in cv5]
            return target_board(target, holdout, others, LEVEL)

        boards = tuple(pool.map(holdout_board, targets))
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
        cv5=tuple(target_board(t, cv5, (), LEVEL) for t in targets) if cv5 else (),
        scorecards={card.slug: sha256 for card, sha256 in read},
    )


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
