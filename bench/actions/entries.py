"""Which stored entries an action is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bench.errors import BenchError, Problem
from bench.files import locked, recover_folders
from bench.submission.store import Submission, find_submission, list_submissions
from bench.workspace import STORE_LOCK


class Named(Protocol):
    """What bears an entry's slug, such as the result of `bench.submit`."""

    @property
    def slug(self) -> str:
        """Name of the entry."""


EntryChoice = str | Named | Sequence[str | Named]
"""Entries: a slug, what `bench.submit` returned, or several of them."""


def slugs_of(entries: EntryChoice) -> list[str]:
    """Slugs of the chosen entries, in the order given."""
    several = entries if isinstance(entries, Sequence) and not isinstance(entries, str) else [entries]
    return [entry if isinstance(entry, str) else entry.slug for entry in several]


def scored_entries(folder: Path, entries: EntryChoice | None) -> list[Submission]:
    """Find entries that hold predictions.

    Args:
        folder: The cohort's folder of submissions.
        entries: Which; None for all that hold predictions.

    Raises:
        BenchError: An entry is unknown (``entry-unknown``) or holds published numbers only
            (``entry-reported``).
    """
    if entries is None:
        return [entry for entry in list_submissions(folder) if entry.manifest.kind != "reported"]
    chosen = [find_submission(folder, slug) for slug in slugs_of(entries)]
    if reported := [entry.slug for entry in chosen if entry.manifest.kind == "reported"]:
        message = f"{', '.join(reported)}: published numbers only, no predictions to score."
        raise BenchError(Problem("entry-reported", message))
    return chosen


def recover_store(folder: Path, *leftovers: Path) -> None:
    """Finish or undo what an interrupted command left in a store.

    Args:
        folder: The cohort's folder of submissions; nothing happens where it is absent.
        leftovers: Folders in it whose unfinished files are removed.
    """
    from bench.files import clear_parts

    if folder.is_dir():
        with locked(folder / STORE_LOCK):
            recover_folders(folder)
            for place in leftovers:
                clear_parts(place)
