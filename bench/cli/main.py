"""The command `bench`: registers the commands, nothing else."""

from __future__ import annotations

from typing import Annotated

import typer

import bench
from bench.cli import (
    baseline,
    board,
    cohort,
    compare,
    demo,
    maintain,
    reference,
    score,
    site,
    sites,
    submit,
    timing,
)
from bench.cli.app import App
from bench.garbage import collect_rarely, leave_garbage

app = App(
    name="bench",
    help="CheXchoBench: score, time and rank models that read echocardiographic labels from chest X-rays.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command(libraries="tables")(reference.doctor)
app.add_typer(cohort.app, name="cohort")
app.command(libraries="tables")(submit.template)
app.command()(submit.submit)
app.command()(submit.register)
app.command()(score.score)
app.command()(compare.compare)
app.command(libraries="none")(board.board)
app.command(libraries="none")(sites.keygen)
app.command(name="time")(timing.time)
app.add_typer(baseline.app, name="baseline")
app.add_typer(site.app, name="site")
app.command(name="open", libraries="none")(site.open_pages)
app.command()(score.verify)
app.command()(maintain.retract)
app.command()(maintain.rename)
app.command(libraries="none")(reference.sums)
app.command(libraries="none")(reference.explain)
app.command(libraries="none")(reference.schema)
app.command(libraries="none")(reference.init)
app.add_typer(reference.keys, name="key")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bench {bench.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """CheXchoBench: score, time and rank models that read echocardiographic labels from chest X-rays."""


def main() -> None:
    """Entry point of the command `bench`."""
    collect_rarely()
    try:
        app()
    finally:
        leave_garbage()
