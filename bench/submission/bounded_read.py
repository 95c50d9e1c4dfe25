"""Bounded reading of an untrusted file: regular, in its own folder, at most a given number of bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from bench.errors import BenchError, missing_file_hint


def read_bounded(path: Path, limit: int, fault: Callable[[str, str], BenchError]) -> bytes:
    """The content of a file of at most `limit` bytes.

    What is opened is what is judged: a file cannot be exchanged for a link or grow between the two.

    Args:
        path: The file. A link to another file of the same folder is followed, one that leads out is not.
        limit: Most bytes.
        fault: Makes the error out of what is wrong and what to do; the latter empty where nothing special is.

    Raises:
        BenchError: What `fault` made of it: missing, a folder, device, pipe or link, or too large.
    """
    if path.is_symlink() and path.resolve().parent != path.parent.resolve():
        raise fault("It is a link that leads out of its folder.", "Hand in the file itself.")
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe does not hold us up
    except FileNotFoundError as error:
        raise fault(*missing_file_hint(path)) from error
    except OSError as error:
        raise fault(f"{error.strerror or error}.", "Check the path and its permissions.") from error
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(state.st_mode) else "a device or pipe, not a file"
        raise fault(f"It is {kind}.", "Name the file itself.")
    with os.fdopen(descriptor, "rb") as file:
        try:
            data = file.read(limit + 1) if state.st_size <= limit else None
        except OSError as error:
            raise fault(f"{error.strerror or error}.", "") from error
    if data is None or len(data) > limit:
        raise fault(f"It has {state.st_size / 2**20:,.1f} MiB; at most {limit / 2**20:g} are read.", "")
    return data
