"""Sizes that keep the pages quick, in bytes after gzip."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import dirname, join, normpath

from bench.errors import Problem
from bench.publish.checks.reading import PageFacts

KB = 1024
BOARD_BYTES, ENTRY_BYTES, SCRIPT_BYTES, STYLE_BYTES = 30 * KB, 15 * KB, 6 * KB, 4 * KB
FIRST_LOAD_BYTES, FIRST_LOAD_REQUESTS = 60 * KB, 6


def gzip_bytes(path: Path) -> int:
    """Size of a file as a server would send it."""
    return len(gzip.compress(path.read_bytes(), 9, mtime=0))


def check_budgets(folder: Path, pages: Mapping[str, PageFacts]) -> Iterator[Problem]:
    """Boards (without those on which all entries stand), entries, script and style sheet."""
    sizes: dict[str, int] = {}
    for path in sorted((folder / "static").glob("*")):
        sizes[f"static/{path.name}"] = gzip_bytes(path)
    limits = {"static/site.js": SCRIPT_BYTES, "static/site.css": STYLE_BYTES}
    for name, limit in limits.items():
        yield from _over(name, sizes.get(name, 0), limit)
    for page in pages.values():
        parts = page.path.split("/")
        board = bool(page.target) and "all" not in parts
        entry = len(parts) >= 3 and parts[-3] == "e"
        if not (board or entry):
            continue
        size = gzip_bytes(folder / page.path)
        yield from _over(page.path, size, BOARD_BYTES if board else ENTRY_BYTES)
        loads = {normpath(join(dirname(page.path), address)) for address in page.loads}
        total = size + sum(sizes.get(name, 0) for name in loads)
        if total > FIRST_LOAD_BYTES or len(loads) + 1 > FIRST_LOAD_REQUESTS:
            message = f"The first load takes {total / KB:.1f} KB in {len(loads) + 1} requests."
            remedy = f"Stay within {FIRST_LOAD_BYTES // KB} KB and {FIRST_LOAD_REQUESTS} requests."
            yield Problem("site-budget", message, where=page.path, remedy=remedy)


def _over(name: str, size: int, limit: int) -> Iterator[Problem]:
    if size > limit:
        message = f"{size / KB:.1f} KB after gzip, and {limit / KB:.0f} KB is the limit."
        yield Problem("site-budget", message, where=name)
