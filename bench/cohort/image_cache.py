"""Cache of a cohort's decoded images in one memory-mapped file.

``<cohort>-<height>x<width>.u8`` holds the 8-bit grey values of every image in canonical order, and
``<cohort>-<height>x<width>-bicubic.u8`` those by another image rule than the default one; the ``.json``
file beside it holds the hash of each chunk and a digest of the source image files. A chunk that does not
match its hash, or comes from other image files, is decoded again.
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
from bench.cohort.decode import DEFAULT_RULE, ImageRule, PixelSlot, decode_into
from bench.cohort.images import ImageFolders, Pixels
from bench.documents import Document, read_json
from bench.environment import process_pool
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.files import canonical_json, locked, sha256_bytes
from bench.progress import Progress

SIDE = 224
CHUNK = 512


class CacheIndex(Document):
    """Index of the cache: its source and the hash of each chunk."""

    schema_: Literal["image-cache/1"] = Field(default="image-cache/1", alias="schema")
    cohort: str
    version: str
    height: int
    width: int
    rule: tuple[str, ...] = Field(default=(), description="What differs from the default image rule.")
    images: int
    source: str = Field(description="SHA-256 over id, size and time of change of every image file.")
    chunks: tuple[str | None, ...] = Field(description="SHA-256 of each chunk; null where not yet decoded.")


@dataclass(frozen=True, slots=True)
class CacheSummary:
    """Result of `build_cache`.

    Attributes:
        path: File of pixels.
        images: Number of images in it.
        decoded: Images decoded by this call.
        kept: Valid images from an earlier call.
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
    rule: ImageRule = DEFAULT_RULE,
    jobs: int = 1,
    progress: Progress | None = None,
) -> CacheSummary:
    """Decode every image of a cohort that the cache does not hold yet.

    Args:
        cohort: The cohort.
        folder: Folder of the cache, created if absent.
        height: Height of the decoded images in pixels.
        width: Width of the decoded images in pixels.
        rule: How image files become grey values.
        jobs: Number of processes.
        progress: Called with (images done, total images) after each chunk.

    Raises:
        BenchError: An image is missing or damaged (``images-unreadable``), or the disk is full or not
            writable (``cache-write``); exit code 3. Decoded chunks are kept.
    """
    files = _image_files(cohort)
    template = _empty_index(cohort, files, height, width, rule)
    data, index = _paths(folder, template)
    decoded = 0
    with (
        _reporting_write_errors(folder),
        locked(folder / f".{data.name}.lock"),
        _open_pixels(data, index, template) as fd,
    ):
        chunks = list(_valid_chunks(fd, _read_index(index), template))
        kept = sum(len(_files_of_chunk(k, files)) for k, digest in enumerate(chunks) if digest)
        if progress is not None and kept:
            progress(kept, len(files))
        for k, digest in _decode_missing(data, files, chunks, template, rule, jobs):
            chunks[k] = digest
            _write_index(index, template, chunks)
            decoded += len(_files_of_chunk(k, files))
            if progress is not None:
                progress(kept + decoded, len(files))
        _write_index(index, template, chunks)
    return CacheSummary(data, len(files), decoded, kept, data.stat().st_size)


def cached_images(
    cohort: Cohort,
    folder: Path,
    *,
    height: int = SIDE,
    width: int = SIDE,
    rule: ImageRule = DEFAULT_RULE,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Pixels:
    """Return the decoded images (n, height, width), mapped read-only, after `build_cache`.

    Arguments and errors are those of `build_cache`.
    """
    summary = build_cache(cohort, folder, height=height, width=width, rule=rule, jobs=jobs, progress=progress)
    return np.memmap(summary.path, np.uint8, "r", shape=(len(cohort), height, width))


def _paths(folder: Path, index: CacheIndex) -> tuple[Path, Path]:
    stem = "-".join((index.cohort, f"{index.height}x{index.width}", *index.rule))
    return folder / f"{stem}.u8", folder / f"{stem}.json"


def _image_files(cohort: Cohort) -> list[Path]:
    """Return the file of each image; each folder is listed once."""
    listed = ImageFolders(cohort).listed()
    files = [listed.get(image) for image in cohort.images]
    if missing := sum(file is None for file in files):
        message = f"{missing} of {len(files)} images are missing; `bench cohort check` lists them."
        raise BenchError(Problem("images-unreadable", message, where=str(cohort.folder)), EXIT_ENVIRONMENT)
    return [file for file in files if file is not None]


def _empty_index(cohort: Cohort, files: list[Path], height: int, width: int, rule: ImageRule) -> CacheIndex:
    digest = hashlib.sha256()
    for file in files:
        state = file.stat()
        digest.update(f"{file.name}\t{state.st_size}\t{state.st_mtime_ns}\n".encode())
    return CacheIndex(
        cohort=cohort.spec.id,
        version=cohort.spec.version,
        height=height,
        width=width,
        rule=rule.words,
        images=len(files),
        source=digest.hexdigest(),
        chunks=(None,) * -(-len(files) // CHUNK),
    )


def _read_index(path: Path) -> CacheIndex | None:
    try:
        return read_json(CacheIndex, path, "cache-write")
    except BenchError:
        return None


def _valid_chunks(fd: int, stored: CacheIndex | None, expected: CacheIndex) -> Iterator[str | None]:
    """Yield the hash of each chunk whose bytes on disk match it, otherwise None."""
    if stored is None or not _same_source(stored, expected) or len(stored.chunks) != len(expected.chunks):
        yield from expected.chunks
        return
    image = expected.height * expected.width
    for k, digest in enumerate(stored.chunks):
        size = min(CHUNK, expected.images - k * CHUNK) * image
        whole = digest is not None and sha256_bytes(os.pread(fd, size, k * CHUNK * image)) == digest
        yield digest if whole else None


def _write_index(index: Path, template: CacheIndex, chunks: list[str | None]) -> None:
    """Write the index atomically without flushing it to the disk: hashes detect lost chunks."""
    part = index.with_name(f".{index.name}.part")
    part.write_bytes(canonical_json(template.model_copy(update={"chunks": tuple(chunks)}).plain()))
    part.replace(index)


def _same_source(stored: CacheIndex, expected: CacheIndex) -> bool:
    return stored.model_copy(update={"chunks": expected.chunks}) == expected


def _files_of_chunk(k: int, files: list[Path]) -> list[Path]:
    return files[k * CHUNK : (k + 1) * CHUNK]


def _decode_missing(
    data: Path,
    files: list[Path],
    chunks: list[str | None],
    template: CacheIndex,
    rule: ImageRule,
    jobs: int,
) -> Iterator[tuple[int, str]]:
    """Decode the missing chunks in `jobs` processes; yield number and hash of each when finished."""
    tasks = [
        (
            k,
            PixelSlot(data, template.height, template.width, k * CHUNK, rule),
            [str(file) for file in _files_of_chunk(k, files)],
        )
        for k, digest in enumerate(chunks)
        if digest is None
    ]
    if min(jobs, len(tasks)) < 2:
        yield from ((k, decode_into(slot, paths)) for k, slot, paths in tasks)
        return
    with process_pool(min(jobs, len(tasks))) as pool:
        futures = {pool.submit(decode_into, slot, paths): k for k, slot, paths in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()


@contextmanager
def _open_pixels(data: Path, index: Path, expected: CacheIndex) -> Iterator[int]:
    """Open the file of pixels at its full size, with its disk space reserved.

    A cache of other image files is replaced by a new file, so that open memory maps stay valid.
    """
    stored = _read_index(index)
    if stored is None or not _same_source(stored, expected):
        data.unlink(missing_ok=True)
    fd = os.open(data, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        size = expected.images * expected.height * expected.width
        os.ftruncate(fd, size)
        if hasattr(os, "posix_fallocate"):  # elsewhere a full disk is found while writing
            os.posix_fallocate(fd, 0, size)
        else:
            os.ftruncate(fd, size)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _reporting_write_errors(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        message = f"The cache of images could not be written: {error.strerror or error}."
        raise BenchError(Problem("cache-write", message, where=str(folder)), EXIT_ENVIRONMENT) from error
