"""Score: compute scorecards of entries, and compare all entries on the board."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from bench.actions.context import (
    CohortChoice,
    EntryChoice,
    WorkspaceChoice,
    open_cohort,
    open_workspace,
    recover_store,
    scored_entries,
)
from bench.board.build import build_board
from bench.board.model import Board
from bench.board.published import write_board
from bench.board.same_draws import refuse_mixed
from bench.choices import LabelMode
from bench.cohort.cohort import Cohort
from bench.cohort.summary import SplitLock, split_lock, without_label_counts
from bench.display import Displayed, Table
from bench.environment import usable_cores
from bench.files import clear_parts, locked, write_json
from bench.garbage import paused_garbage_collection
from bench.progress import Progress
from bench.sandbox.reader import read_document
from bench.scoring.cluster import on_cluster
from bench.scoring.run import Finished, make_plans, score_all
from bench.scoring.scorecard import Scorecard
from bench.submission.sealed import open_entry
from bench.submission.store import list_submissions
from bench.workspace import STORE_LOCK, attempts_folder, ignore_kept_back


class Scorecards(Sequence[Scorecard]):
    """Scorecards of a run, compressed: a thousand take 100 MB, and would take 1.3 GB as objects."""

    def __init__(self) -> None:
        self._compressed: list[bytes] = []

    def append(self, exact: bytes) -> None:
        """Add a scorecard, as JSON with all digits."""
        self._compressed.append(zlib.compress(exact, level=1))

    def __len__(self) -> int:
        return len(self._compressed)

    @overload
    def __getitem__(self, place: int) -> Scorecard: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Scorecard, ...]: ...

    def __getitem__(self, place: int | slice) -> Scorecard | tuple[Scorecard, ...]:
        if isinstance(place, slice):
            return tuple(self[k] for k in range(*place.indices(len(self))))
        return Scorecard.model_validate_json(zlib.decompress(self._compressed[place]))


@dataclass(frozen=True, slots=True, repr=False)
class ScoreResult(Displayed):
    """Scored entries and the board that they are on.

    Attributes:
        cohort: Id of the cohort.
        synthetic: Whether the cohort is synthetic.
        scorecards: One for each scored entry, in the order in which the entries were named; every metric with
            its 95% confidence interval.
        board: The comparisons of all scored entries of the cohort, with every digit.
        waiting: Slugs of entries that are not on the board since they are not scored yet.
    """

    cohort: str
    synthetic: bool
    scorecards: Sequence[Scorecard]
    board: Board
    waiting: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<ScoreResult: {', '.join(map(repr, self.scorecards))}>"

    def records(self) -> list[dict[str, Any]]:
        """Return the records of every scorecard."""
        return [record for card in self.scorecards for record in card.records()]

    def tables(self) -> tuple[Table, ...]:
        """Return the table of every scorecard."""
        return tuple(table for card in self.scorecards for table in card.tables())


def score(
    entries: EntryChoice | None = None,
    *,
    replicates: int = 2000,
    seed: int = 0,
    jobs: int | None = None,
    scheduler: str | None = None,
    cohort: CohortChoice | None = None,
    data: str | Path | None = None,
    workspace: WorkspaceChoice | None = None,
    progress: Progress | None = None,
    finished: Callable[[Scorecard], None] | None = None,
) -> ScoreResult:
    """Score entries, store their scorecards, and compare all entries of the cohort on its board.

    Args:
        entries: Slugs, or results of `bench.submit`; default: every entry that holds predictions.
        replicates: Bootstrap replicates.
        seed: Seed of the bootstrap.
        jobs: Processes; default: all cores. The numbers do not depend on it.
        scheduler: Address of a Dask scheduler whose workers do the work.
        cohort: The cohort; default: the workspace's.
        data: Folder with the cohort's files; default: what the workspace says.
        workspace: The workspace; default: the one that holds the current folder.
        progress: Called with (entries done, entries in total).
        finished: Called with each scorecard once it is stored.

    Raises:
        BenchError: Entries that are unknown or cannot be scored (the others are scored and stored), or other
            entries were scored with another seed or number of replicates (``board-mixed``).
    """
    space, opened = open_workspace(workspace, cohort), open_cohort(cohort, data, workspace)
    folder, board_file = space.submissions(opened.spec.id), space.board(opened.spec.id)
    recover_store(folder, attempts_folder(folder))
    chosen = scored_entries(folder, entries)
    for entry in chosen:
        open_entry(entry, space.root)
    refuse_mixed(list_submissions(folder), chosen, replicates, seed, board=board_file)
    plans = make_plans(opened, chosen, replicates=replicates, seed=seed)
    cards = Scorecards()
    ignore_kept_back(space, opened.spec.id, opened.spec.labels)

    def keep(result: Finished) -> None:
        cards.append(result.exact)
        if finished:
            finished(result.card)

    with on_cluster(scheduler) as threads:
        workers = jobs or threads or usable_cores()
        score_all(plans, chosen, space.replicates, jobs=workers, progress=progress, finished=keep)
    with locked(folder / STORE_LOCK), paused_garbage_collection():
        clear_parts(folder)
        stored = list_submissions(folder)
        board = build_board(
            opened, stored, space.replicates, plans, one_per_team=space.one_per_team, ladder=space.ladder
        )
        write_board(folder, board, opened.spec.labels, stored)
        _lock_split(opened, space.split_lock(opened.spec.id))
    waiting = tuple(entry.slug for entry in stored if entry.waiting)
    return ScoreResult(opened.spec.id, opened.synthetic, cards, board, waiting)


def _lock_split(cohort: Cohort, path: Path) -> None:
    """Write the split lock where there is none, so that the entries can be checked without the data.

    A lock that counts private labels, as older versions wrote it, loses these counts.
    """
    if not path.exists():
        write_json(path, split_lock(cohort).plain())
    elif cohort.spec.labels is LabelMode.PRIVATE:
        stored, _ = read_document(SplitLock, path, "split-lock-invalid")
        if (kept := without_label_counts(stored)) != stored:
            write_json(path, kept.plain())
