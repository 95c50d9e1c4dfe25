"""Frozen releases: a built site kept as one archive, shown unchanged below ``v/<release>/`` ever after."""

from __future__ import annotations

import datetime
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePosixPath

from pydantic import Field, ValidationError

from bench.board.model import LoadedBoard
from bench.documents import Document, schema_field
from bench.errors import BenchError, Problem
from bench.files import atomic_path, canonical_json, sha256_file
from bench.publish.urls import Page, digest
from bench.submission.store import is_device_name

RECORD = "release.json"
MOST_RECORD_BYTES = 2**16
NAME_PATTERN = r"[0-9a-z][0-9a-z.-]{0,39}"
EPOCH = (1980, 1, 1, 0, 0, 0)
MAX_BYTES = 2**30


class FrozenBoard(Document):
    """One cohort of a release."""

    cohort: str
    version: str
    title: str
    fingerprint: str | None = Field(description="Of the split; null where nothing was scored.")
    entries: int


class ReleaseRecord(Document):
    """``release.json``: what a release is."""

    schema_: str = schema_field("release", 1)
    release: str
    frozen_on: datetime.date
    built_from: str
    boards: tuple[FrozenBoard, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """A release as it is kept: its record, its archive and the archive's hash."""

    record: ReleaseRecord
    archive: Path
    sha256: str

    @property
    def name(self) -> str:
        """Its folder below ``v/``."""
        return self.record.release


def check_release_name(name: str, folder: Path) -> None:
    """Refuse a name that cannot be part of an address, or that is taken: releases never change.

    Raises:
        BenchError: ``release-name``.
    """
    if not re.fullmatch(NAME_PATTERN, name) or is_device_name(name) or name.endswith("."):
        message = (
            f"{name[:60]!r} cannot be the name of a release, which has at most 40 lower-case letters, "
            "digits, dots and hyphens, no dot at its end, and is no device of Windows."
        )
        raise BenchError(Problem("release-name", message, remedy="Choose a name such as `2026.1`."))
    if _archive(folder, name).exists():
        raise BenchError(Problem("release-name", f"Release {name!r} is frozen already.", where=str(folder)))


def record_of(name: str, boards: Sequence[LoadedBoard], built_from: str, day: datetime.date) -> ReleaseRecord:
    """The record of a release of these boards."""
    frozen = tuple(
        FrozenBoard(
            cohort=b.spec.id,
            version=b.spec.version,
            title=b.board.title if b.board else b.spec.title,
            fingerprint=b.board.stamp.fingerprint if b.board else None,
            entries=len(b.entries),
        )
        for b in boards
    )
    return ReleaseRecord(release=name, frozen_on=day, built_from=built_from, boards=frozen)


def keep_release(site: Path, record: ReleaseRecord, folder: Path) -> Path:
    """Pack a built site; equal files give equal bytes, so that anyone can check a release.

    Args:
        site: The pages, built for this release.
        record: Its record.
        folder: Where releases are kept.

    Returns:
        The archive.
    """
    target = _archive(folder, record.release)
    files = {p.relative_to(site).as_posix(): p for p in site.rglob("*") if p.is_file()}
    with (
        atomic_path(target) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as zipped,
    ):
        zipped.writestr(_info(RECORD), canonical_json(record.plain()))
        for name in sorted(files):
            if not PurePosixPath(name).name.startswith("."):
                zipped.writestr(_info(name), files[name].read_bytes())
    return target


def read_releases(folder: Path) -> tuple[Release, ...]:
    """The kept releases, newest first.

    Raises:
        BenchError: An archive that `keep_release` did not write (``release-invalid``).
    """
    releases = [_read(path) for path in sorted(folder.glob("*.zip"))]
    return tuple(sorted(releases, key=lambda r: (r.record.frozen_on, r.name), reverse=True))


def release_pages(releases: Sequence[Release]) -> Iterator[Page]:
    """The files of all releases, as they were frozen."""
    for release in releases:
        with zipfile.ZipFile(release.archive) as zipped:
            names = zipped.namelist()
        for name in names:
            yield Page(
                f"v/{release.name}/{name}",
                digest(release.sha256, name),
                lambda release=release, name=name: _opened(release.archive, release.sha256).read(name),  # type: ignore[misc]
            )


@lru_cache(maxsize=1)
def _opened(archive: Path, _sha256: str) -> zipfile.ZipFile:
    """An archive in memory: to open it reads the names of all its files, too much for each of them."""
    return zipfile.ZipFile(BytesIO(archive.read_bytes()))


def _read(path: Path) -> Release:
    try:
        with zipfile.ZipFile(path) as zipped:
            if (size := zipped.getinfo(RECORD).file_size) > MOST_RECORD_BYTES:
                raise ValueError(f"a record of {size} bytes")
            record = ReleaseRecord.model_validate_json(zipped.read(RECORD))
            fault = _fault(zipped, record, path)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, ValidationError) as error:
        fault = f"It cannot be read: {type(error).__name__}."
    if fault:
        raise BenchError(Problem("release-invalid", fault, where=str(path)))
    return Release(record, path, sha256_file(path))


def _fault(zipped: zipfile.ZipFile, record: ReleaseRecord, path: Path) -> str:
    """Reason not to show an archive: it could write elsewhere, fill the disk, or bear another's name."""
    if path.stem != record.release or not re.fullmatch(NAME_PATTERN, record.release):
        return f"It holds release {record.release[:60]!r}."
    names = zipped.namelist()
    if bad := [n for n in names if n.startswith("/") or "\\" in n or ".." in n.split("/") or n.endswith("/")]:
        return f"{len(bad)} names of files that lead outside its folder."
    if len(set(names)) < len(names) or sum(i.file_size for i in zipped.infolist()) > MAX_BYTES:
        return "Files are repeated, or together too large."
    return ""


def _archive(folder: Path, name: str) -> Path:
    return folder / f"{name}.zip"


def _info(name: str) -> zipfile.ZipInfo:
    """A file of an archive without the time and the rights of this machine."""
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
    return info
