"""Options that many commands share, and what they stand for."""

from __future__ import annotations

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
    from bench.actions.context import open_workspace

    return open_workspace()


def workspace_or_none() -> Workspace | None:
    """The workspace of the current folder, where there is one."""
    from bench.actions.context import open_workspace_or_none

    return open_workspace_or_none()


def choose_spec(cohort: str | None, space: Workspace | None = None) -> CohortSpec:
    """The spec of ``--cohort``, or the workspace's default."""
    from bench.actions import context

    return context.choose_spec(cohort, space)


def require_entries(slugs: list[str] | None, cohort: str | None) -> None:
    """Refuse entries that are not there before the cohort is read, which takes seconds."""
    from bench.actions.context import scored_entries

    if slugs:
        scored_entries(workspace().submissions(choose_spec(cohort).id), slugs)


def open_cohort(cohort: str | None, data: Path | None) -> Cohort:
    """The cohort that ``--cohort`` and ``--data`` name; says so where the demo cohort's table is written."""
    from bench.actions import context

    def writing(folder: Path) -> None:
        typer.echo(f"Writing the synthetic demo cohort's table to {folder} (no images).", err=True)

    return context.open_cohort(cohort, data, writing_demo=writing)
