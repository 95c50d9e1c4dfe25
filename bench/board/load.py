"""Boards as they are stored: written by whoever holds the data, read by anyone, without the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.board.model import Board, Entry, LoadedBoard
from bench.choices import LabelMode
from bench.cohort.spec import CohortSpec
from bench.errors import BenchError, Problem
from bench.sandbox.reader import read_document, read_many
from bench.scoring.attempts import by_team, read_ledger, team_key
from bench.scoring.published import read_published
from bench.scoring.scorecard import RankInputs, Scorecard, hashed_scorecard
from bench.submission.registration import find_registration
from bench.submission.store import Submission, list_submissions
from bench.timing.record import TimingRecord, with_published_figures
from bench.workspace import PUBLISHED, board_file


def load_board(spec: CohortSpec, folder: Path, card: type[RankInputs] = Scorecard) -> LoadedBoard:
    """Load all stored data of a cohort's entries; entries not scored yet are left out.

    Args:
        spec: The cohort's spec.
        folder: The cohort's folder of submissions.
        card: How much of the scorecards is read; `whole_scorecard` reads the rest later.

    Raises:
        BenchError: The stored board is not of the stored scorecards (``board-stale``): a board is never shown
            beside numbers that it was not computed from.
    """
    submissions: list[Submission] = []
    waiting: list[str] = []
    for stored in list_submissions(folder):
        if stored.manifest.kind != "reported" and not scorecard_file(stored, spec.labels).exists():
            waiting.append(stored.slug)
        else:
            submissions.append(stored)
    ledger = read_ledger(folder)
    teams = by_team(ledger.values())
    entries, current = {}, {}
    read = read_many(lambda submission: _entry(submission, card, spec.labels), submissions)
    for submission, (entry, sha256) in zip(submissions, read, strict=True):
        slug, team = submission.slug, team_key(submission.manifest.team)
        registration = find_registration(folder, slug)
        entries[slug] = replace(
            entry,
            attempts=ledger.get(slug, ()),
            team_attempts=teams.get(team, ()),
            registered=registration.date if registration else None,
        )
        if sha256:
            current[slug] = sha256
    path = board_file(folder, spec.labels)
    board = read_board(path, spec, current)
    if board is not None:
        require_retractions(board, submissions, path)
    shown = {slug: e for slug, e in entries.items() if board is None or slug not in board.withheld}
    return LoadedBoard(spec=spec, board=board, entries=shown, waiting=tuple(waiting))


def scorecard_file(submission: Submission, labels: LabelMode) -> Path:
    """The scorecard that boards are read from: its published part where labels are not public."""
    return submission.scorecard if labels is LabelMode.PUBLIC else submission.folder / PUBLISHED


def _entry(submission: Submission, card: type[RankInputs], labels: LabelMode) -> tuple[Entry, str]:
    """The entry, and the hash of its scorecard: empty for a reported one, which has none."""
    reported = submission.manifest.kind == "reported"
    read = hashed_scorecard if labels is LabelMode.PUBLIC else read_published
    scorecard, sha256 = (None, "") if reported else read(submission, card)
    entry = Entry(
        slug=submission.slug,
        manifest=submission.manifest,
        scorecard=scorecard,
        timings=tuple(
            with_published_figures(_timing(submission, path), labels)
            for path in sorted(submission.timings.glob("*.json"))
        ),
        retraction=submission.retraction,
        whole=scorecard_file(submission, labels) if card is not Scorecard and not reported else None,
    )
    return entry, sha256


def whole_scorecard(entry: Entry, board: Board | None) -> Scorecard | None:
    """The scorecard of an entry with its curves.

    Raises:
        BenchError: The file is no longer the one that the board was computed from (``board-stale``).
    """
    if entry.whole is None:
        return entry.card(Scorecard)
    card, sha256 = read_document(Scorecard, entry.whole, "scorecard-invalid")
    if board is None or sha256 != board.scorecards.get(entry.slug):
        message = f"The scorecard of {entry.slug!r} changed after the board was computed from it."
        raise BenchError(Problem("board-stale", message, str(entry.whole)))
    return card


def _timing(submission: Submission, path: Path) -> TimingRecord:
    record, _ = read_document(TimingRecord, path, "timing-invalid")
    if record.slug != submission.slug:
        message = f"The record is of entry {record.slug!r}."
        raise BenchError(Problem("timing-invalid", message, str(path)))
    return record


def require_retractions(board: Board, submissions: Sequence[Submission], path: Path) -> None:
    """Refuse a board that ranks retracted entries, or leaves out others (``board-stale``)."""
    stored = {s.slug: s.retraction for s in submissions if s.retraction and s.slug in board.scorecards}
    if stored != board.retracted:
        differing = sorted(
            s for s in stored.keys() | board.retracted if stored.get(s) != board.retracted.get(s)
        )
        message = (
            f"The stored board was computed before these retractions changed: {', '.join(differing[:8])}."
        )
        remedy = "Run `bench retract SLUG --reason TEXT` again, or `bench score --all` where the data is."
        raise BenchError(Problem("board-stale", message, str(path), remedy))


def read_board(path: Path, spec: CohortSpec, current: dict[str, str]) -> Board | None:
    """Read the stored board of these scorecards (slug → SHA-256); None where there are none.

    Raises:
        BenchError: It was computed from others (``board-stale``), or is damaged (``board-invalid``).
    """
    if not current:
        return None
    if not path.exists():
        raise BenchError(
            Problem("board-stale", f"No board of {len(current)} scored entries is stored.", str(path))
        )
    board, _ = read_document(Board, path, "board-invalid")
    changed = sorted(
        slug
        for slug in board.scorecards.keys() | current.keys()
        if board.scorecards.get(slug) != current.get(slug)
    )
    if changed or board.stamp.cohort != spec.id:
        message = f"The stored board was computed before these entries changed: {', '.join(changed[:8])}."
        raise BenchError(Problem("board-stale", message, str(path)))
    return board
