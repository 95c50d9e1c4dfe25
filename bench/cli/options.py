"""Options that many commands share, and what they stand for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.cohort.cohort import Cohort
    from bench.cohort.spec import CohortSpec
    from bench.workspace import Workspace

CohortOption = Annotated[
    str | None,
    typer.Option(
        "--cohort", metavar="ID|SPEC.toml", help="Built-in cohort or spec; default from bench.toml."
    ),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Folder with the cohort's files.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
JobsOption = Annotated[int | None, typer.Option("--jobs", min=1, help="Processes; default: all cores.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers do the work."),
]
ReplicatesOption = Annotated[
    int, typer.Option("--replicates", min=100, max=1_000_000, help="Bootstrap replicates.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed.")]


def workspace() -> Workspace:
    """The workspace of the current folder."""
    from bench.workspace import find_workspace

    return find_workspace()


def workspace_or_none() -> Workspace | None:
    """The workspace of the current folder, where there is one."""
    from bench.errors import BenchError

    try:
        return workspace()
    except BenchError:
        return None


def choose_spec(cohort: str | None, space: Workspace | None = None) -> CohortSpec:
    """The spec of ``--cohort``, or the workspace's default."""
    from bench.cohort.spec import builtin_specs, load_spec

    if cohort is not None:
        return load_spec(cohort)
    space = space or workspace()
    default = space.cohort
    return load_spec(default if default in builtin_specs() else str(space.root / default))


def open_cohort(cohort: str | None, data: Path | None) -> Cohort:
    """The cohort that ``--cohort`` and ``--data`` name.

    The demo cohort's table is written where it is absent from its place in the workspace: it is synthetic and
    the same everywhere. A folder elsewhere is never made, since its path may be misspelt.

    Raises:
        BenchError: Outside a workspace without a folder (``cohort-missing``, exit 3), or as `load_cohort`.
    """
    from bench.cohort.load import load_cohort
    from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
    from bench.workspace import DATA_VARIABLE

    spec = choose_spec(cohort)
    chosen = data or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    if chosen is not None:
        return load_cohort(spec, chosen)
    try:
        space = workspace()
    except BenchError as error:
        if error.problems[0].code != "workspace-missing":
            raise
        message = f"No folder is named for cohort {spec.id}, and the current folder is in no workspace."
        remedy = (
            f"Name the folder of its files: `--data DIR`, or {DATA_VARIABLE}. In a workspace (`bench init "
            "DIR`) bench.toml names it."
        )
        problem = Problem("cohort-missing", message, str(Path.cwd()), remedy)
        raise BenchError(problem, EXIT_ENVIRONMENT) from error
    folder = space.data(spec.id)
    if spec.id == "demo" and folder.resolve().is_relative_to(space.root):
        _write_demo_table(folder)
    return load_cohort(spec, folder)


def _write_demo_table(folder: Path) -> None:
    """The synthetic cohort's table where it is absent; a command that was killed over it is made up for."""
    from bench.cohort.synthetic.write import write_demo
    from bench.files import locked

    if (folder / "metadata.csv").exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / f".{folder.name}.lock"):
        if not (folder / "metadata.csv").exists():
            typer.echo(f"Writing the synthetic demo cohort's table to {folder} (no images).", err=True)
            write_demo(folder, images=False)
