"""Search for cycles among unused objects: rarely while a command runs, and not when it ends."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

COLLECT_AFTER: Final = 50_000
"""Live objects made since the last search for cycles that cause the next; a scorecard is read without one."""


def collect_rarely() -> None:
    """Search for cycles after `COLLECT_AFTER` new objects, not after Python's 700."""
    gc.set_threshold(COLLECT_AFTER)


@contextmanager
def paused_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector, which takes a fifth of the time when many documents stay in memory."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def leave_garbage() -> None:
    """Leave all objects to the system, which frees a process's memory at once.

    The interpreter otherwise searches them all for cycles when it ends: half a second after `bench score` on
    a board of a thousand entries.
    """
    gc.freeze()
