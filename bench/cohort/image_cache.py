"""Decoded images of a cohort in one memory-mapped file, so that training decodes nothing.

``<cohort>-<height>x<width>.u8`` holds the 8-bit grey values of every image in canonical order, and a
``.json`` beside it the hash of each chunk of it and a digest of the image files it was made of. Neither is
believed: what does not match its hash, or was made of other files, is never used and is decoded again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from bench.cohort.cohort import Cohort
from bench.cohort.decode import Place, decode_into
from bench.cohort.images import ImageFolders, Pixels
from bench.documents import Document, read_json
from bench.environment import process_pool
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.files import canonical_json, locked, sha256_bytes
from bench.progress import Progress

SIDE = 224
CHUNK = 512


class CacheIndex(Document):
    """What the file beside the pixels says."""

    schema_: Literal["image-cache/1"] = Field(default="image-cache/1", alias="schema")
    cohort: str
    version: str
    height: int
    width: int
    images: int
    source: str = Field(description="SHA-256 over id, size and time of change of every image file.")
    chunks: tuple[str | None, ...] = Field(description="SHA-256 of each chunk; null where not yet decoded.")


@dataclass(frozen=True, slots=True)
class CacheSummary:
    """What `build_cache` did.

    Attributes:
        path: The file of pixels.
        images: Images in it.
        decoded: Images decoded by this call.
        kept: Images that were there, whole, from an earlier one.
        size_bytes: Size of the file.
    """

    path: Path
    images: int
    decoded: int
    kept: int
    size_bytes: int


def build_cache(
    cohort: Cohort,
    folder: Path,
    *,
    height: int = SIDE,
    width: int = SIDE,
    jobs: int = 1,
    progress: Progress | None = None,
) -> CacheSummary:
    """Decodes every image of a cohort once; called again, it decodes only what is not there whole.

    Args:
        cohort: Whose images.
        folder: Where the cache lies, made where absent.
        height: Of the decoded images, in pixels.
        width: Of the decoded images, in pixels.
        jobs: Processes that decode.
        progress: Called with (images done, images in all) as chunks are finished.

    Raises:
        BenchError: An image is missing or damaged (``images-unreadable``), or the disk is full or cannot be
            written to (``cache-write``); exit code 3. What was decoded stays and is not decoded again.
    """
    data, index = _paths(cohort, folder, height, width)
    files = _files(cohort)
    wanted = _empty_index(cohort, files, height, width)
    decoded = 0
    with _written(folder), locked(folder / f".{data.name}.lock"), _opened(data, index, wanted) as fd:
        chunks = list(_whole_chunks(fd, _read_index(index), wanted))
        done = sum(len(_chunk(k, files)) for k, known in enumerate(chunks) if known)
        if progress is not None and done:
            progress(done, len(files))
        for k, digest in _decoded(data, files, chunks, wanted, jobs):
            chunks[k] = digest
            _keep(index, wanted, chunks)
            decoded += len(_chunk(k, files))
            if progress is not None:
                progress(done + decoded, len(files))
        _keep(index, wanted, chunks)
    return CacheSummary(data, len(files), decoded, done, data.stat().st_size)


def cached_images(
    cohort: Cohort,
    folder: Path,
    *,
    height: int = SIDE,
    width: int = SIDE,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Pixels:
    """(n, height, width) the decoded images, mapped read-only; what is not there whole is decoded first.

    Arguments and errors are those of `build_cache`.
    """
    summary = build_cache(cohort, folder, height=height, width=width, jobs=jobs, progress=progress)
    return np.memmap(summary.path, np.uint8, "r", shape=(len(cohort), height, width))


def open_cache(cohort: Cohort, folder: Path, *, height: int = SIDE, width: int = SIDE) -> Pixels | None:
    """(n, height, width) the decoded images in canonical order, mapped read-only.

    None where there is no cache, or it is unfinished, damaged, or of other files: every byte is verified.
    """
    data, index = _paths(cohort, folder, height, width)
    if not data.is_file() or not index.is_file():
        return None
    wanted = _empty_index(cohort, _files(cohort), height, width)
    with data.open("rb") as file:
        if None in _whole_chunks(file.fileno(), _read_index(index), wanted):
            return None
    return np.memmap(data, np.uint8, "r", shape=(len(cohort), height, width))


def _paths(cohort: Cohort, folder: Path, height: int, width: int) -> tuple[Path, Path]:
    stem = f"{cohort.spec.id}-{height}x{width}"
    return folder / f"{stem}.u8", folder / f"{stem}.json"


def _files(cohort: Cohort) -> list[os.DirEntry[str]]:
    """The file of each image, each folder listed once."""
    folders = ImageFolders(cohort)
    listed: dict[str, os.DirEntry[str]] = {}
    for folder in reversed(folders.folders):
        with os.scandir(folder) as entries:
            listed.update({entry.name: entry for entry in entries})
    found = [listed.get(image + folders.suffix) for image in cohort.images]
    if missing := sum(entry is None for entry in found):
        message = f"{missing} of {len(found)} images are missing; `bench cohort check` lists them."
        raise BenchError(Problem("images-unreadable", message, where=str(cohort.folder)), EXIT_ENVIRONMENT)
    return [entry for entry in found if entry is not None]


def _empty_index(cohort: Cohort, files: list[os.DirEntry[str]], height: int, width: int) -> CacheIndex:
    digest = hashlib.sha256()
    for entry in files:
        state = entry.stat()
        digest.update(f"{entry.name}\t{state.st_size}\t{state.st_mtime_ns}\n".encode())
    return CacheIndex(
        cohort=cohort.spec.id,
        version=cohort.spec.version,
        height=height,
        width=width,
        images=len(files),
        source=digest.hexdigest(),
        chunks=(None,) * -(-len(files) // CHUNK),
    )


def _read_index(path: Path) -> CacheIndex | None:
    try:
        return read_json(CacheIndex, path, "cache-write")
    except BenchError:
        return None


def _whole_chunks(fd: int, found: CacheIndex | None, wanted: CacheIndex) -> Iterator[str | None]:
    """For each chunk its hash where the bytes on disk have it, else None."""
    if found is None or not _of_the_same(found, wanted) or len(found.chunks) != len(wanted.chunks):
        yield from wanted.chunks
        return
    image = wanted.height * wanted.width
    for k, known in enumerate(found.chunks):
        size = min(CHUNK, wanted.images - k * CHUNK) * image
        whole = known is not None and sha256_bytes(os.pread(fd, size, k * CHUNK * image)) == known
        yield known if whole else None


def _keep(index: Path, wanted: CacheIndex, chunks: list[str | None]) -> None:
    """Writes the index, whole or not at all, but forces nothing to the disk: hashes find what is lost."""
    part = index.with_name(f".{index.name}.part")
    part.write_bytes(canonical_json(wanted.model_copy(update={"chunks": tuple(chunks)}).plain()))
    part.replace(index)


def _of_the_same(found: CacheIndex, wanted: CacheIndex) -> bool:
    return found.model_copy(update={"chunks": wanted.chunks}) == wanted


def _chunk(k: int, files: list[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
    return files[k * CHUNK : (k + 1) * CHUNK]


def _decoded(
    data: Path, files: list[os.DirEntry[str]], chunks: list[str | None], wanted: CacheIndex, jobs: int
) -> Iterator[tuple[int, str]]:
    """Decodes the chunks that are not there, by processes; gives number and hash of each when it is."""
    tasks = [
        (k, Place(data, wanted.height, wanted.width, k * CHUNK), [file.path for file in _chunk(k, files)])
        for k, known in enumerate(chunks)
        if known is None
    ]
    if min(jobs, len(tasks)) < 2:
        yield from ((k, decode_into(place, paths)) for k, place, paths in tasks)
        return
    with process_pool(min(jobs, len(tasks))) as pool:
        futures = {pool.submit(decode_into, place, paths): k for k, place, paths in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()


@contextmanager
def _opened(data: Path, index: Path, wanted: CacheIndex) -> Iterator[int]:
    """The file of pixels at its full size, its space taken on the disk from the start.

    A cache of other files gives way to a new file, not to new bytes: who reads it now goes on reading it.
    """
    found = _read_index(index)
    if found is None or not _of_the_same(found, wanted):
        data.unlink(missing_ok=True)
    fd = os.open(data, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        size = wanted.images * wanted.height * wanted.width
        os.ftruncate(fd, size)
        if hasattr(os, "posix_fallocate"):  # elsewhere a full disk is found while writing
            os.posix_fallocate(fd, 0, size)
        else:
            os.ftruncate(fd, size)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        message = f"The cache of images could not be written: {error.strerror or error}."
        raise BenchError(Problem("cache-write", message, where=str(folder)), EXIT_ENVIRONMENT) from error
