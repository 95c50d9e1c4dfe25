"""Locks between processes: the system lets go of one when its holder dies, and who waits is told for whom."""

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
    """Holds an advisory lock on `path` (created where absent, and left there).

    It is the kernel's (``flock``), so that a process that dies lets go of it; on NFS, Linux takes it on the
    server. Who waits longer than a second says so, as a warning of this module's logger.

    Raises:
        BenchError: The file system has no locks (``lock-unsupported``, exit 3): two commands could overwrite
            each other's results.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    # A lock that is only a file would outlive its holder.
    lock = FileLock(str(path), fallback_to_soft=False)
    try:
        try:
            lock.acquire(timeout=1)
        except Timeout:
            _LOG.warning("Waiting for %s, which has the lock %s.", _holder(path), path)
            lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        message = f"Files cannot be locked here: {error.strerror}."
        raise BenchError(Problem("lock-unsupported", message, str(path)), EXIT_ENVIRONMENT) from error
    try:
        with contextlib.suppress(OSError):  # only a courtesy to those who wait
            _note(path).write_text(json.dumps(_myself()), "utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            _note(path).unlink()
        lock.release()


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.holder")


def _myself() -> dict[str, str | int]:
    words = [Path(sys.argv[0]).name if sys.argv else "", *sys.argv[1:2]]
    command = " ".join(["bench", *words[1:]] if words[0] in ("bench", "__main__.py") else words[:1])
    now = time.strftime("%H:%M:%S")
    return {"pid": os.getpid(), "host": platform.node(), "command": command[:80], "since": now}


def _holder(path: Path) -> str:
    """Who holds the lock, in words; it may have changed since it was noted."""
    try:
        found = json.loads(_note(path).read_text("utf-8"))
        where = "" if found["host"] == platform.node() else f" on {found['host']}"
        words = f"process {found['pid']}{where} ({found['command']}, since {found['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    return "".join(c for c in words if c.isprintable())[:200]
