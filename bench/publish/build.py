"""The public entry of publishing: boards become a folder of pages."""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.board.model import LoadedBoard
from bench.errors import EXIT_USAGE, BenchError, Problem, raise_errors
from bench.federation.model import SitesBoard
from bench.files import atomic_folder, canonical_json, clear_parts, locked, recover_folders, write_atomic
from bench.publish.checks.site import check_site
from bench.publish.releases import Release, check_release_name, keep_release, read_releases, record_of
from bench.publish.templates import site_sources
from bench.publish.urls import Page, places
from bench.publish.views.site import Site, site_pages
from bench.workspace import SITE_TITLE, STORE_LOCK

BUILD_RECORD = ".build.json"
"""Path → key of every file, kept beside the pages so that the next build makes only what changed."""


@dataclass(frozen=True, slots=True)
class SiteSummary:
    """Counts of a site build.

    Attributes:
        out: Folder of the site.
        pages: HTML pages in it.
        files: Files in it, pages included.
        written: Files whose bytes are new.
        unchanged: Files that stayed as they were.
    """

    out: Path
    pages: int
    files: int
    written: int
    unchanged: int


def build_site(
    boards: Sequence[LoadedBoard],
    out: Path,
    *,
    base: str = "/",
    built_from: str = "",
    releases: Sequence[Release] = (),
    release: str = "",
    announcement: str = "",
    hospitals: SitesBoard | None = None,
    exports: bool = True,
    title: str = SITE_TITLE,
) -> SiteSummary:
    """Build the site beside `out` and swap it in; equal input gives equal bytes.

    Args:
        boards: One for each cohort; the first is at the root of the site.
        out: The site's folder; what an earlier build left there is used where it is still right.
        base: Address under which the site is served, a path or a URL. Links within the site are relative;
            only the page for missing pages, the site map and the feeds need it.
        built_from: What the boards were built from, such as a commit; shown on the board pages.
        releases: Frozen releases, which stand below ``v/``.
        release: Name of the release that these pages will be; they say so, and link to the current board.
        announcement: What every page says at its top.
        hospitals: Board over hospitals that publish aggregates only.
        exports: Whether boards with public labels have the files of `bench.publish.interchange`.
        title: Name of the site.

    Raises:
        BenchError: The boards cannot make one site (``site-input``), or `out` holds something else
            (``site-folder``).
    """
    located = places(boards)
    site = Site(
        located,
        site_sources(),
        _with_slash(base),
        built_from,
        tuple(releases),
        release,
        announcement,
        hospitals,
        exports,
        title,
    )
    with locked(out.parent / f".{out.name}.lock"):
        recover_folders(out.parent, out.name)
        return _write_site(site, out)


def _write_site(site: Site, out: Path) -> SiteSummary:
    """Write the pages beside `out` and swap them in, if one changed; the caller holds the lock of `out`."""
    _check_out(out)
    before, pages = _keys(out), list(site_pages(site))
    keys = {page.path: page.key for page in pages}
    html = sum(path.endswith(".html") for path in keys)
    if keys == before and _files(out) == {*keys, BUILD_RECORD}:
        return SiteSummary(out, html, len(keys), 0, len(keys))
    made: set[str] = set()
    with atomic_folder(out, durable=False) as part:
        unchanged = sum(_place(page, part, out, before.get(page.path) == page.key, made) for page in pages)
        (part / BUILD_RECORD).write_bytes(canonical_json(keys))
    return SiteSummary(out, html, len(keys), len(keys) - unchanged, unchanged)


def _check_out(out: Path) -> None:
    """Refuse a folder that a build would replace although it is not a site: it may hold anything."""
    if not out.exists() or (out / BUILD_RECORD).is_file() or (out.is_dir() and not any(out.iterdir())):
        return
    what = f"a folder with {sum(1 for _ in out.iterdir()):,} files or folders" if out.is_dir() else "a file"
    raise BenchError(
        Problem("site-folder", f"There is {what} that was not written by a build.", where=str(out))
    )


def _place(page: Page, part: Path, out: Path, same_key: bool, made: set[str]) -> bool:
    """Put a page into `part`; return True where the bytes of the earlier build could stay.

    `made` are the folders in `part`. Paths are texts: most pages of most builds are only linked.
    """
    folder = page.path.rpartition("/")[0]
    if folder not in made:
        (part / folder).mkdir(parents=True, exist_ok=True)
        made.add(folder)
    target, earlier = f"{part}/{page.path}", f"{out}/{page.path}"
    if same_key and _kept(earlier, target):
        return True
    data, old = page.render(), Path(earlier)
    if old.is_file() and old.stat().st_size == len(data) and old.read_bytes() == data:
        return _kept(earlier, target)
    Path(target).write_bytes(data)
    return False


def _kept(old: str, target: str) -> bool:
    """Put the file of the earlier build in its new place; return False where there is none.

    It is copied where the file system has no links.
    """
    try:
        os.link(old, target)
    except FileNotFoundError:
        return False
    except OSError:
        shutil.copy2(old, target)
    return True


def _files(out: Path) -> set[str]:
    """Every file below `out`, relative to it."""
    below = ((Path(folder).relative_to(out).as_posix(), names) for folder, _, names in os.walk(out))
    return {name if folder == "." else f"{folder}/{name}" for folder, names in below for name in names}


def _keys(out: Path) -> dict[str, str]:
    """The record of an earlier build; empty where there is none that can be read."""
    try:
        record = json.loads((out / BUILD_RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


_BASE = re.compile(
    r"(/|https?://[a-z0-9][a-z0-9.\-]*(:[0-9]+)?(/|\Z))([\w.~%+-]+(/|\Z))*", re.IGNORECASE | re.ASCII
)


def _with_slash(base: str) -> str:
    """The address with a slash at its end.

    Raises:
        BenchError: It is neither a path from the root nor an http address (``site-base``, exit 2).
    """
    if not _BASE.fullmatch(base):
        message = f"{base[:80]!r} is neither a path that begins with one / nor an http or https address."
        host = re.fullmatch(r"/{0,2}([a-z0-9-]+(\.[a-z0-9-]+)+)(/.*)?", base, re.IGNORECASE)
        remedy = f"If a host is meant, write `https://{base.lstrip('/')[:80]}`." if host else ""
        raise BenchError(Problem("site-base", message, "--base", remedy), EXIT_USAGE)
    return base if base.endswith("/") else f"{base}/"


def freeze(
    boards: Sequence[LoadedBoard],
    name: str,
    folder: Path,
    *,
    built_from: str = "",
    day: datetime.date,
    exports: bool = True,
    title: str = SITE_TITLE,
) -> Path:
    """Keep the site of these boards as release `name`.

    Args:
        boards: One for each cohort; the first is at the root of the release.
        name: Name of the release.
        folder: Where releases are kept.
        built_from: What the boards were built from, such as a commit.
        day: The day that the release bears.
        exports: As for `build_site`.
        title: As for `build_site`.

    Returns:
        The archive.

    Raises:
        BenchError: The name cannot be used (``release-name``), or a page fails a check of `bench site check`.
    """
    check_release_name(name, folder)
    with tempfile.TemporaryDirectory() as temporary:
        pages, kept, site = (Path(temporary) / part for part in ("pages", "kept", "site"))
        build_site(boards, pages, built_from=built_from, release=name, exports=exports, title=title)
        archive = keep_release(pages, record_of(name, boards, built_from, day), kept)
        build_site(boards, site, built_from=built_from, releases=read_releases(kept))
        raise_errors(check_site(site))
        with locked(folder / STORE_LOCK):
            clear_parts(folder)
            check_release_name(name, folder)  # another process may have taken it meanwhile
            write_atomic(folder / archive.name, archive.read_bytes())
    return folder / archive.name
