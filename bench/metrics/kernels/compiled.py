"""The decorator of compiled loops: cached on disk where that is possible, compiled anew elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

_uncached: list[str] = []


def compiled_loop(**options: Any) -> Any:
    """Compile a function with numba, without the interpreter's lock.

    Machine code is kept beside the source, else in the user's cache folder or `NUMBA_CACHE_DIR`, and used
    while no kernel's source changes: numba looks at the function's own file alone, and would go on with a
    constant or a loop of another file as they were. In a read-only installation without a place for it,
    numba refuses to cache; the function is then compiled in each process.

    Args:
        options: Further options of `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            loop = numba.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            _uncached.append(function.__name__)
            return numba.njit(nogil=True, **options)(function)
        file = loop._cache._cache_file
        file._source_stamp = file._source_stamp, _digest_of_kernels()
        return loop

    return decorate


@cache
def _digest_of_kernels() -> str:
    """Return a digest of the sources of all kernels, since they use each other's loops and constants."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_cached() -> bool:
    """Return whether every compiled function so far has a place for its machine code."""
    return not _uncached
