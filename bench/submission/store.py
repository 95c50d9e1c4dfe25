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

from bench.documents import Document, read_json
from bench.errors import BenchError, Problem, did_you_mean, raise_errors
from bench.files import (
    PART,
    atomic_folder,
    atomic_path,
    clear_parts,
    locked,
    recover_folders,
    sha256_file,
    write_atomic,
)
from bench.sandbox.reader import read_document, read_many
from bench.submission.manifest import SLUG_PATTERN, SLUG_RULE, Manifest, Retraction
from bench.workspace import (
    ENTRY_FILES,
    LABEL_EFFICIENCY,
    MANIFEST,
    PREDICTIONS,
    RENAMING,
    RETRACTION,
    RUNS,
    SCORECARD,
    STORE_LOCK,
    TIMINGS,
    VAL_PREDICTIONS,
)

MAX_MANIFEST_BYTES = 64 * 2**10

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Control characters and those that turn the direction of writing: names need none, and they forge others."""
_DEVICE_NAMES = "con|prn|aux|nul|com[0-9]|lpt[0-9]"


def is_device_name(name: str) -> bool:
    """Return whether Windows keeps a name, or what stands before its first dot, for a device."""
    return re.fullmatch(_DEVICE_NAMES, name.lower().partition(".")[0].strip()) is not None


@dataclass(frozen=True, slots=True)
class Submission:
    """A stored submission."""

    slug: str
    folder: Path
    manifest: Manifest
    retraction: Retraction | None = None

    @property
    def predictions(self) -> Path:
        """Its packed predictions; reported entries have none."""
        return self.folder / PREDICTIONS

    @property
    def val_predictions(self) -> Path:
        """Packed predictions of the val images, if submitted."""
        return self.folder / VAL_PREDICTIONS

    @property
    def label_efficiency(self) -> Path:
        """Packed test predictions of heads fitted on fewer patients; only entries of embeddings have them."""
        return self.folder / LABEL_EFFICIENCY

    @property
    def runs(self) -> Path:
        """Packed predictions of all runs but the first; only entries of several runs have them."""
        return self.folder / RUNS

    @property
    def scorecard(self) -> Path:
        """Its scorecard, once scored."""
        return self.folder / SCORECARD

    @property
    def timings(self) -> Path:
        """Folder of its timing records."""
        return self.folder / TIMINGS

    @property
    def scored(self) -> bool:
        """Whether it holds predictions and their scorecard."""
        return self.manifest.kind != "reported" and self.scorecard.exists()

    @property
    def waiting(self) -> bool:
        """Return whether it holds predictions that were not scored yet."""
        return self.manifest.kind != "reported" and not self.scorecard.exists()


def check_slug(slug: str) -> None:
    """Refuse a slug that could not be a folder and part of an address (``slug-invalid``)."""
    if not re.fullmatch(SLUG_PATTERN, slug):
        message = f"{slug[:80]!r} cannot be a slug, which has {SLUG_RULE}."
        near = slug_of_name(slug)
        remedy = f"Choose for example `{near}`." if near else ""
        raise BenchError(Problem("slug-invalid", message, remedy=remedy))
    if is_device_name(slug):
        raise BenchError(Problem("slug-invalid", f"{slug!r} is a name that Windows keeps for a device."))


def slug_of_name(text: str) -> str:
    """Return the slug that a name gives; empty where it has letters other than ASCII's, or none."""
    near = re.sub("[^a-z0-9]+", "-", text[:200].lower()).strip("-")[:64].strip("-")
    fits = text.isascii() and re.fullmatch(SLUG_PATTERN, near) and not is_device_name(near)
    return near if fits else ""


def check_free(folder: Path, slug: str, remedy: str = "") -> None:
    """Refuse a slug that an entry has already (``slug-taken``)."""
    if (folder / slug).exists():
        raise BenchError(Problem("slug-taken", f"Slug {slug!r} is already in use.", str(folder), remedy))


class Renaming(Document):
    """``.renaming.json``: a rename that is under way; it is finished when the command runs again."""

    old: str
    new: str


def refuse_renaming(folder: Path, wanted: Renaming | None = None) -> bool:
    """Return whether the rename that is wanted was interrupted; hold the store's lock.

    Raises:
        BenchError: Another rename was interrupted (``rename-unfinished``).
    """
    if not (folder / RENAMING).exists():
        return False
    unfinished = read_json(Renaming, folder / RENAMING, "rename-unfinished")
    if unfinished == wanted:
        return True
    message = f"A rename of {unfinished.old!r} to {unfinished.new!r} was interrupted."
    remedy = f"Finish it first: `bench rename {unfinished.old} {unfinished.new}`."
    raise BenchError(Problem("rename-unfinished", message, str(folder), remedy))


def read_manifest(path: Path) -> Manifest:
    """Read a manifest from its TOML file in the sandboxed worker.

    Raises:
        BenchError: ``manifest-invalid``, with at most 20 faults.
    """
    manifest, _ = read_document(Manifest, path, "manifest-invalid", limit=MAX_MANIFEST_BYTES, toml=True)
    raise_errors(
        Problem(
            "manifest-invalid", f"{key}: holds the control character U+{ord(steering[0]):04X}.", str(path)
        )
        for key, text in _texts("", manifest.plain())
        if (steering := _STEERING.search(text))
    )
    return manifest


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
    label_efficiency: bytes | None = None,
    runs: bytes | None = None,
    sealed: Mapping[str, bytes] = MappingProxyType({}),
    replace: bool = False,
) -> Submission:
    """Store a submission as `folder`/`slug`.

    Args:
        folder: The cohort's folder of submissions.
        slug: Name of the entry's folder.
        manifest: Checked manifest.
        predictions: The packed predictions; None for a reported entry.
        val_predictions: Those of the val images, if submitted.
        label_efficiency: Those of heads fitted on fewer patients, for embeddings.
        runs: Those of the further runs of an entry of several.
        sealed: Name → content of the files of their encrypted form, see `bench.submission.sealed.seal`.
        replace: Whether an entry of the same slug gives way, with its scorecard and timings.

    Raises:
        BenchError: ``slug-invalid``, ``slug-taken`` without `replace`, or a rename was interrupted
            (``rename-unfinished``).
    """
    check_slug(slug)
    target = folder / slug
    with locked(folder / STORE_LOCK):
        recover_folders(folder)
        refuse_renaming(folder)
        if not replace:
            check_free(folder, slug)
        with atomic_folder(target) as part:
            (part / MANIFEST).write_text(manifest_toml(manifest), "utf-8")
            plain = {
                PREDICTIONS: predictions,
                VAL_PREDICTIONS: val_predictions,
                LABEL_EFFICIENCY: label_efficiency,
                RUNS: runs,
            }
            for name, data in (*plain.items(), *sealed.items()):
                if data is not None:
                    write_atomic(part / name, data)
    return Submission(slug, target, manifest)


@contextmanager
def unchanged(
    entry: Submission, predictions_sha256: str, val_predictions_sha256: str | None = None
) -> Iterator[None]:
    """Hold the store's lock while a result of an entry is written beside its predictions.

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
            val_sha256 = sha256_file(entry.val_predictions) if entry.val_predictions.is_file() else ""
            if (
                val_sha256 != val_predictions_sha256
                or read_manifest(entry.folder / MANIFEST) != entry.manifest
            ):
                raise _changed(entry)
        yield


def refuse_changed(entry: Submission, predictions_sha256: str) -> None:
    """Refuse an entry that holds other predictions (``entry-changed``); hold the store's lock.

    What commands that died left in its folder is cleared away.
    """
    if not entry.predictions.is_file() or sha256_file(entry.predictions) != predictions_sha256:
        raise _changed(entry)
    clear_parts(entry.folder)
    clear_parts(entry.timings)


def _changed(entry: Submission) -> BenchError:
    message = f"Entry {entry.slug!r} changed during the run; the result was discarded."
    return BenchError(Problem("entry-changed", message, str(entry.folder)))


def keep_model(source: Path, target: Path) -> None:
    """Keep a copy of a submitted model in the workspace, so that it can be timed by its entry's slug."""
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
    folders = sorted(
        path.parent for path in folder.glob(f"*/{MANIFEST}") if not path.parent.name.startswith(".")
    )
    return read_many(_stored, folders)


MOST_TIMINGS = 1_000
"""Most timing records of an entry."""


def _stored(folder: Path) -> Submission:
    """Read the submission in `folder`.

    Raises:
        BenchError: It holds links, which could lead out of the store (``store-link``), or other files than an
            entry has (``store-files``); or its manifest is not valid.
    """
    check_slug(folder.name)
    links, others = ([folder.name], []) if folder.is_symlink() else _strange(folder)
    for code, what, names in (("store-link", "links", links), ("store-files", "files or folders", others)):
        if names:
            shown = ", ".join(repr(name[:60]) for name in names[:5])
            verb = "in a stored entry" if code == "store-link" else "that an entry does not have"
            raise BenchError(Problem(code, f"{len(names)} {what} {verb}: {shown}.", where=str(folder)))
    note = folder / RETRACTION
    retraction = read_document(Retraction, note, "retraction-invalid")[0] if note.exists() else None
    return Submission(folder.name, folder, read_manifest(folder / MANIFEST), retraction)


def _strange(folder: Path) -> tuple[list[str], list[str]]:
    """Names of links, and of what else an entry may not hold; no folder below its timings is entered.

    Unfinished files of commands that died are not counted.
    """
    top, timings = list(os.scandir(folder)), folder / TIMINGS
    inner = list(os.scandir(timings)) if timings.is_dir() and not timings.is_symlink() else []
    links = [item.name for item in (*top, *inner) if item.is_symlink()]
    others = [
        item.name
        for item in top
        if not (
            (_is_file(item) and item.name in ENTRY_FILES) or (item.name == TIMINGS and not _is_file(item))
        )
    ]
    others += [
        f"{TIMINGS}/{item.name}" for item in inner if not (_is_file(item) and item.name.endswith(".json"))
    ]
    others += [TIMINGS] if len(inner) > MOST_TIMINGS else []
    unfinished = {item.name for item in (*top, *inner) if _is_file(item) and item.name.endswith(PART)}
    strange = [name for name in others if name.rpartition("/")[2] not in unfinished and name not in links]
    return sorted(links), sorted(strange)


def _is_file(item: os.DirEntry[str]) -> bool:
    return item.is_file(follow_symlinks=False)


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
