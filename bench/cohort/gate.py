"""Lets nothing be trained on a cohort whose check fails, and looks at unchanged image files only once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

import bench
from bench.cohort.audit import Audit, audit
from bench.cohort.audit_images import Progress
from bench.cohort.table import Cohort
from bench.documents import Document, read_json
from bench.errors import BenchError, Problem, raise_errors
from bench.files import canonical_json, write_json

DEALT_WITH = "duplicates-straddle"  # by leaving the copies out of training

Groups = tuple[tuple[int, ...], ...]


class CheckedImages(Document):
    """What looking at every image file found, kept beside the cohort's caches; it names no image."""

    schema_: Literal["checked-images/1"] = Field(default="checked-images/1", alias="schema")
    key: str = Field(description="SHA-256 over spec, split and the size and time of change of every file.")
    errors: tuple[tuple[str, str, str], ...] = Field(description="Code, message and place of each error.")
    copies: Groups = Field(description="Rows, in canonical order, of images with the same pixels.")


def require_sound(
    cohort: Cohort, folder: Path, *, images: bool, jobs: int = 1, progress: Progress | None = None
) -> Groups:
    """Refuses a cohort whose check fails.

    Args:
        cohort: A loaded cohort.
        folder: Where what was found about the image files is kept.
        images: Whether image files matter; they are read where anything changed since they last were.
        jobs: Threads that read images.
        progress: Called with (images done, images in all).

    Returns:
        Groups of rows whose images have the same pixels; none where images do not matter.

    Raises:
        BenchError: Every error that `bench cohort check` would show, but identical images in train and test:
            whoever trains leaves those out by the groups.
    """
    if not images:
        raise_errors(audit(cohort, images=False).problems)
        return ()
    key = _key(cohort)
    found = _read(_path(cohort, folder))
    if found is None or found.key != key:
        found = _checked(cohort, key, audit(cohort, jobs=jobs, progress=progress))
        write_json(_path(cohort, folder), found.plain())
    raise_errors(Problem(code, message, where) for code, message, where in found.errors)
    return found.copies


def keep_check(cohort: Cohort, found: Audit, folder: Path) -> None:
    """Keeps what an audit of all images found, so that training need not repeat it."""
    if found.images:
        write_json(_path(cohort, folder), _checked(cohort, _key(cohort), found).plain())


def _path(cohort: Cohort, folder: Path) -> Path:
    return folder / f"{cohort.spec.id}-checked.json"


def _read(path: Path) -> CheckedImages | None:
    try:
        return read_json(CheckedImages, path, "cache-write")
    except BenchError:
        return None


def _checked(cohort: Cohort, key: str, found: Audit) -> CheckedImages:
    row = {image: k for k, image in enumerate(cohort.images)}
    groups = found.images.duplicates if found.images else []
    errors = [p for p in found.problems if p.severity == "error" and p.code != DEALT_WITH]
    return CheckedImages(
        key=key,
        errors=tuple((p.code, p.message, p.where) for p in errors),
        copies=tuple(tuple(sorted(row[image] for image in group)) for group in groups),
    )


def _key(cohort: Cohort) -> str:
    digest = hashlib.sha256(canonical_json(cohort.spec.plain()))
    digest.update(f"{bench.__version__}\n{cohort.folder.resolve()}\n{cohort.split.fingerprint}\n".encode())
    for folder in (cohort.folder, *(cohort.folder / name for name in cohort.spec.files.images)):
        for line in sorted(_states(folder)):
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _states(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                state = entry.stat()
                yield f"{folder.name}/{entry.name}\t{state.st_size}\t{state.st_mtime_ns}\n"
