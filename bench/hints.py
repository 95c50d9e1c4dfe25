"""What a user may have meant: names that are near, and what to do about a path that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

HANDED_IN = (".csv", ".gz", ".parquet", ".toml", ".onnx")
"""Endings of files that a hint may name; others could be images of a cohort, whose names are ids."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Names the one or two known words nearest to `word`, after a blank; empty where none is near."""
    plain = {name.lower(): name for name in known}
    near = get_close_matches(word.strip().lower()[:100], plain, n=2)
    return f" Did you mean {' or '.join(repr(plain[name]) for name in near)}?" if near else ""


def not_there(path: Path) -> tuple[str, str]:
    """What is said of a path that leads to nothing, and what to do."""
    folder = path.parent
    if not folder.is_dir():
        return (
            f"There is no such file, nor a folder {str(folder)!r}.",
            f"Check the path. A relative one begins in the current folder, {Path.cwd()}.",
        )
    try:
        beside = [other.name for other in folder.iterdir() if other.suffix in HANDED_IN]
    except OSError:
        beside = []
    remedy = did_you_mean(path.name, beside) or f" It is looked for in {folder.resolve()}."
    return "There is no such file.", f"Check the path.{remedy}"
