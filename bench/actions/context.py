"""Workspace, cohort and entries of an action, from what a caller names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from bench.cohort.spec import CohortSpec, builtin_specs, load_spec
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.files import clear_parts, locked, recover_folders
from bench.submission.store import Submission, find_submission, list_submissions, refuse_renaming
from bench.workspace import DATA_VARIABLE, STORE_LOCK, Workspace, find_workspace

if TYPE_CHECKING:
    from bench.cohort.cohort import Cohort  # boards and pages are read without numpy

CohortChoice: TypeAlias = "str | Path | Cohort | CohortSpec"
"""A cohort: id of a built-in one, path of a spec in TOML, loaded spec, or loaded cohort."""

WorkspaceChoice = Path | str | Workspace
"""A workspace: its folder (or one below it), or the workspace itself."""

DEMO = "demo"


def open_workspace(workspace: WorkspaceChoice | None = None, cohort: CohortChoice | None = None) -> Workspace:
    """Find the workspace.

    Args:
        workspace: The workspace or a folder in it; default: the one that `cohort` was loaded in, else the one
            that holds the current folder.
        cohort: The cohort of the action.

    Raises:
        BenchError: There is none (``workspace-missing``), or its ``bench.toml`` is not valid.
    """
    workspace = workspace or getattr(cohort, "workspace", None)
    if isinstance(workspace, Workspace):
        return workspace
    return find_workspace(Path(workspace) if workspace is not None else None)


def open_workspace_or_none(
    workspace: WorkspaceChoice | None = None, cohort: CohortChoice | None = None
) -> Workspace | None:
    """Find the workspace, or None where the current folder is in none.

    Raises:
        BenchError: A workspace was named and is not one.
    """
    try:
        return open_workspace(workspace, cohort)
    except BenchError:
        if workspace is not None:
            raise
        return None


def choose_spec(cohort: CohortChoice | None = None, workspace: WorkspaceChoice | None = None) -> CohortSpec:
    """Load the spec of a cohort.

    Args:
        cohort: The cohort; default: the workspace's.
        workspace: The workspace; read only where no cohort is named.

    Raises:
        BenchError: The cohort is unknown, its spec is not valid, or there is no workspace to name one.
    """
    if isinstance(cohort, CohortSpec):
        return cohort
    if isinstance(cohort, str | Path):
        return load_spec(str(cohort))
    if cohort is not None:
        return cohort.spec
    space = open_workspace(workspace)
    return _named_spec(space, space.cohort)


def _named_spec(space: Workspace, name: str) -> CohortSpec:
    """Load a spec that ``bench.toml`` names."""
    return load_spec(name if name in builtin_specs() else str(space.root / name))


def workspace_specs(space: Workspace, names: Sequence[str] = ()) -> list[CohortSpec]:
    """Load the specs of all cohorts that have boards: those of ``bench.toml``, then built-in ones.

    Args:
        space: The workspace.
        names: Cohorts of ``bench.toml`` to load instead of all that have entries.

    Raises:
        BenchError: A folder of submissions is of no cohort (``cohort-unlisted``), or a spec is not valid.
    """
    specs = {spec.id: spec for name in (space.cohort, *space.cohorts) for spec in [_named_spec(space, name)]}
    listed = set(specs)
    stored = sorted(
        path.name
        for path in (space.store.iterdir() if space.store.is_dir() else ())
        if path.is_dir() and not path.name.startswith(".")
    )
    specs |= {name: load_spec(name) for name in builtin_specs() if name in stored and name not in specs}
    if strange := [name for name in stored if name not in specs]:
        message = f"{len(strange)} folders of submissions belong to no cohort: {', '.join(strange[:5])}."
        raise BenchError(Problem("cohort-unlisted", message, str(space.store)))
    if names:
        return [_named_spec(space, name) for name in names]
    return [spec for spec in specs.values() if spec.id in stored or spec.id in listed]


def open_cohort(
    cohort: CohortChoice | None = None,
    data: Path | str | None = None,
    workspace: WorkspaceChoice | None = None,
    *,
    writing_demo: Callable[[Path], None] | None = None,
) -> Cohort:
    """Load a cohort with its table and split.

    The demo cohort's table is written where it is absent from its place in the workspace: it is synthetic and
    the same everywhere. A folder elsewhere is never made, since its path may be misspelt.

    Args:
        cohort: The cohort; default: the workspace's. A loaded cohort is returned as it is.
        data: Folder with its files; default: what the workspace says.
        workspace: The workspace; not needed where `data` is given.
        writing_demo: Called with the folder before the demo cohort's table is written.

    Raises:
        BenchError: The cohort is unknown, its files are missing, or its table is not valid.
    """
    from bench.cohort.cohort import Cohort
    from bench.cohort.load import load_cohort

    if isinstance(cohort, Cohort):
        return cohort
    spec = choose_spec(cohort, workspace)
    chosen = data or os.environ.get(DATA_VARIABLE)
    if chosen:
        return load_cohort(spec, Path(chosen))
    try:
        space = open_workspace(workspace)
    except BenchError as error:
        if workspace is not None or error.problems[0].code != "workspace-missing":
            raise
        message = f"No folder is named for cohort {spec.id}, and the current folder is not in a workspace."
        remedy = (
            f"Name the folder of its files: `--data DIR`, or {DATA_VARIABLE}. In a workspace (`bench init "
            "DIR`) bench.toml names it."
        )
        problem = Problem("cohort-missing", message, str(Path.cwd()), remedy)
        raise BenchError(problem, EXIT_ENVIRONMENT) from error
    folder = space.data(spec.id)
    if spec.id == DEMO and folder.resolve().is_relative_to(space.root):
        _write_demo_table(folder, writing_demo)
    return load_cohort(spec, folder)


def _write_demo_table(folder: Path, writing: Callable[[Path], None] | None) -> None:
    """Write the demo cohort's table where it is absent, also after an interrupted write."""
    from bench.cohort.synthetic.write import TABLE, write_demo

    if (folder / TABLE).exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / f".{folder.name}.lock"):
        if not (folder / TABLE).exists():
            if writing:
                writing(folder)
            write_demo(folder, images=False)


@contextmanager
def with_problems(earlier: Sequence[Problem]) -> Iterator[None]:
    """Add warnings and notices that were found earlier to an error raised inside."""
    try:
        yield
    except BenchError as error:
        known = [problem for problem in earlier if problem not in error.problems]
        raise BenchError((*known, *error.problems), error.exit_code) from error


class Named(Protocol):
    """Object with an entry's slug, such as the result of `bench.submit`."""

    @property
    def slug(self) -> str:
        """Name of the entry."""


EntryChoice = str | Named | Sequence[str | Named]
"""Entries: a slug, what `bench.submit` returned, or several of them."""


def slugs_of(entries: EntryChoice) -> list[str]:
    """Slugs of the chosen entries, in the order given."""
    several = entries if isinstance(entries, Sequence) and not isinstance(entries, str) else [entries]
    return [entry if isinstance(entry, str) else entry.slug for entry in several]


def scored_entries(folder: Path, entries: EntryChoice | None) -> list[Submission]:
    """Find entries that hold predictions.

    Args:
        folder: The cohort's folder of submissions.
        entries: Which; None for all that hold predictions.

    Raises:
        BenchError: An entry is unknown (``entry-unknown``) or holds published numbers only
            (``entry-reported``).
    """
    if entries is None:
        return [entry for entry in list_submissions(folder) if entry.manifest.kind != "reported"]
    chosen = [find_submission(folder, slug) for slug in slugs_of(entries)]
    if reported := [entry.slug for entry in chosen if entry.manifest.kind == "reported"]:
        message = f"{', '.join(reported)}: published numbers only, no predictions to score."
        raise BenchError(Problem("entry-reported", message))
    return chosen


def recover_store(folder: Path, *leftovers: Path) -> None:
    """Finish or undo what an interrupted command left in a store.

    Args:
        folder: The cohort's folder of submissions; nothing happens where it is absent.
        leftovers: Folders in it whose unfinished files are removed.

    Raises:
        BenchError: A rename was interrupted (``rename-unfinished``).
    """
    if folder.is_dir():
        with locked(folder / STORE_LOCK):
            recover_folders(folder)
            refuse_renaming(folder)
            for place in leftovers:
                clear_parts(place)
