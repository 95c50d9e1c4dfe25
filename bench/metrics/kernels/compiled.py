"""The decorator of compiled loops: cached on disk where that is possible, compiled anew elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

_uncached: list[str] = []


def compiled_loop(**options: Any) -> Any:
    """Compile a function with numba, without the interpreter's lock.

    Machine code is kept beside the source, else in the user's cache folder or `NUMBA_CACHE_DIR`. In a
    read-only installation without either, numba refuses to cache; the function is then compiled in each
    process.

    Args:
        options: Further options of `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            _uncached.append(function.__name__)
            return numba.njit(nogil=True, **options)(function)

    return decorate


def is_cached() -> bool:
    """Return whether every compiled function so far has a place for its machine code."""
    return not _uncached
