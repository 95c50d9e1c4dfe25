"""Verify: recompute stored numbers and compare."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.actions.context import (
    CohortChoice,
    EntryChoice,
    WorkspaceChoice,
    open_cohort,
    open_workspace,
    scored_entries,
)
from bench.board.verify import UNVERIFIED, verify_entries
from bench.environment import usable_cores
from bench.errors import Problem
from bench.progress import Progress
from bench.scoring.cluster import on_cluster


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
    with on_cluster(scheduler) as threads:
        problems = verify_entries(
            opened,
            chosen,
            space.board(opened.spec.id),
            whole=entries is None,
            jobs=jobs or threads or usable_cores(),
            progress=progress,
        )
    return VerifyResult(tuple(entry.slug for entry in chosen), tuple(problems))
