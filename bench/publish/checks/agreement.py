"""The published JSON is valid, and the pages show its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from bench.board.format import NOT_AVAILABLE, decimal, estimate, printable, significant
from bench.board.table import rank_text
from bench.documents import D
from bench.errors import Problem
from bench.publish.checks.reading import BoardRow, PageFacts
from bench.publish.schemas import Leaderboard, LeaderboardRow, PublishedEntry
from bench.scoring.scorecard import Estimate

TEXTS = ("by", "kind", "inputs", "date")
"""Columns of the board that hold words."""

FROZEN = "v/"
"""Releases were checked when they were frozen, by the models of that day."""


def check_agreement(folder: Path, pages: Mapping[str, PageFacts]) -> Iterator[Problem]:
    """Every leaderboard and entry validates; rows of boards and names of entries equal the JSON."""
    boards: dict[str, Leaderboard] = {}
    for path in sorted(folder.rglob("leaderboard.json")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(FROZEN):
            continue
        found = _valid(Leaderboard, path)
        if isinstance(found, str):
            yield Problem("site-json", found, where=name)
        else:
            boards[PurePosixPath(name).parent.as_posix()] = found
    for page in pages.values():
        if page.target and not page.path.startswith(FROZEN):
            yield from _board(page, boards)
    for path in sorted(folder.rglob("entry.json")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(FROZEN):
            continue
        entry = _valid(PublishedEntry, path)
        if isinstance(entry, str):
            yield Problem("site-json", entry, where=name)
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


def _valid(model: type[D], path: Path) -> D | str:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        return f"{error.error_count()} faults against its model; the first is {where}: {first['msg']}."


def _board(page: PageFacts, boards: Mapping[str, Leaderboard]) -> Iterator[Problem]:
    parents = (parent.as_posix() for parent in PurePosixPath(page.path).parents)
    board = next((boards[parent] for parent in parents if parent in boards), None)
    rows = next((t.rows for t in board.targets if t.target == page.target), None) if board else None
    if rows is None:
        yield Problem("site-json", f"No leaderboard.json holds target {page.target!r}.", where=page.path)
        return
    if len(page.rows) > len(rows) or (rows and not page.rows):
        yield Problem("site-json", f"{len(page.rows)} rows, and the JSON has {len(rows)}.", where=page.path)
        return
    others = {t.target: {row.slug: row for row in t.rows} for t in board.targets} if board else {}
    wrong = [
        shown.slug
        for shown, row in zip(page.rows, rows, strict=False)
        if not _same(shown, row, page.columns, others)
    ]
    if wrong:
        message = f"{len(wrong)} of {len(page.rows)} rows differ from the JSON, first {wrong[0]!r}."
        yield Problem("site-json", message, where=page.path)


Others = Mapping[str, Mapping[str, LeaderboardRow]]


def _same(shown: BoardRow, row: LeaderboardRow, columns: Sequence[str], others: Others) -> bool:
    """Whether a row shows the entry's rank and every number of the JSON that the board has a column for."""
    keys = [key for key in columns if key not in ("rank", "entry", "auroc")]
    numbers = {key: cell for key, cell in zip(keys, shown.cells[3:], strict=False) if key not in TEXTS}
    return (
        shown.slug == row.slug
        and shown.cells[0].split(" ")[0] == rank_text(row.standing)
        and shown.cells[1] == _text(row.metrics.get("auroc"))
        and all(_number(cell) == _expected(key, row, others) for key, cell in numbers.items())
    )


def _expected(key: str, row: LeaderboardRow, others: Others) -> str:
    if key == "speed":
        return significant(row.latency_ms)
    if key == "macro":
        return _text(row.macro)
    if key.startswith("auroc:"):
        other = others.get(key.removeprefix("auroc:"), {}).get(row.slug)
        return _text(other.metrics.get("auroc") if other else None)
    return _text(row.metrics.get(key))


def _text(found: Estimate | None) -> str:
    return decimal(found.value) if found is not None else NOT_AVAILABLE


def _number(cell: str) -> str:
    """What a cell shows before its mark or word; a word alone stands for a missing number."""
    first = cell.split(" ")[0]
    return first if first[:1].isdigit() or first[:1] == "−" else NOT_AVAILABLE


def _scores(entry: PublishedEntry, page: PageFacts) -> Iterator[Problem]:
    """An entry's page shows rank and AUROC of each of its targets."""
    card = entry.scorecard
    shown = {row.slug: row.cells[:2] for row in page.scores}
    wrong = []
    for score in card.targets if card else ():
        standing = entry.standings.get(score.target)
        auroc = score.metrics.get("auroc")
        rank = rank_text(standing) if standing else "–"
        cells = shown.pop(score.target, ["", ""])
        value = estimate(auroc)
        if cells[0] != rank or not (
            cells[1] == value or (value == NOT_AVAILABLE and cells[1].startswith(value))
        ):
            wrong.append(score.target)
    wrong += shown
    if wrong:
        message = f"{len(wrong)} rows of the table differ from entry.json, first {wrong[0]!r}."
        yield Problem("site-json", message, where=page.path)
