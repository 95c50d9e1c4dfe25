"""`bench site`: build, check, serve, freeze and publish."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import JsonOption, choose_spec, workspace
from bench.cli.output import file_problem, reporting, show_problem

if TYPE_CHECKING:
    from bench.board.model import LoadedBoard
    from bench.cohort.spec import CohortSpec
    from bench.publish.build import SiteSummary
    from bench.workspace import Workspace

app = typer.Typer(
    help="Build the leaderboard's pages, check, look at and publish them.", no_args_is_help=True
)

OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder of the pages; default site/public.")
]
CohortsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--cohort", metavar="ID|SPEC.toml", help="Cohorts, the first at /; default: all with entries."
    ),
]
BaseOption = Annotated[str, typer.Option(help="Path or URL under which the site will stand.")]


@app.command()
def build(
    out: OutOption = None,
    cohort: CohortsOption = None,
    base: BaseOption = "/",
    as_json: JsonOption = False,
) -> None:
    """Build the static site from stored scorecards, boards and timings; needs no data.

    Example: bench site build
    """
    with reporting(as_json) as report:
        space = workspace()
        target = out or space.site
        summary, cohorts = _build(space, cohort, target, base)
        report.result(
            folder=str(target),
            cohorts=cohorts,
            pages=summary.pages,
            written=summary.written,
        )
        report.show(f"Built {summary.pages} pages of {', '.join(cohorts)}.")
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


@app.command()
def serve(
    out: OutOption = None,
    cohort: CohortsOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    as_json: JsonOption = False,
) -> None:
    """Show the site to this machine alone; build again whenever something changes, and show that at once.

    Example: bench site serve
    """
    from bench.errors import BenchError, Problem
    from bench.publish.preview import serving, stamp, watch
    from bench.publish.templates import site_sources

    with reporting(as_json) as report:
        space = workspace()
        target = (out or space.site).resolve()

        def rebuild(changed: Sequence[Path] = ()) -> None:
            for path in changed[:3]:
                report.say(f"Changed: {path}{f' and {len(changed) - 3} more' if len(changed) > 3 else ''}")
            summary, _ = _build(space, cohort, target, "/")
            report.say(f"{summary.pages} pages, {summary.written} files written.")

        def again(changed: Sequence[Path]) -> None:
            try:
                rebuild(changed)
            except (BenchError, OSError) as error:
                for problem in error.problems if isinstance(error, BenchError) else [file_problem(error)]:
                    show_problem(problem)
                report.say("The pages stay as they were before the change.")

        watched = [space.store, space.releases, space.root / "bench.toml", site_sources()]
        watched += [Path(name) for name in cohort or () if Path(name).is_file()]
        before = stamp(watched, target)
        rebuild()
        with ExitStack() as server:
            try:
                address = server.enter_context(serving(target, port))
            except OSError as error:
                message = f"Port {port}: {error.strerror or error}."
                raise BenchError(Problem("port-taken", message), 3) from error
            report.result(address=address, folder=str(target))
            report.show(f"Serving {address} until Ctrl-C.")
            try:
                watch(watched, again, built=before, leave_out=target)
            except KeyboardInterrupt:
                report.say("Stopped.")


@app.command()
def freeze(
    release: Annotated[str, typer.Argument(help="Name of the release, such as 2026.1.")],
    cohort: CohortsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the board as it stands today as a release, shown below v/RELEASE/ from now on.

    Example: bench site freeze 2026.1
    """
    import datetime

    from bench.environment import commit
    from bench.publish.build import freeze as freeze_boards

    with reporting(as_json) as report:
        space = workspace()
        boards = _boards(space, cohort)
        today = datetime.datetime.now(datetime.UTC).date()
        kept = freeze_boards(boards, release, space.releases, built_from=commit() or "", day=today)
        report.result(release=release, archive=str(kept), cohorts=[board.spec.id for board in boards])
        report.show(f"Release {release} is kept in {kept}; commit that file.")


@app.command()
def publish(
    cohort: CohortsOption = None,
    base: BaseOption = "/",
    remote: Annotated[str, typer.Option(help="Remote, by name or address.")] = "origin",
    branch: Annotated[str, typer.Option(help="Branch that holds the pages.")] = "gh-pages",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Build and check, push nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build the site anew, check it, and push it as one commit to a branch.

    Example: bench site publish --remote origin --branch gh-pages
    """
    import tempfile

    from bench.environment import commit
    from bench.errors import raise_errors
    from bench.publish.checks.site import check_site
    from bench.publish.deploy import publish_folder

    with reporting(as_json) as report, tempfile.TemporaryDirectory() as temporary:
        space = workspace()
        site = Path(temporary) / "site"
        summary, cohorts = _build(space, cohort, site, base)
        raise_errors(check_site(site))
        report.result(cohorts=cohorts, pages=summary.pages)
        if dry_run:
            report.show(f"{summary.pages} pages are in order; nothing was pushed.")
            return
        message = f"Site of {', '.join(cohorts)}{f', built from {commit()}' if commit() else ''}"
        pushed = publish_folder(site, space.root, remote=remote, branch=branch, message=message)
        report.result(commit=pushed.commit, branch=branch, changed=pushed.changed)
        if pushed.changed:
            report.show(f"Pushed {summary.pages} pages to {branch} as {pushed.commit[:12]}.")
        else:
            report.show(f"{branch} holds these pages already ({pushed.commit[:12]}).")


def _build(space: Workspace, cohort: list[str] | None, out: Path, base: str) -> tuple[SiteSummary, list[str]]:
    """Builds the site; returns what was done, and the cohorts."""
    from bench.environment import commit, paused_garbage_collection
    from bench.publish.build import build_site
    from bench.publish.releases import read_releases

    with paused_garbage_collection():
        boards = _boards(space, cohort)
        releases = read_releases(space.releases)
        summary = build_site(boards, out, base=base, built_from=commit() or "", releases=releases)
    return summary, [board.spec.id for board in boards]


def _boards(space: Workspace, cohort: list[str] | None) -> list[LoadedBoard]:
    from bench.board.load import load_board
    from bench.scoring.scorecard import BoardInputs

    specs = [choose_spec(c, space) for c in cohort] if cohort else _with_entries(space)
    return [load_board(spec, space.submissions(spec.id), BoardInputs) for spec in specs]


def _with_entries(space: Workspace) -> list[CohortSpec]:
    """Specs of the cohorts that have entries: the default first, then the other built-in ones."""
    from bench.cohort.spec import builtin_specs, load_spec
    from bench.submission.store import list_submissions

    default = choose_spec(None, space)
    others = [load_spec(name) for name in builtin_specs() if name != default.id]
    return [default, *(spec for spec in others if list_submissions(space.submissions(spec.id)))]
