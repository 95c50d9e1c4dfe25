"""`bench site`: build and check."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import JsonOption, choose_spec, workspace
from bench.cli.output import reporting

if TYPE_CHECKING:
    from bench.cohort.spec import CohortSpec

app = typer.Typer(help="Build the leaderboard's pages, check them, look at them.", no_args_is_help=True)

OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder of the pages; default site/public.")
]


@app.command()
def build(
    out: OutOption = None,
    cohort: Annotated[
        list[str] | None,
        typer.Option(
            "--cohort", metavar="ID|SPEC.toml", help="Cohorts, the first at /; default: all with entries."
        ),
    ] = None,
    base: Annotated[str, typer.Option(help="Path under which the site will stand.")] = "/",
    as_json: JsonOption = False,
) -> None:
    """Build the static site from stored scorecards, boards and timings; needs no data.

    Example: bench site build
    """
    from bench.board.stored import load_board
    from bench.environment import commit
    from bench.publish.site import build_site

    with reporting(as_json) as report:
        space = workspace()
        specs = [choose_spec(c, space) for c in cohort] if cohort else _with_entries()
        gc.disable()  # what is read stays to the end; looking for garbage in it takes a fifth of the time
        boards = [load_board(spec, space.submissions(spec.id), outline=True) for spec in specs]
        target = out or space.site
        summary = build_site(boards, target, base=base, built_from=commit() or "")
        report.result(
            folder=str(target),
            cohorts=[spec.id for spec in specs],
            pages=summary.pages,
            written=summary.written,
        )
        report.show(f"Built {summary.pages} pages of {', '.join(s.id for s in specs)}.")
        report.show(f"Open {(target / 'index.html').resolve()}")


@app.command()
def check(out: OutOption = None, as_json: JsonOption = False) -> None:
    """Check a built site: links, HTML, budgets of size, and that the pages say what the data files say.

    Example: bench site check
    """
    from bench.errors import raise_errors
    from bench.publish.checks.site import check_site

    with reporting(as_json) as report:
        folder = out or workspace().site
        problems = check_site(folder)
        report.result(folder=str(folder), problems_found=len(problems))
        raise_errors(problems)
        report.remark(problems)
        report.show("The site is in order.")


def _with_entries() -> list[CohortSpec]:
    """Specs of the cohorts that have entries: the default first, then the other built-in ones."""
    from bench.cohort.spec import builtin_specs, load_spec
    from bench.submission.store import list_submissions

    space = workspace()
    default = choose_spec(None, space)
    others = [load_spec(name) for name in builtin_specs() if name != default.id]
    return [default, *(spec for spec in others if list_submissions(space.submissions(spec.id)))]
