"""Verify: recompute stored numbers and compare."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.actions.context import (
    CohortChoice,
    EntryChoice,
    WorkspaceChoice,
    open_cohort,
    open_workspace,
    scored_entries,
    workspace_specs,
)
from bench.board.load import scorecard_file
from bench.board.published import verify_published
from bench.board.verify import UNVERIFIED, check_stored, verify_entries
from bench.choices import LabelMode
from bench.environment import usable_cores
from bench.errors import BenchError, Problem
from bench.progress import Progress
from bench.scoring.cluster import on_cluster
from bench.submission.accept import placeholders
from bench.submission.sealed import open_entry
from bench.submission.store import Submission
from bench.workspace import MANIFEST, Workspace


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """Result of `verify`.

    Attributes:
        entries: Slugs of the entries that were scored again.
        problems: One for each stored number that differs (the first few of each entry), and for each entry
            that cannot be scored; empty where every scorecard and the board were reproduced to 9 digits.
        unverified: What was not verified, in words.
    """

    entries: tuple[str, ...]
    problems: tuple[Problem, ...]
    unverified: tuple[str, ...] = UNVERIFIED

    @property
    def ok(self) -> bool:
        """Whether every scorecard and the board were reproduced."""
        return not self.problems


def verify(
    entries: EntryChoice | None = None,
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
    cohort: CohortChoice | None = None,
    data: str | Path | None = None,
    workspace: WorkspaceChoice | None = None,
    progress: Progress | None = None,
) -> VerifyResult:
    """Score stored entries again and compare every number with what is stored; nothing is written.

    Args:
        entries: Slugs, or results of `bench.submit`; default: every entry that holds predictions, and the
            board.
        jobs: Processes; default: all cores.
        scheduler: Address of a Dask scheduler whose workers do the work.
        cohort: The cohort; default: the workspace's.
        data: Folder with the cohort's files; default: what the workspace says.
        workspace: The workspace; default: the one that holds the current folder.
        progress: Called with (entries done, entries in total).

    Raises:
        BenchError: An entry is unknown or holds published numbers only.
    """
    space, opened = open_workspace(workspace), open_cohort(cohort, data, workspace)
    chosen = scored_entries(space.submissions(opened.spec.id), entries)
    public = opened.spec.labels is LabelMode.PUBLIC
    for entry in () if public else chosen:
        open_entry(entry, space.root)
    with on_cluster(scheduler) as threads:
        workers, all_entries = jobs or threads or usable_cores(), entries is None
        if public:
            board = space.board(opened.spec.id)
            problems = verify_entries(
                opened, chosen, board, whole=all_entries, jobs=workers, progress=progress
            )
        else:
            problems = verify_published(opened, chosen, whole=all_entries, jobs=workers, progress=progress)
    return VerifyResult(tuple(entry.slug for entry in chosen), tuple(problems))


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry that `verify_stored` read.

    Attributes:
        cohort: Id of its cohort.
        entry: The entry.
        changed: Whether it is new or other than at the commit that was named; True where none was.
        scored: Whether its scorecard, or the published part of it, is stored.
    """

    cohort: str
    entry: Submission
    changed: bool
    scored: bool

    @property
    def state(self) -> str:
        """How far the entry is, in words."""
        if self.entry.retraction:
            return "retracted"
        if self.entry.manifest.kind == "reported":
            return "published result"
        return "scored" if self.scored else "not scored yet"


@dataclass(frozen=True, slots=True)
class StoredResult:
    """Result of `verify_stored`.

    Attributes:
        entries: Every entry that could be read.
        problems: Every problem found; empty where the store is in order.
    """

    entries: tuple[StoredEntry, ...]
    problems: tuple[Problem, ...]


def verify_stored(*, since: str | None = None, workspace: WorkspaceChoice | None = None) -> StoredResult:
    """Check every stored entry of every cohort of a workspace without data; no number is computed again.

    Args:
        since: Commit or branch of git; entries that differ from it count as changed, and are refused where
            name or team are still those of the template (``manifest-placeholder``).
        workspace: The workspace; default: the one that holds the current folder.

    Raises:
        BenchError: A folder of submissions belongs to no cohort (``cohort-unlisted``), or git cannot compare
            with `since` (``git-reference``).
    """
    space = open_workspace(workspace)
    changed = None if since is None else _changed_since(space, since)
    entries: list[StoredEntry] = []
    problems: list[Problem] = []
    for spec in workspace_specs(space):
        stored, faults = check_stored(spec, space.submissions(spec.id), space.split_lock(spec.id))
        problems += faults
        for entry in stored:
            differs = changed is None or (spec.id, entry.slug) in changed
            scored = scorecard_file(entry, spec.labels).exists()
            entries.append(StoredEntry(spec.id, entry, differs, scored))
            if changed is not None and differs:  # what is on a board already is not refused anew
                problems += placeholders(entry.manifest, str(entry.folder / MANIFEST), "error")
    return StoredResult(tuple(entries), tuple(problems))


def _changed_since(space: Workspace, reference: str) -> set[tuple[str, ...]]:
    """(cohort, slug) of entries with files that differ between a commit of git and the working tree."""
    differing = ("diff", "--name-only", "-z", "--relative", "--end-of-options", reference, "--", ".")
    untracked = ("ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    names = [name for words in (differing, untracked) for name in _git_names(space, reference, words)]
    return {tuple(name.split("/")[:2]) for name in names}


def _git_names(space: Workspace, reference: str, words: tuple[str, ...]) -> list[str]:
    """Names of files that a command of git prints, relative to the folder of submissions."""
    try:
        done = subprocess.run(
            ["git", "-C", str(space.store), *words], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(Problem("git-reference", f"git: {error}.", str(space.store))) from error
    if done.returncode:
        first_line = done.stderr.decode(errors="replace").strip().splitlines()[:1]
        raise BenchError(Problem("git-reference", f"{reference!r}: {' '.join(first_line)}", str(space.store)))
    return done.stdout.decode(errors="replace").split("\0")
