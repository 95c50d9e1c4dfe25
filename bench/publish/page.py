"""One file of the site: where it goes, what it depends on, and how it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """A file to be.

    Attributes:
        path: Relative to the site's folder, with forward slashes.
        key: Digest of everything that `render` reads; an equal key means equal bytes.
        render: Makes the bytes.
    """

    path: str
    key: str
    render: Callable[[], bytes]


def digest(*parts: str | bytes) -> str:
    """SHA-256 of the parts with their lengths, so that moving text between parts changes it."""
    summary = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        summary.update(f"{len(data)}:".encode())
        summary.update(data)
    return summary.hexdigest()
