"""Compare: paired differences of two entries or predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.actions.context import (
    CohortChoice,
    Named,
    WorkspaceChoice,
    choose_spec,
    open_cohort,
    open_workspace,
)
from bench.choices import LabelMode
from bench.cohort.cohort import Cohort
from bench.errors import BenchError, Problem
from bench.files import locked
from bench.scoring.attempts import record_compared
from bench.scoring.compare import (
    Side,
    TargetComparison,
    compare_predictions,
    names_entry,
    read_either,
    side_of_table,
)
from bench.submission.accept import require_file
from bench.submission.check_predictions import id_columns
from bench.submission.store import find_submission
from bench.submission.tables import ArrayTable, prediction_table
from bench.workspace import STORE_LOCK

SideChoice = str | Path | Named | ArrayTable
"""A side: slug of an entry, what `bench.submit` returned, a predictions file, or predictions in memory."""


@dataclass(frozen=True, slots=True)
class CompareResult:
    """A paired comparison of A and B on the same images.

    Attributes:
        a: Slug or file of A; ``A`` for predictions in memory.
        b: The same of B.
        comparisons: One for each binary target that both predict: values of both sides, differences A − B
            with 95% confidence interval and p value, and on how many images their calls differ.
        notices: What to know of the sides: of an entry of several runs the mean AUROC is compared, and
            otherwise the first run.
    """

    a: str
    b: str
    comparisons: tuple[TargetComparison, ...]
    notices: tuple[Problem, ...] = ()


def compare_entries(
    a: SideChoice,
    b: SideChoice,
    *,
    replicates: int = 2000,
    seed: int = 0,
    cohort: CohortChoice | None = None,
    data: str | Path | None = None,
    workspace: WorkspaceChoice | None = None,
) -> CompareResult:
    """Compare two entries or predictions of the same cohort, target by target.

    Predictions that are no entry are recorded in the ledger of attempts, since their metrics are shown.

    Args:
        a: One side.
        b: The other side.
        replicates: Bootstrap replicates.
        seed: Seed of the bootstrap.
        cohort: The cohort; default: the workspace's.
        data: Folder with the cohort's files; default: what the workspace says.
        workspace: The workspace; default: the one that holds the current folder.

    Raises:
        BenchError: A side is neither an entry nor valid predictions, or the two are the same, of different
            tracks or share no target (``compare-impossible``).
    """
    folder = check_sides(a, b, cohort=cohort, workspace=workspace)
    opened = open_cohort(cohort, data, workspace)
    first, second = _side(a, "A", folder, opened), _side(b, "B", folder, opened)
    for side in (first, second):
        if side.unrecorded:
            with locked(folder / STORE_LOCK):
                record_compared(folder, side.unrecorded, side.track)
    comparisons = compare_predictions(opened, first, second, replicates=replicates, seed=seed)
    names = [_name(choice, "") for choice, side in ((a, first), (b, second)) if side.further_runs]
    message = (
        "The mean of its runs is compared, as on the board; all other figures are those of its first run."
    )
    notices = tuple(Problem("compare-first-run", message, name, severity="notice") for name in names)
    return CompareResult(_name(a, "A"), _name(b, "B"), tuple(comparisons), notices)


def check_sides(
    a: SideChoice,
    b: SideChoice,
    *,
    cohort: CohortChoice | None = None,
    workspace: WorkspaceChoice | None = None,
) -> Path:
    """Refuse sides that cannot be compared before the data are read, which takes seconds.

    Returns:
        The cohort's folder of submissions.

    Raises:
        BenchError: A side is not there (``entry-unknown``, ``predictions-unreadable``), both are the same
            (``compare-impossible``), or the labels are private and one is no entry (``compare-private``).
    """
    spec = choose_spec(cohort, workspace)
    folder = open_workspace(workspace, cohort).submissions(spec.id)
    named = [_name(side, "") for side in (a, b) if not isinstance(side, pd.DataFrame | Mapping)]
    if len(named) == 2 and named[0] == named[1]:
        message = f"Both sides are {named[0]!r}."
        raise BenchError(Problem("compare-impossible", message, remedy="Name two entries or files."))
    for name in named:
        if names_entry(name):
            find_submission(folder, name)
        else:
            require_file(Path(name), "predictions-unreadable")
    if spec.labels is LabelMode.PRIVATE and not (len(named) == 2 and all(map(names_entry, named))):
        message = (
            "The labels are private: only submitted entries are compared, since each attempt is counted."
        )
        raise BenchError(Problem("compare-private", message))
    return folder


def _side(choice: SideChoice, name: str, folder: Path, cohort: Cohort) -> Side:
    if isinstance(choice, pd.DataFrame | Mapping):
        return side_of_table(prediction_table(choice, id_columns(cohort), name), cohort)
    return read_either(_name(choice, name), folder, cohort)


def _name(choice: SideChoice, name: str) -> str:
    if isinstance(choice, pd.DataFrame | Mapping):
        return name
    return str(choice) if isinstance(choice, str | Path) else choice.slug
