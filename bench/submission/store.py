"""The store of submissions: one folder each, written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tomlkit

from bench.documents import read_toml
from bench.errors import BenchError, Problem, did_you_mean, raise_errors
from bench.files import (
    atomic_folder,
    atomic_path,
    clear_parts,
    locked,
    recover_folders,
    sha256_file,
    write_atomic,
)
from bench.submission.manifest import SLUG_PATTERN, SLUG_RULE, Manifest
from bench.workspace import MANIFEST, PREDICTIONS, SCORECARD, STORE_LOCK, TIMINGS, VAL_PREDICTIONS

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Control characters and those that turn the direction of writing: names need none, and they forge others."""
_DEVICE_NAMES = "con|prn|aux|nul|com[0-9]|lpt[0-9]"  # no folder of Windows can have them


@dataclass(frozen=True, slots=True)
class Submission:
    """A stored submission."""

    slug: str
    folder: Path
    manifest: Manifest

    @property
    def predictions(self) -> Path:
        """Its packed predictions; reported entries have none."""
        return self.folder / PREDICTIONS

    @property
    def val_predictions(self) -> Path:
        """Packed predictions of the val images, if submitted."""
        return self.folder / VAL_PREDICTIONS

    @property
    def scorecard(self) -> Path:
        """Its scorecard, once scored."""
        return self.folder / SCORECARD

    @property
    def timings(self) -> Path:
        """Folder of its timing records."""
        return self.folder / TIMINGS

    @property
    def waiting(self) -> bool:
        """Whether it holds predictions that were not scored yet."""
        return self.manifest.kind != "reported" and not self.scorecard.exists()


def check_slug(slug: str) -> None:
    """Refuses a slug that could not be a folder and part of an address (``slug-invalid``)."""
    if re.fullmatch(_DEVICE_NAMES, slug):
        raise BenchError(Problem("slug-invalid", f"{slug!r} is a name that Windows keeps for a device."))
    if not re.fullmatch(SLUG_PATTERN, slug):
        message = f"{slug[:80]!r} cannot be a slug, which has {SLUG_RULE}."
        raise BenchError(Problem("slug-invalid", message, remedy=_nearest_slug(slug)))


def _nearest_slug(text: str) -> str:
    """What to do, where a slug can be made of the text; other letters than ASCII's are left to its author."""
    near = re.sub("[^a-z0-9]+", "-", text[:200].lower()).strip("-")[:64].strip("-")
    fits = text.isascii() and re.fullmatch(SLUG_PATTERN, near) and not re.fullmatch(_DEVICE_NAMES, near)
    return f"Choose for example `{near}`." if fits else ""


def check_free(folder: Path, slug: str) -> None:
    """Refuses a slug that an entry has already (``slug-taken``)."""
    if (folder / slug).exists():
        raise BenchError(Problem("slug-taken", f"There is an entry {slug!r} already.", where=str(folder)))


def read_manifest(path: Path) -> Manifest:
    """A manifest from its TOML file.

    Raises:
        BenchError: ``manifest-invalid``, every fault listed.
    """
    found = read_toml(Manifest, path, "manifest-invalid")
    raise_errors(
        Problem(
            "manifest-invalid", f"{key}: holds the control character U+{ord(steering[0]):04X}.", str(path)
        )
        for key, text in _texts("", found.plain())
        if (steering := _STEERING.search(text))
    )
    return found


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text of a document, keys of its tables included, with the key that it stands under."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield key or "document", name
            yield from _texts(f"{key}.{name}" if key else name, item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(key, item)


def manifest_toml(manifest: Manifest) -> str:
    """The TOML text of a manifest."""
    data = manifest.model_dump(mode="json", by_alias=True, exclude_none=True)
    return tomlkit.dumps({**data, "date": manifest.date})


def store(
    folder: Path,
    slug: str,
    manifest: Manifest,
    predictions: bytes | None,
    *,
    val_predictions: bytes | None = None,
    sealed: Mapping[str, bytes] = MappingProxyType({}),
    replace: bool = False,
) -> Submission:
    """Stores a submission as `folder`/`slug`.

    Args:
        folder: The cohort's folder of submissions.
        slug: Name of the entry's folder.
        manifest: Checked manifest.
        predictions: The packed predictions; None for a reported entry.
        val_predictions: Those of the val images, if submitted.
        sealed: Name → content of the files of their encrypted form, see `bench.submission.sealed.seal`.
        replace: Whether an entry of the same slug gives way, with its scorecard and timings.

    Raises:
        BenchError: ``slug-invalid``, or ``slug-taken`` without `replace`.
    """
    check_slug(slug)
    target = folder / slug
    with locked(folder / STORE_LOCK):
        recover_folders(folder)
        if not replace:
            check_free(folder, slug)
        with atomic_folder(target) as part:
            (part / MANIFEST).write_text(manifest_toml(manifest), "utf-8")
            if predictions is not None:
                write_atomic(part / PREDICTIONS, predictions)
            if val_predictions is not None:
                write_atomic(part / VAL_PREDICTIONS, val_predictions)
            for name, data in sealed.items():
                write_atomic(part / name, data)
    return Submission(slug, target, manifest)


@contextmanager
def unchanged(
    entry: Submission, predictions_sha256: str, val_predictions_sha256: str | None = None
) -> Iterator[None]:
    """Holds the store's lock while a result of an entry is written beside its predictions.

    Args:
        entry: The entry.
        predictions_sha256: Of the predictions that the result was computed from.
        val_predictions_sha256: Of those of the val images, empty without them; None where they do not count.

    Raises:
        BenchError: The entry was replaced or removed meanwhile (``entry-changed``); its result is dropped.
    """
    with locked(entry.folder.parent / STORE_LOCK):
        refuse_changed(entry, predictions_sha256)
        if val_predictions_sha256 is not None:
            held = sha256_file(entry.val_predictions) if entry.val_predictions.is_file() else ""
            if held != val_predictions_sha256 or read_manifest(entry.folder / MANIFEST) != entry.manifest:
                raise _changed(entry)
        yield


def refuse_changed(entry: Submission, predictions_sha256: str) -> None:
    """Refuses an entry that holds other predictions (``entry-changed``); hold the store's lock.

    What commands that died left in its folder is cleared away.
    """
    if not entry.predictions.is_file() or sha256_file(entry.predictions) != predictions_sha256:
        raise _changed(entry)
    clear_parts(entry.folder)
    clear_parts(entry.timings)


def _changed(entry: Submission) -> BenchError:
    message = f"Entry {entry.slug!r} was replaced while it was worked on; that result is dropped."
    return BenchError(Problem("entry-changed", message, str(entry.folder)))


def keep_model(source: Path, target: Path) -> None:
    """Keeps a copy of a submitted model in the workspace, so that it can be timed by its entry's slug."""
    with locked(target.parent / STORE_LOCK):
        clear_parts(target.parent)
        if not target.exists():
            with atomic_path(target) as part:
                shutil.copyfile(source, part)


def list_submissions(folder: Path) -> list[Submission]:
    """The cohort's stored submissions by slug.

    Raises:
        BenchError: A manifest is not valid, or an entry holds links.
    """
    if not folder.is_dir():
        return []
    found = sorted(
        path.parent for path in folder.glob(f"*/{MANIFEST}") if not path.parent.name.startswith(".")
    )
    return [_stored(path) for path in found]


def _stored(folder: Path) -> Submission:
    """The submission in `folder`; links are refused, they could lead out of the store (``store-link``)."""
    if links := [folder.name] if folder.is_symlink() else sorted(_links(folder)):
        message = f"{len(links)} links in a stored entry: {', '.join(links[:5])}."
        raise BenchError(Problem("store-link", message, where=str(folder)))
    check_slug(folder.name)
    return Submission(folder.name, folder, read_manifest(folder / MANIFEST))


def _links(folder: Path) -> Iterator[str]:
    """Names of the links in a folder and those below it."""
    with os.scandir(folder) as found:
        for path in found:
            if path.is_symlink():
                yield path.name
            elif path.is_dir():
                yield from _links(Path(path.path))


def find_submission(folder: Path, slug: str) -> Submission:
    """One stored submission.

    Raises:
        BenchError: ``entry-unknown``, naming the entries there are.
    """
    path = folder / slug
    if not re.fullmatch(SLUG_PATTERN, slug) or not (path / MANIFEST).is_file():
        known = sorted(p.parent.name for p in folder.glob(f"*/{MANIFEST}"))
        shown = (", ".join(known[:20]) + (", …" if len(known) > 20 else "")) or "none"
        message = f"There is no entry {slug[:80]!r}; there are: {shown}.{did_you_mean(slug, known)}"
        remedy = "All entries are meant by `--all`, or by no name at all." if slug in ("all", "*") else ""
        raise BenchError(Problem("entry-unknown", message, str(folder), remedy))
    return _stored(path)
