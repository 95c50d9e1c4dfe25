"""Published part of a board where the labels of a cohort are not public, and its verification."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.board.model import Board, Standing, TargetBoard
from bench.board.ranking import AT_CHANCE
from bench.board.verify import build_again, document_differences, score_again
from bench.choices import LabelMode
from bench.cohort.cohort import Cohort
from bench.documents import read_bytes
from bench.errors import BenchError, Problem, collecting
from bench.files import canonical_json, sha256_file, write_json
from bench.progress import Progress
from bench.sandbox.reader import read_document
from bench.scoring.published import DECIMALS, published_file, read_published, rounded_numbers
from bench.scoring.scorecard import Scorecard, read_scorecard
from bench.submission.store import Submission
from bench.workspace import PUBLISHED, attempts_folder, board_file

_FIGURES = (
    "auroc",
    "p_best",
    "difference",
    "difference_low",
    "difference_high",
    "p_value",
    "chance_gain",
    "adaptive_gain",
    "reference_difference",
    "reference_difference_low",
    "reference_difference_high",
    "reference_p_value",
)


def published_board(board: Board, labels: LabelMode, scorecards: Mapping[str, str]) -> Board:
    """Reduce a board to what may be published.

    Args:
        board: The board, with all digits.
        labels: Who has the labels.
        scorecards: Slug → SHA-256 of the published part of its scorecard.

    Returns:
        The board with few digits and without the matrix of pairs; where labels are private, with ranks by the
        rounded AUROC only.
    """
    if labels is LabelMode.PUBLIC:
        return board
    reduce = _shared if labels is LabelMode.SHARED else _private
    return board.model_copy(
        update={
            "targets": tuple(map(reduce, board.targets)),
            "cv5": tuple(map(reduce, board.cv5)),
            "scorecards": dict(scorecards),
        }
    )


def write_board(folder: Path, board: Board, labels: LabelMode, entries: Sequence[Submission]) -> None:
    """Write a board, and its published part where labels are not public.

    Args:
        folder: The cohort's folder of submissions.
        board: The board.
        labels: Who has the labels.
        entries: The stored entries.

    Raises:
        BenchError: An entry of the board has no published part of its scorecard (``scorecard-stale``).
    """
    write_json(board_file(folder), board.plain())
    if labels is not LabelMode.PUBLIC:
        reduced = published_board(board, labels, published_hashes(entries, list(board.scorecards)))
        write_json(board_file(folder, labels), reduced.plain())


def published_hashes(entries: Sequence[Submission], slugs: Sequence[str]) -> dict[str, str]:
    """Return slug → SHA-256 of the published part of the scorecard, for the entries of a board."""
    shown = set(slugs)
    files = {e.slug: e.folder / PUBLISHED for e in entries if e.slug in shown}
    if missing := sorted(slug for slug, path in files.items() if not path.exists()):
        message = f"{len(missing)} scored entries have no {PUBLISHED}: {', '.join(missing[:8])}."
        raise BenchError(Problem("scorecard-stale", message))
    return {slug: sha256_file(path) for slug, path in files.items()}


def _shared(board: TargetBoard) -> TargetBoard:
    standings = tuple(s.model_copy(update=rounded_numbers(dict(s), _FIGURES)) for s in board.standings)
    figures = rounded_numbers(dict(board), ("shrunken_auroc", "critical"))
    return board.model_copy(update={"standings": standings, "pairs": None, **figures})


def _private(board: TargetBoard) -> TargetBoard:
    """Standings by the rounded AUROC; without flags, which hold other figures."""
    aurocs = [round(s.auroc, DECIMALS) for s in board.standings if s.rank is not None and s.auroc is not None]
    standings = tuple(_private_standing(standing, aurocs) for standing in board.standings)
    return TargetBoard(
        target=board.target,
        label=board.label,
        leader=board.leader,
        others_may_be_first=0,
        standings=standings,
        same_ranking=board.same_ranking,
    )


def _private_standing(standing: Standing, aurocs: Sequence[float]) -> Standing:
    auroc = None if standing.auroc is None else round(standing.auroc, DECIMALS)
    ranked = standing.rank is not None and auroc is not None
    return Standing(
        slug=standing.slug,
        auroc=auroc,
        rank=1 + sum(other > (auroc or 0) for other in aurocs) if ranked else None,
        rank_low=None,
        rank_high=None,
        unranked_reason=AT_CHANCE
        if standing.unranked_reason.startswith(AT_CHANCE)  # the limits of the CI are withheld
        else standing.unranked_reason,
    )


def verify_published(
    cohort: Cohort,
    entries: Sequence[Submission],
    *,
    whole: bool = True,
    jobs: int = 1,
    progress: Progress | None = None,
) -> list[Problem]:
    """Score entries again and compare what is published of them, byte for byte, and whole scorecards.

    Args:
        cohort: The cohort.
        entries: Entries whose predictions are there.
        whole: Whether these are all entries, so that the board must be theirs.
        jobs: Processes.
        progress: Called with (done, total).

    Returns:
        One problem for each file that differs, and for each entry that cannot be scored.
    """
    if not entries:
        return [Problem("board-empty", "There is no entry to verify.")]
    problems: list[Problem] = []
    cards: dict[str, Scorecard] = {}
    for entry in entries:
        with collecting(problems):
            cards[entry.slug] = read_published(entry, Scorecard)[0]
    labels = cohort.spec.labels
    lacking = {entry.slug for entry in entries if whole and not entry.scorecard.exists()}
    computed: dict[str, Scorecard] = {}
    for entry, rescored in score_again(cohort, entries, cards, jobs, progress):
        if isinstance(rescored, BenchError):
            problems += rescored.problems
            continue
        problems += _card_differences(entry, cards[entry.slug], rescored.card, labels)
        if entry.slug in lacking:
            computed[entry.slug] = rescored.card
    if not problems and whole:
        problems += _board_differences(cohort, entries, computed)
    return problems


def _card_differences(
    entry: Submission, stored: Scorecard, computed: Scorecard, labels: LabelMode
) -> list[Problem]:
    path = entry.folder / PUBLISHED
    now = computed.model_copy(update={"harness_version": stored.harness_version, "schema_": stored.schema_})
    problems = []
    if published_file(now, labels) != read_bytes(path, "scorecard-invalid"):
        message = f"{entry.slug}: {PUBLISHED} differs from what its predictions give now."
        problems.append(Problem("verify-drift", message, str(path)))
    if entry.scorecard.exists():
        problems += document_differences(entry.slug, read_scorecard(entry).plain(), computed)
    return problems


def _board_differences(
    cohort: Cohort, entries: Sequence[Submission], computed: Mapping[str, Scorecard]
) -> list[Problem]:
    """Compare the published board with one of the whole scorecards: those stored, otherwise the computed."""
    path = board_file(entries[0].folder.parent, cohort.spec.labels)
    if not path.exists():
        return [Problem("board-stale", f"No board of {len(entries)} entries is stored.", str(path))]
    stored, _ = read_document(Board, path, "board-invalid")
    with tempfile.TemporaryDirectory() as copies:
        scored = _with_scorecards(entries, computed, Path(copies)) if computed else entries
        board = build_again(cohort, scored, stored)
    hashes = published_hashes(entries, list(board.scorecards))
    if canonical_json(published_board(board, cohort.spec.labels, hashes).plain()) != path.read_bytes():
        return [
            Problem("verify-drift", "The published board differs from what the entries give now.", str(path))
        ]
    return []


def _with_scorecards(
    entries: Sequence[Submission], computed: Mapping[str, Scorecard], folder: Path
) -> list[Submission]:
    """Copy entries and their ledger of attempts to a folder, with the computed scorecards that they lack."""
    attempts = attempts_folder(entries[0].folder.parent)
    if attempts.is_dir():
        shutil.copytree(attempts, attempts_folder(folder))
    copies = [replace(entry, folder=folder / entry.slug) for entry in entries]
    for entry, copy in zip(entries, copies, strict=True):
        shutil.copytree(entry.folder, copy.folder)
        if entry.slug in computed:
            copy.scorecard.write_bytes(canonical_json(computed[entry.slug].plain()))
    return copies
