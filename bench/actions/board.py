"""Board: read the stored comparisons of a cohort's entries."""

from __future__ import annotations

from pathlib import Path

from bench.actions.context import CohortChoice, WorkspaceChoice, choose_spec, open_workspace
from bench.board.load import load_board
from bench.board.model import LoadedBoard
from bench.errors import BenchError, Problem
from bench.garbage import paused_garbage_collection
from bench.scoring.scorecard import RankInputs, Scorecard
from bench.workspace import board_file


def read_board(
    cohort: CohortChoice | None = None,
    *,
    workspace: WorkspaceChoice | None = None,
    whole: bool = False,
) -> LoadedBoard:
    """Read the board of a cohort as `bench.score` stored it; needs no data.

    Args:
        cohort: The cohort, or the folder of its entries, such as ``submissions/demo``; default: the
            workspace's cohort.
        workspace: The workspace; default: the one that holds the current folder.
        whole: Read curves, operating points and subgroups of the scorecards too, at five times the time.

    Raises:
        BenchError: No entry was scored (``board-empty``), or the board is older than a scorecard
            (``board-stale``).
    """
    if isinstance(cohort, str | Path) and board_file(folder := Path(cohort).resolve()).is_file():
        space = open_workspace(workspace or folder)
        default = choose_spec(None, space)
        spec = default if default.id == folder.name else choose_spec(folder.name)
    else:
        space = open_workspace(workspace, cohort)
        spec = choose_spec(cohort, space)
    with paused_garbage_collection():
        loaded = load_board(spec, space.submissions(spec.id), Scorecard if whole else RankInputs)
    if loaded.board is None:
        waiting = f" Not scored yet: {', '.join(loaded.waiting)}." if loaded.waiting else ""
        remedy = "Score them: `bench score --all`." if loaded.waiting else ""
        message = f"Cohort {spec.id} has no scored entry.{waiting}"
        raise BenchError(Problem("board-empty", message, remedy=remedy))
    return loaded
