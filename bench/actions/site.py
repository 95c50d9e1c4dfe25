"""Site: build, check, freeze and publish the pages of boards; needs no data."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.actions.context import CohortChoice, WorkspaceChoice, choose_spec, open_workspace, workspace_specs
from bench.board.load import load_board
from bench.board.model import LoadedBoard
from bench.cohort.spec import CohortSpec
from bench.environment import commit, tracked_files
from bench.errors import Problem, raise_errors
from bench.federation.model import SitesBoard
from bench.garbage import paused_garbage_collection
from bench.publish.build import build_site as build_pages
from bench.publish.build import freeze as freeze_boards
from bench.publish.checks.site import check_site as check_pages
from bench.publish.deploy import publish_folder
from bench.publish.releases import read_releases
from bench.scoring.scorecard import BoardInputs
from bench.workspace import Workspace, kept_back_files


@dataclass(frozen=True, slots=True)
class SiteResult:
    """A built site.

    Attributes:
        folder: Where its pages are; ``index.html`` is the first.
        cohorts: Ids of the cohorts, the first at the root of the site.
        pages: Number of HTML pages.
        written: Number of files whose bytes are new.
        unchanged: Number of files kept from an earlier build.
    """

    folder: Path
    cohorts: tuple[str, ...]
    pages: int
    written: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """A frozen release.

    Attributes:
        release: Its name.
        archive: The archive that holds its pages.
        cohorts: Ids of its cohorts.
    """

    release: str
    archive: Path
    cohorts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PublishResult:
    """A site that was built, checked and pushed.

    Attributes:
        cohorts: Ids of the cohorts.
        pages: Number of HTML pages.
        branch: Branch that holds the pages.
        commit: Commit at the tip of that branch; empty in a dry run.
        changed: Whether a commit was pushed.
    """

    cohorts: tuple[str, ...]
    pages: int
    branch: str
    commit: str = ""
    changed: bool = False


def build_site(
    out: str | Path | None = None,
    *,
    cohorts: Sequence[CohortChoice] | None = None,
    base: str | None = None,
    workspace: WorkspaceChoice | None = None,
) -> SiteResult:
    """Build the static site from stored scorecards, boards and timings.

    Args:
        out: Folder of the pages; default: the workspace's, ``site/public``.
        cohorts: The cohorts, the first at ``/``; default: those of ``bench.toml``.
        base: Path or URL under which the site will be served; default: what ``bench.toml`` says, else ``/``.
        workspace: The workspace; default: the one that holds the current folder.

    Raises:
        BenchError: A board is older than a scorecard (``board-stale``), a stored file is not valid, or the
            folder holds something else than a site (``site-folder``).
    """
    space = open_workspace(workspace)
    folder = Path(out) if out is not None else space.site
    with paused_garbage_collection():
        boards = _boards(space, cohorts)
        releases = read_releases(space.releases)
        built = build_pages(
            boards,
            folder,
            base=base or space.pages.base,
            built_from=commit() or "",
            releases=releases,
            announcement=space.pages.announcement,
            hospitals=_hospitals(space),
            exports=space.pages.exports,
            title=space.pages.title,
        )
    return SiteResult(folder, _ids(boards), built.pages, built.written, built.unchanged)


def check_site(
    out: str | Path | None = None, *, workspace: WorkspaceChoice | None = None
) -> tuple[Problem, ...]:
    """Check a built site: links, HTML, sizes, and that pages and data files agree.

    Args:
        out: Folder of the pages; default: the workspace's, ``site/public``.
        workspace: The workspace; default: the one that holds the current folder.

    Returns:
        Every problem found; empty where the site is in order.
    """
    return tuple(check_pages(Path(out) if out is not None else open_workspace(workspace).site))


def freeze_site(
    release: str,
    *,
    cohorts: Sequence[CohortChoice] | None = None,
    workspace: WorkspaceChoice | None = None,
) -> ReleaseResult:
    """Keep the boards as they are today as a release, shown below ``v/<release>/`` from then on.

    Args:
        release: Its name, such as ``2026.1``.
        cohorts: The cohorts, the first at the root of the release; default: those of ``bench.toml``.
        workspace: The workspace; default: the one that holds the current folder.

    Raises:
        BenchError: The name cannot be used or is taken (``release-name``), or a page fails a check.
    """
    space = open_workspace(workspace)
    boards = _boards(space, cohorts)
    today = datetime.datetime.now(datetime.UTC).date()
    archive = freeze_boards(
        boards,
        release,
        space.releases,
        built_from=commit() or "",
        day=today,
        exports=space.pages.exports,
        title=space.pages.title,
    )
    return ReleaseResult(release, archive, _ids(boards))


def publish_site(
    *,
    cohorts: Sequence[CohortChoice] | None = None,
    base: str | None = None,
    remote: str = "origin",
    branch: str = "gh-pages",
    dry_run: bool = False,
    workspace: WorkspaceChoice | None = None,
) -> PublishResult:
    """Build the site anew, check it, and push it as one commit to a branch.

    Args:
        cohorts: The cohorts, the first at ``/``; default: those of ``bench.toml``.
        base: Path or URL under which the site will be served; default: what ``bench.toml`` says, else ``/``.
        remote: Remote, by name or address.
        branch: Branch that holds the pages; made where it is absent.
        dry_run: Build and check, push nothing.
        workspace: The workspace; default: the one that holds the current folder.

    Raises:
        BenchError: The site fails a check, or git or the remote refuses.
    """
    space = open_workspace(workspace)
    with tempfile.TemporaryDirectory() as temporary:
        site = build_site(Path(temporary) / "site", cohorts=cohorts, base=base, workspace=space)
        raise_errors(check_site(site.folder))
        if dry_run:
            return PublishResult(site.cohorts, site.pages, branch)
        message = f"Site of {', '.join(site.cohorts)}{f', built from {commit()}' if commit() else ''}"
        pushed = publish_folder(site.folder, space.root, remote=remote, branch=branch, message=message)
    return PublishResult(site.cohorts, site.pages, branch, pushed.commit, pushed.changed)


def _ids(boards: Sequence[LoadedBoard]) -> tuple[str, ...]:
    return tuple(board.spec.id for board in boards)


def _hospitals(space: Workspace) -> SitesBoard | None:
    """The board over the hospitals whose files lie in the workspace; None without files."""
    files = sorted(space.hospitals.glob("*.json"))
    if not files:
        return None
    from bench.actions.sites import sites_board  # other boards and pages need no numpy

    return sites_board(files, workspace=space)


def _boards(space: Workspace, cohorts: Sequence[CohortChoice] | None) -> list[LoadedBoard]:
    specs = (
        [choose_spec(c, space) for c in cohorts] if cohorts else workspace_specs(space, space.pages.cohorts)
    )
    raise_errors(problem for spec in specs for problem in _tracked_files(space, spec))
    return [load_board(spec, space.submissions(spec.id), BoardInputs) for spec in specs]


def _tracked_files(space: Workspace, spec: CohortSpec) -> list[Problem]:
    """A problem where git tracks files of a cohort that its labels' mode keeps back."""
    folder = space.submissions(spec.id)
    kept = kept_back_files(folder, spec.labels)
    tracked = tracked_files(folder) if kept else set()
    if not (published := [path for path in kept if path.resolve() in tracked]):
        return []
    message = (
        f"The labels of {spec.id} are {spec.labels}, and git tracks {len(published)} files to be kept "
        f"back, such as {published[0].relative_to(folder).as_posix()}."
    )
    return [Problem("labels-kept-back", message, str(folder))]
