"""The worker's side of `bench.runtime.child`: limits, streams, and a failure said in a message."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from bench.runtime.wire import write_message

_MEMORY_WORDS = ("bad_alloc", "out of memory", "failed to allocate", "cannot allocate")


def serve(work: Callable[[BinaryIO, BinaryIO], None]) -> None:
    """Runs `work(requests, answers)`; an exception becomes a message, then the process ends.

    What libraries print goes to the error stream, so that it cannot disturb the answers.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    try:
        work(requests, answers)
    except EOFError:
        return  # the other side has gone
    except MemoryError:
        _say(answers, "out-of-memory", "The memory that it may use was not enough.")
    except Exception as error:  # whatever a native library raises ends in a message
        text = " ".join(str(error).split()) or type(error).__name__
        short = any(word in text.lower() for word in _MEMORY_WORDS)
        _say(answers, "out-of-memory" if short else "failed", text[:500])


def _say(answers: BinaryIO, failure: str, message: str) -> None:
    with suppress(BrokenPipeError):
        write_message(answers, {"failure": failure, "message": message})


def limit_memory(megabytes: int | None) -> None:
    """Lets the process use no more than so much address space, where the system can enforce it."""
    if megabytes is None:
        return
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far; None where the system does not tell."""
    with suppress(OSError, ValueError):  # not getrusage: its peak is inherited from the process that forked
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return None
