"""Inter-process file lock that is released when its holder dies; waiting processes name the holder."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem

_LOG = logging.getLogger(__name__)
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock on `path`, which is created if absent and left in place.

    The lock is the kernel's (``flock``), which releases it when a process dies; on NFS, Linux takes it on the
    server. Waiting longer than a second logs a warning that names the holder.

    Raises:
        BenchError: The file system has no locks (``lock-unsupported``, exit 3): two commands could overwrite
            each other's results.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    # A soft lock, which is only a file, would outlive its holder.
    lock = FileLock(str(path), fallback_to_soft=False)
    try:
        try:
            lock.acquire(timeout=1)
        except Timeout:
            _LOG.warning("Waiting for %s, which has the lock %s.", _describe_holder(path), path)
            lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        message = f"Files cannot be locked here: {error.strerror}."
        raise BenchError(Problem("lock-unsupported", message, str(path)), EXIT_ENVIRONMENT) from error
    try:
        with contextlib.suppress(OSError):  # only informs waiting processes
            _holder_file(path).write_text(json.dumps(_describe_this_process()), "utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            _holder_file(path).unlink()
        lock.release()


def _holder_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.holder")


def _describe_this_process() -> dict[str, str | int]:
    words = [Path(sys.argv[0]).name if sys.argv else "", *sys.argv[1:2]]
    command = " ".join(["bench", *words[1:]] if words[0] in ("bench", "__main__.py") else words[:1])
    now = time.strftime("%H:%M:%S")
    return {"pid": os.getpid(), "host": platform.node(), "command": command[:80], "since": now}


def _describe_holder(path: Path) -> str:
    """Describe the process that holds the lock; the note may be out of date."""
    try:
        holder = json.loads(_holder_file(path).read_text("utf-8"))
        where = "" if holder["host"] == platform.node() else f" on {holder['host']}"
        words = f"process {holder['pid']}{where} ({holder['command']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    return "".join(c for c in words if c.isprintable())[:200]
