"""Maintain a board without the cohort's data: start its workspace, retract and rename entries."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bench.actions.context import CohortChoice, WorkspaceChoice, choose_spec, open_cohort, open_workspace
from bench.board.build import build_board, rank_again
from bench.board.load import read_board
from bench.board.model import Board
from bench.board.published import write_board
from bench.choices import LabelMode
from bench.cohort.spec import CohortSpec, builtin_specs, load_spec
from bench.documents import parse
from bench.errors import BenchError, Problem
from bench.files import (
    atomic_folder,
    canonical_json,
    clear_parts,
    locked,
    recover_folders,
    write_atomic,
    write_json,
)
from bench.sandbox.reader import read_document
from bench.scoring.attempts import move_attempts
from bench.scoring.published import published_file
from bench.scoring.run import cached_replicates
from bench.scoring.scorecard import RankInputs, hashed_scorecard, read_scorecard
from bench.submission.manifest import Retraction
from bench.submission.registration import move_registration, refuse_registered
from bench.submission.store import (
    Renaming,
    Submission,
    check_free,
    check_slug,
    find_submission,
    list_submissions,
    refuse_renaming,
)
from bench.timing.record import TimingRecord
from bench.workspace import (
    MARKER,
    PUBLISHED,
    REGISTERED,
    RENAMING,
    RETRACTION,
    SCORECARD,
    STORE_LOCK,
    TIMINGS,
    Workspace,
    add_ignored,
    attempts_folder,
    create_workspace,
    is_workspace,
)

Rerank = Callable[[Mapping[str, str]], Board]
"""Rank the entries as they are stored; the argument maps slugs of the stored board to those of today."""


@dataclass(frozen=True, slots=True)
class MaintenanceResult:
    """Outcome of `retract` or `rename`.

    Attributes:
        slug: The entry.
        board: The board as it is ranked now; None where the entry is not on one.
    """

    slug: str
    board: Board | None


STARTER = {
    "submission.yml": ".github/workflows/submission.yml",
    "comment.yml": ".github/workflows/comment.yml",
    "pull_request_template.md": ".github/PULL_REQUEST_TEMPLATE.md",
    "issue_form.yml": ".github/ISSUE_TEMPLATE/submission.yml",
}
"""File of ``bench/starter`` → where a new workspace has it."""


def init_workspace(folder: str | Path, cohort: str = "demo") -> tuple[Workspace, CohortSpec]:
    """Make a workspace that can be shared: spec copied, paths relative, ready for pull requests.

    Files that are there already are kept; lines that its ``.gitignore`` lacks are added. ``bench.toml`` comes
    last, so that an interrupted start can be repeated.

    Args:
        folder: Its folder, which must not be a workspace yet.
        cohort: Default cohort: a built-in id or the path of a spec, which is copied.

    Raises:
        BenchError: The folder is a workspace (``workspace-exists``), the spec is not valid, or another
            file has the name of its copy (``file-exists``).
    """
    spec, root = load_spec(cohort), Path(folder)
    if is_workspace(root):
        raise BenchError(Problem("workspace-exists", f"{MARKER} is there already.", str(root / MARKER)))
    default = cohort
    if cohort not in builtin_specs():
        default = f"{spec.id}.toml"
        text = Path(cohort).read_bytes()
        if (root / default).exists() and (root / default).read_bytes() != text:
            raise BenchError(Problem("file-exists", "Another file has this name.", str(root / default)))
        write_atomic(root / default, text)
    starter = resources.files("bench").joinpath("starter")
    for name, place in STARTER.items():
        if not (root / place).exists():
            write_atomic(root / place, starter.joinpath(name).read_bytes())
    add_ignored(root, starter.joinpath("gitignore").read_text("utf-8").splitlines())
    return create_workspace(root, default), spec


def retract(
    slug: str,
    reason: str,
    *,
    cohort: CohortChoice | None = None,
    workspace: WorkspaceChoice | None = None,
    today: datetime.date | None = None,
) -> MaintenanceResult:
    """Take an entry out of the ranking; it stays on the board, struck out, with date and reason.

    The others are ranked again from their cached replicates; only where these are not there, the
    cohort's data are read. A retraction that was interrupted is finished when the command runs again.

    Args:
        slug: The entry.
        reason: Why, for everybody to read.
        cohort: The cohort; default: the workspace's.
        workspace: The workspace; default: the one that holds the current folder.
        today: Date of the retraction; default: today in UTC.

    Raises:
        BenchError: The entry is unknown (``entry-unknown``) or retracted already (``entry-retracted``), the
            reason shows nothing (``retraction-invalid``), the board is older than a scorecard
            (``board-stale``), or neither replicates nor data are here (``replicates-missing``).
    """
    space, spec = open_workspace(workspace, cohort), choose_spec(cohort, workspace)
    folder = space.submissions(spec.id)
    retraction = _retraction(reason, today or datetime.datetime.now(datetime.UTC).date())
    find_submission(folder, slug)
    with locked(folder / STORE_LOCK):
        _clear(folder, slug)
        refuse_renaming(folder)
        entry = find_submission(folder, slug)
        board = _stored_board(space, spec)
        ranked = board is not None and slug in board.scorecards
        if entry.retraction and not (board and ranked and board.retracted.get(slug) != entry.retraction):
            message = f"Entry {slug!r} was {entry.retraction.sentence}."
            raise BenchError(Problem("entry-retracted", message, str(entry.folder)))
        rerank = _reranking(space, spec, board, cohort, workspace) if board and ranked else None
        if not entry.retraction:
            write_json(entry.folder / RETRACTION, retraction.plain())
        now = rerank({}) if rerank else None
        if now:
            write_board(folder, now, spec.labels, list_submissions(folder))
    return MaintenanceResult(slug, now)


def _retraction(reason: str, date: datetime.date) -> Retraction:
    return parse(Retraction, {"date": date, "reason": reason}, "retraction-invalid", "--reason")


def rename(
    old: str,
    new: str,
    *,
    cohort: CohortChoice | None = None,
    workspace: WorkspaceChoice | None = None,
) -> MaintenanceResult:
    """Give an entry another slug, with scorecard, timings, attempts, registration and place on the board.

    No data are needed, see `retract`. A rename that was interrupted is finished when the command runs again.

    Args:
        old: The entry.
        new: Its new slug.
        cohort: The cohort; default: the workspace's.
        workspace: The workspace; default: the one that holds the current folder.

    Raises:
        BenchError: The entry is unknown (``entry-unknown``), the new slug is in use (``slug-taken``), kept
            for a registered model (``registration-differs``) or none (``slug-invalid``), another rename was
            interrupted (``rename-unfinished``), the board is older than a scorecard (``board-stale``), or
            neither replicates nor data are here (``replicates-missing``).
    """
    space, spec = open_workspace(workspace, cohort), choose_spec(cohort, workspace)
    folder = space.submissions(spec.id)
    check_slug(new)
    if not folder.is_dir():
        find_submission(folder, old)
    with locked(folder / STORE_LOCK):
        _clear(folder, old)
        journal, step = folder / RENAMING, Renaming(old=old, new=new)
        resumed = refuse_renaming(folder, step)
        if not resumed:
            find_submission(folder, old)
            check_free(folder, new, "Choose another slug; an entry is never renamed over another.")
            refuse_registered(folder, new)
        board = _stored_board(space, spec, renaming=step if resumed else None)
        ranked = board is not None and not board.scorecards.keys().isdisjoint({old, new})
        rerank = _reranking(space, spec, board, cohort, workspace) if board and ranked else None
        write_json(journal, step.plain())
        if not (folder / new).exists():
            _copy_renamed(find_submission(folder, old), new, spec.labels)
        move_attempts(folder, old, new)
        move_registration(folder, old, new)
        with atomic_folder(folder / old):
            pass  # exchanged for an empty folder at once, so that no part of an entry is ever seen
        (folder / old).rmdir()
        now = rerank({old: new}) if rerank else None
        if now:
            write_board(folder, now, spec.labels, list_submissions(folder))
        journal.unlink()
    return MaintenanceResult(new, now)


def _clear(folder: Path, slug: str) -> None:
    """Finish or undo what an interrupted command left of the store, its ledger and one entry."""
    recover_folders(folder)
    for place in (folder, attempts_folder(folder), folder / REGISTERED, folder / slug):
        clear_parts(place)


def _copy_renamed(entry: Submission, new: str, labels: LabelMode) -> None:
    """Write the entry under its new slug, whole or not at all."""
    scorecard = read_scorecard(entry) if entry.scorecard.exists() else None
    with atomic_folder(entry.folder.with_name(new)) as part:
        shutil.copytree(entry.folder, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
        if scorecard:
            card = scorecard.model_copy(update={"slug": new})
            (part / SCORECARD).write_bytes(canonical_json(card.plain()))
            if labels is not LabelMode.PUBLIC:
                (part / PUBLISHED).write_bytes(published_file(card, labels))
        for path in sorted((part / TIMINGS).glob("*.json")):
            record, _ = read_document(TimingRecord, path, "timing-invalid")
            path.write_bytes(canonical_json(record.model_copy(update={"slug": new}).plain()))


def _stored_board(space: Workspace, spec: CohortSpec, renaming: Renaming | None = None) -> Board | None:
    """Read the board of the stored scorecards; None where nothing was scored.

    Raises:
        BenchError: It is older than a scorecard (``board-stale``).
    """
    board_file = space.board(spec.id)
    if renaming is not None:
        return read_document(Board, board_file, "board-invalid")[0] if board_file.exists() else None
    return read_board(
        board_file, spec, {e.slug: hashed_scorecard(e, RankInputs)[1] for e in _scored(space, spec)}
    )


def _scored(space: Workspace, spec: CohortSpec) -> list[Submission]:
    return [entry for entry in list_submissions(space.submissions(spec.id)) if entry.scored]


def _reranking(
    space: Workspace,
    spec: CohortSpec,
    board: Board,
    cohort: CohortChoice | None,
    workspace: WorkspaceChoice | None,
) -> Rerank:
    """Read all that ranking needs before anything is written: cached replicates, else the data.

    Raises:
        BenchError: Neither is here (``replicates-missing``).
    """
    cards: Sequence[RankInputs] = [hashed_scorecard(entry, RankInputs)[0] for entry in _scored(space, spec)]
    predictions = {card.predictions_sha256: card.track for card in cards}
    replicates = cached_replicates(spec.id, space.replicates, predictions, board.replicates)
    if replicates is not None:
        return lambda renamed: rank_again(board, spec, _scored(space, spec), replicates, renamed)
    try:
        opened = open_cohort(cohort or spec, None, workspace or space)
    except BenchError as error:
        message = (
            f"The replicates of {len(cards)} entries are not in this workspace's cache, nor is the data."
        )
        raise BenchError(Problem("replicates-missing", message, str(space.replicates))) from error
    return lambda _renamed: build_board(opened, _scored(space, spec), space.replicates)
