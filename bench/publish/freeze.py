"""Freezing: a release is built, shown within a whole site, checked there, and only then kept."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.board.model import LoadedBoard
from bench.errors import raise_errors
from bench.files import clear_parts, locked, write_atomic
from bench.publish.checks.site import check_site
from bench.publish.releases import check_release_name, keep_release, read_releases, record_of
from bench.publish.site import build_site
from bench.submission.store import LOCK


def freeze(
    boards: Sequence[LoadedBoard], name: str, folder: Path, *, built_from: str = "", day: datetime.date
) -> Path:
    """Keeps the site of these boards as release `name`.

    Args:
        boards: One for each cohort; the first is at the root of the release.
        name: Name of the release.
        folder: Where releases are kept.
        built_from: What the boards were built from, such as a commit.
        day: The day that the release bears.

    Returns:
        The archive.

    Raises:
        BenchError: The name cannot be used (``release-name``), or a page fails a check of `bench site check`.
    """
    check_release_name(name, folder)
    with tempfile.TemporaryDirectory() as temporary:
        pages, kept, site = (Path(temporary) / part for part in ("pages", "kept", "site"))
        build_site(boards, pages, built_from=built_from, release=name)
        archive = keep_release(pages, record_of(name, boards, built_from, day), kept)
        build_site(boards, site, built_from=built_from, releases=read_releases(kept))
        raise_errors(check_site(site))
        with locked(folder / LOCK):
            clear_parts(folder)
            check_release_name(name, folder)  # another process may have taken it meanwhile
            write_atomic(folder / archive.name, archive.read_bytes())
    return folder / archive.name
