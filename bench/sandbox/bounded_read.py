"""Bounded reading of an untrusted file: regular, in its own folder, at most a given number of bytes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from bench.errors import BenchError, missing_file_hint


@contextmanager
def open_bounded(
    path: Path, limit: int, fault: Callable[[str, str], BenchError]
) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file of at most `limit` bytes for reading, and yield it with its size.

    The open file is the one that is checked: it cannot be exchanged for a link between the two.

    Args:
        path: The file. A link to another file of the same folder is followed, one that leads out is not.
        limit: Most bytes.
        fault: Makes the error out of what is wrong and what to do; the latter empty where nothing special is.

    Raises:
        BenchError: What `fault` made of it: missing, a folder, device, pipe or link, or too large.
    """
    if path.is_symlink() and path.resolve().parent != path.parent.resolve():
        raise fault("It is a link that leads out of its folder.", "Submit the file itself.")
    try:
        # without waiting, in case it is a pipe
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError as error:
        raise fault(*missing_file_hint(path)) from error
    except (OSError, ValueError) as error:  # a path with a NUL byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise fault(f"Cannot be read: {reason}.", "Check the path and its permissions.") from error
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(state.st_mode) else "a device or pipe, not a file"
        raise fault(f"It is {kind}.", "Name the file itself.")
    with os.fdopen(descriptor, "rb") as file:
        if state.st_size > limit:
            raise fault(f"It has {state.st_size / 2**20:,.1f} MiB; at most {limit / 2**20:g} are read.", "")
        yield file, state.st_size


@contextmanager
def private_copy(
    path: Path, limit: int, fault: Callable[[str, str], BenchError]
) -> Iterator[tuple[Path, str]]:
    """Copy a file into a new folder that this user alone may open; yield the copy's path and its SHA-256.

    The file is opened once. What is checked, run, hashed and kept afterwards is the copy, whatever happens to
    the file meanwhile. Arguments and errors as `open_bounded`.
    """
    with TemporaryDirectory(prefix="bench-") as folder, open_bounded(path, limit, fault) as (file, size):
        target, digest, left = Path(folder) / "model.onnx", hashlib.sha256(), size
        with target.open("xb") as copy:
            while left and (block := file.read(min(2**20, left))):
                digest.update(block)
                copy.write(block)
                left -= len(block)
        yield target, digest.hexdigest()


def read_bounded(path: Path, limit: int, fault: Callable[[str, str], BenchError]) -> bytes:
    """Read a file of at most `limit` bytes; arguments and errors as `open_bounded`."""
    with open_bounded(path, limit, fault) as (file, size):
        try:
            return file.read(size)
        except OSError as error:
            raise fault(f"{error.strerror or error}.", "") from error
