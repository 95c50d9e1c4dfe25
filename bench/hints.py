"""What a user may have meant: names that are near, and what to do about a path that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

HANDED_IN = (".csv", ".csv.gz", ".parquet", ".toml", ".onnx")
"""Endings of files that a hint may name; others could be images of a cohort, whose names are ids."""


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The one or two known words nearest to `word`, the nearest first; none where none is near."""
    plain = {name.strip().lower()[:100]: name for name in known}
    return [plain[name] for name in get_close_matches(word.strip().lower()[:100], plain, n=2)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question that names the nearest known words, after a blank; empty where none is near."""
    near = nearest(word, known)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def not_there(path: Path) -> tuple[str, str]:
    """What is said of a path that leads to nothing, and what to do."""
    folder = path.parent
    if not folder.is_dir():
        return (
            f"There is no such file, nor a folder {str(folder)!r}.",
            f"Check the path. A relative one begins in the current folder, {Path.cwd()}.",
        )
    try:
        beside = [other.name for other in folder.iterdir() if other.name.endswith(HANDED_IN)]
    except OSError:
        beside = []
    stems = {name.partition(".")[0]: name for name in beside}  # endings that all share would make all near
    near = nearest(path.name.partition(".")[0], stems)
    remedy = f"Did you mean {stems[near[0]]!r}?" if near else f"It is looked for in {folder.resolve()}."
    return "There is no such file.", f"Check the path. {remedy}"
