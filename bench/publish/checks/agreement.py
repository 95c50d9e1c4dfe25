"""The published JSON is valid, and the pages show its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from bench.board.column import Cell
from bench.board.format import NOT_AVAILABLE, estimate, printable, rank_text
from bench.documents import D
from bench.errors import Problem
from bench.publish.checks.reading import PageFacts
from bench.publish.schemas import Leaderboard, PublishedEntry

FROZEN = "v/"
"""Releases were checked when they were frozen, by the models of that day."""


def check_agreement(folder: Path, pages: Mapping[str, PageFacts]) -> Iterator[Problem]:
    """Every leaderboard and entry validates; rows of boards and names of entries equal the JSON."""
    boards: dict[str, Leaderboard] = {}
    for name, board in _documents(Leaderboard, folder, "leaderboard.json"):
        if isinstance(board, Problem):
            yield board
        else:
            boards[PurePosixPath(name).parent.as_posix()] = board
            yield from _empty_columns(board, name)
    for page in pages.values():
        if page.target and not page.path.startswith(FROZEN):
            yield from _board(page, boards)
    for name, entry in _documents(PublishedEntry, folder, "entry.json"):
        if isinstance(entry, Problem):
            yield entry
            continue
        yield from _stamp(entry, name, boards)
        page_path = name.replace("entry.json", "index.html")
        words = " ".join(printable(entry.manifest.name).split())
        if page_path not in pages or pages[page_path].heading != words:
            yield Problem("site-json", "The page of this entry is missing or bears another name.", where=name)
        else:
            yield from _scores(entry, pages[page_path])


def _stamp(entry: PublishedEntry, name: str, boards: Mapping[str, Leaderboard]) -> Iterator[Problem]:
    """An entry and the board above it must be of one split."""
    board = boards.get(PurePosixPath(name).parent.parent.parent.as_posix())
    if entry.scorecard is not None and (board is None or entry.scorecard.stamp != board.stamp):
        yield Problem("site-json", "The entry was scored on another split than its board.", where=name)


def _documents(model: type[D], folder: Path, file_name: str) -> Iterator[tuple[str, D | Problem]]:
    """Yield the path in the site and the document, or what is wrong with it, of each file of this name."""
    for path in sorted(folder.rglob(file_name)):
        name = path.relative_to(folder).as_posix()
        if name.startswith(FROZEN):
            continue
        try:
            yield name, model.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            message = f"{error.error_count()} faults against its model; the first is {where}: {first['msg']}."
            yield name, Problem("site-json", message, where=name)


def _board(page: PageFacts, boards: Mapping[str, Leaderboard]) -> Iterator[Problem]:
    parents = (parent.as_posix() for parent in PurePosixPath(page.path).parents)
    board = next((boards[parent] for parent in parents if parent in boards), None)
    target = next((t for t in board.targets if t.target == page.target), None) if board else None
    if target is None:
        yield Problem("site-json", f"No leaderboard.json holds target {page.target!r}.", where=page.path)
        return
    rows = target.rows
    if len(page.rows) > len(rows) or (rows and not page.rows):
        yield Problem("site-json", f"{len(page.rows)} rows, and the JSON has {len(rows)}.", where=page.path)
        return
    listed = {column.key for column in target.columns if column.on_page}
    if listed != {key for key, _ in page.columns}:
        message = "The columns of the page are not those that the JSON lists for it."
        yield Problem("site-json", message, where=page.path)
        return
    wrong = [
        shown.slug
        for shown, row in zip(page.rows, rows, strict=False)
        if shown.slug != row.slug or shown.cells != [_text(row.cells.get(k), i) for k, i in page.columns]
    ]
    if wrong:
        message = f"{len(wrong)} of {len(page.rows)} rows differ from the JSON, first {wrong[0]!r}."
        yield Problem("site-json", message, where=page.path)


def _text(cell: Cell | None, is_interval: bool) -> str | None:
    """Text that the page shows of a JSON cell, blanks collapsed; None where the JSON has no such cell."""
    if cell is None:
        return None
    text = cell.interval if is_interval else cell.text if cell.value is None else f"{cell.text} {cell.note}"
    return " ".join(printable(text).split())


def _empty_columns(board: Leaderboard, name: str) -> Iterator[Problem]:
    """Columns without a value for any entry, where at least one entry is ranked."""
    for target in board.targets:
        if target.leader is None:
            continue
        for column in target.columns:
            cells = [row.cells[column.key] for row in target.rows if column.key in row.cells]
            if not column.may_be_empty and all(cell.empty for cell in cells):
                reason = next((cell.reason for cell in cells if cell.reason), "No reason is given.")
                message = f"{target.target}: column {column.key!r} has no value for any entry. {reason}"
                yield Problem("site-column-empty", message, where=name)


def _scores(entry: PublishedEntry, page: PageFacts) -> Iterator[Problem]:
    """An entry's page shows rank and AUROC of each of its targets."""
    card = entry.scorecard
    shown = {row.slug: row.cells[:2] for row in page.scores}
    wrong = []
    for score in card.targets if card else ():
        standing = entry.standings.get(score.target)
        rank = rank_text(standing) if standing else "–"
        cells = shown.pop(score.target, ["", ""])
        value = estimate(score.ranked)
        if cells[0] != rank or not (
            cells[1] == value or (value == NOT_AVAILABLE and cells[1].startswith(value))
        ):
            wrong.append(score.target)
    wrong += shown
    if wrong:
        message = f"{len(wrong)} rows of the table differ from entry.json, first {wrong[0]!r}."
        yield Problem("site-json", message, where=page.path)
