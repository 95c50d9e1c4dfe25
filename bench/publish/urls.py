"""Paths of the pages, and relative links between them, so that any folder can hold the site."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.board.model import LoadedBoard
from bench.errors import BenchError, Problem
from bench.submission.manifest import SLUG_PATTERN

COHORT_FOLDERS = ("all", "badge", "compare", "cv5", "data", "e", "reported", "speed", "subgroups")
SITE_FOLDERS = (
    "changes",
    "codes",
    "hospitals",
    "methods",
    "python",
    "reference",
    "schemas",
    "static",
    "submit",
    "transfer",
    "v",
)


def up(path: str) -> str:
    """Relative link from the page at `path` to the root of the site: empty, or ``../`` for each folder."""
    return "../" * path.count("/")


@dataclass(frozen=True, slots=True)
class Place:
    """A board within the site.

    Attributes:
        loaded: The board.
        prefix: Folder of the board, with a slash at its end; empty for the first board of the site.
        folders: Target → folder of its board page, with a slash at its end; empty for the headline.
    """

    loaded: LoadedBoard
    prefix: str
    folders: dict[str, str]

    def home(self, path: str) -> str:
        """Relative link from the page at `path` to this board's folder."""
        return up(path) + self.prefix

    def board_path(self, target: str) -> str:
        """Path of a target's board page."""
        return f"{self.prefix}{self.folders[target]}index.html"

    def picture_path(self, target: str) -> str:
        """Path of the picture of a target's board."""
        return f"{self.prefix}{self.folders[target]}board.png"

    def entry_folder(self, slug: str) -> str:
        """Folder of an entry's pages, with a slash at its end."""
        return f"{self.prefix}e/{slug}/"

    @property
    def targets(self) -> tuple[str, ...]:
        """Binary targets, the headline first."""
        return tuple(self.folders)


def places(boards: Sequence[LoadedBoard]) -> tuple[Place, ...]:
    """The boards with their folders: the first at the root, the others in folders by cohort.

    Raises:
        BenchError: No board, two of one cohort, or a slug that cannot be a folder (``site-input``).
    """
    _check(boards)
    first = _folders(boards[0], {*COHORT_FOLDERS, *SITE_FOLDERS})
    taken = {*COHORT_FOLDERS, *SITE_FOLDERS, *(folder.rstrip("/") for folder in first.values())}
    located = [Place(boards[0], "", first)]
    for loaded in boards[1:]:
        prefix = f"{_free(loaded.spec.id, 'cohort', taken)}/"
        located.append(Place(loaded, prefix, _folders(loaded, set(COHORT_FOLDERS))))
    return tuple(located)


def _folders(loaded: LoadedBoard, taken: set[str]) -> dict[str, str]:
    spec = loaded.spec
    names = [spec.headline, *(t.name for t in spec.binary_targets if t.name != spec.headline)]
    return {name: "" if name == spec.headline else f"{_free(name, 'target', taken)}/" for name in names}


def _free(name: str, kind: str, taken: set[str]) -> str:
    return f"{kind}-{name}" if name in taken else name


def _check(boards: Sequence[LoadedBoard]) -> None:
    problems = []
    if not boards:
        problems.append(Problem("site-input", "There is no board to build a site from."))
    cohorts = [loaded.spec.id for loaded in boards]
    problems += [
        Problem("site-input", f"{cohorts.count(cohort)} boards are of cohort {cohort!r}.")
        for cohort in sorted({c for c in cohorts if cohorts.count(c) > 1})
    ]
    problems += [
        Problem("site-input", f"The slug {slug!r} cannot be a folder of the site.", where=loaded.spec.id)
        for loaded in boards
        for slug, entry in loaded.entries.items()
        if not re.fullmatch(SLUG_PATTERN, slug) or entry.slug != slug
    ]
    problems += [problem for loaded in boards for problem in _mixed(loaded)]
    if problems:
        raise BenchError(problems)


def _mixed(loaded: LoadedBoard) -> Iterator[Problem]:
    """A board and its entries must be of one split, and every row must have its entry."""
    board = loaded.board
    if board is None:
        return
    unknown = {s.slug for t in board.targets for s in t.standings} - set(loaded.entries)
    if unknown:
        message = f"The board ranks {len(unknown)} entries that are not stored, first {min(unknown)!r}."
        yield Problem("site-input", message, where=loaded.spec.id)
    other = [
        slug
        for slug, entry in loaded.entries.items()
        if entry.scorecard is not None and entry.scorecard.stamp != board.stamp
    ]
    if other:
        message = f"{len(other)} scorecards are of another split than the board, first {min(other)!r}."
        yield Problem("site-input", message, where=loaded.spec.id)


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
