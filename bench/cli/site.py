"""`bench site`: build, check, serve, freeze and publish."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.app import App
from bench.cli.options import JsonOption, workspace
from bench.cli.output import file_problem, reporting, show_problem

app = App(help="Build the leaderboard's pages, check, look at and publish them.", no_args_is_help=True)

OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder of the pages; default site/public.")
]
CohortsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--cohort", metavar="ID|SPEC.toml", help="Cohorts, the first at /; default: all with entries."
    ),
]
BaseOption = Annotated[
    str | None,
    typer.Option(help="Path or URL under which the site will stand; default from bench.toml, or /."),
]


@app.command(libraries="none")
def build(
    out: OutOption = None,
    cohort: CohortsOption = None,
    base: BaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build the static site from stored scorecards, boards and timings; needs no data.

    Example: bench site build
    """
    from bench.actions.site import build_site

    with reporting(as_json) as report:
        site = build_site(out, cohorts=cohort, base=base)
        report.result(
            folder=str(site.folder),
            cohorts=list(site.cohorts),
            pages=site.pages,
            written=site.written,
        )
        report.show(f"Built {site.pages} pages of {', '.join(site.cohorts)}.")
        report.show(f"Open {(site.folder / 'index.html').resolve()}")


def open_pages(out: OutOption = None, as_json: JsonOption = False) -> None:
    """Open the built pages in the web browser.

    Example: bench open
    """
    import webbrowser

    from bench.errors import BenchError, Problem

    with reporting(as_json) as report:
        page = ((out or workspace().site) / "index.html").resolve()
        if not page.is_file():
            raise BenchError(Problem("site-missing", "No pages were built here.", str(page)))
        opened = webbrowser.open(page.as_uri())
        report.result(page=str(page), opened=opened)
        report.show(str(page) if opened else f"No web browser could be started. Open {page}")


@app.command(libraries="none")
def check(out: OutOption = None, as_json: JsonOption = False) -> None:
    """Check a built site: links, HTML, budgets of size, and that the pages say what the data files say.

    Example: bench site check
    """
    from bench.actions.site import check_site
    from bench.errors import raise_errors

    with reporting(as_json) as report:
        folder = out or workspace().site
        problems = check_site(folder)
        report.result(folder=str(folder), problems_found=len(problems))
        raise_errors(problems)
        report.show_problems(problems)
        report.show("The site is in order.")


@app.command(libraries="none")
def serve(
    out: OutOption = None,
    cohort: CohortsOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    as_json: JsonOption = False,
) -> None:
    """Show the site to this machine alone; build again whenever something changes, and show that at once.

    Example: bench site serve
    """
    from bench.actions.site import build_site
    from bench.errors import BenchError, Problem
    from bench.publish.preview import serving, stamp, watch
    from bench.publish.templates import site_sources

    with reporting(as_json) as report:
        space = workspace()
        target = (out or space.site).resolve()

        def rebuild(changed: Sequence[Path] = ()) -> None:
            for path in changed[:3]:
                report.say(f"Changed: {path}{f' and {len(changed) - 3} more' if len(changed) > 3 else ''}")
            site = build_site(target, cohorts=cohort, workspace=space)
            report.say(f"{site.pages} pages, {site.written} files written.")

        def again(changed: Sequence[Path]) -> None:
            try:
                rebuild(changed)
            except (BenchError, OSError) as error:
                for problem in error.problems if isinstance(error, BenchError) else [file_problem(error)]:
                    show_problem(problem)
                report.say("The pages stay as they were before the change.")

        watched = [space.store, space.releases, space.marker, site_sources()]
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


@app.command(libraries="none")
def freeze(
    release: Annotated[str, typer.Argument(help="Name of the release, such as 2026.1.")],
    cohort: CohortsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the board as it stands today as a release, shown below v/RELEASE/ from now on.

    Example: bench site freeze 2026.1
    """
    from bench.actions.site import freeze_site

    with reporting(as_json) as report:
        kept = freeze_site(release, cohorts=cohort)
        report.result(release=release, archive=str(kept.archive), cohorts=list(kept.cohorts))
        report.show(f"Release {release} is kept in {kept.archive}; commit that file.")


@app.command(libraries="none")
def publish(
    cohort: CohortsOption = None,
    base: BaseOption = None,
    remote: Annotated[str, typer.Option(help="Remote, by name or address.")] = "origin",
    branch: Annotated[str, typer.Option(help="Branch that holds the pages.")] = "gh-pages",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Build and check, push nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build the site anew, check it, and push it as one commit to a branch.

    Example: bench site publish --remote origin --branch gh-pages
    """
    from bench.actions.site import publish_site

    with reporting(as_json) as report:
        done = publish_site(cohorts=cohort, base=base, remote=remote, branch=branch, dry_run=dry_run)
        report.result(cohorts=list(done.cohorts), pages=done.pages)
        if dry_run:
            report.show(f"{done.pages} pages are in order; nothing was pushed.")
            return
        report.result(commit=done.commit, branch=branch, changed=done.changed)
        if done.changed:
            report.show(f"Pushed {done.pages} pages to {branch} as {done.commit[:12]}.")
        else:
            report.show(f"{branch} holds these pages already ({done.commit[:12]}).")
