"""`bench verify`: recompute scorecards and board, and compare with the stored ones."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.board.build import build_board
from bench.board.model import Board
from bench.cohort.cohort import Cohort
from bench.documents import minor_version, parse_json, read_bytes
from bench.errors import BenchError, Problem
from bench.files import round_significant
from bench.metrics import registry
from bench.progress import Progress
from bench.scoring.run import compute_all, make_plans
from bench.scoring.scorecard import Scorecard, read_scorecard
from bench.submission.store import Submission


def verify_entries(
    cohort: Cohort,
    entries: Sequence[Submission],
    board_file: Path,
    *,
    whole: bool = True,
    jobs: int = 1,
    progress: Progress | None = None,
) -> list[Problem]:
    """Score entries again with their stored settings and compare; also the board, given all its entries.

    Args:
        cohort: The cohort.
        entries: Entries with predictions.
        board_file: The stored board.
        whole: Whether these are all entries, so that the board must be theirs.
        jobs: Processes.
        progress: Called with (done, total). Caches are not used.

    Returns:
        One problem for each number that differs (the first few of each entry), and for each entry that cannot
        be scored. Empty where everything stored was computed again.
    """
    if not entries:
        return [Problem("board-empty", "There is no entry to verify.")]
    problems: list[Problem] = []
    cards = {}
    for entry in entries:
        try:
            cards[entry.slug] = read_scorecard(entry)
        except BenchError as error:
            problems += error.problems
    for replicates, seed in sorted({(card.replicates, card.seed) for card in cards.values()}):
        chosen = [
            e
            for e in entries
            if e.slug in cards and (cards[e.slug].replicates, cards[e.slug].seed) == (replicates, seed)
        ]
        plans = make_plans(cohort, chosen, replicates=replicates, seed=seed)
        for done, (entry, found) in enumerate(zip(chosen, compute_all(plans, chosen, jobs), strict=True), 1):
            if isinstance(found, BenchError):
                problems += found.problems
            else:
                stored = json.loads(read_bytes(entry.scorecard, "scorecard-invalid"))
                problems += document_differences(entry.slug, stored, found.card)
            if progress:
                progress(done, len(chosen))
    if not problems and whole:
        problems += _board_differences(cohort, entries, board_file)
    return problems


def _board_differences(cohort: Cohort, entries: Sequence[Submission], board_file: Path) -> list[Problem]:
    if not board_file.exists():
        return [Problem("board-stale", f"No board of {len(entries)} entries is stored.", str(board_file))]
    try:
        data = read_bytes(board_file, "board-invalid")
        stored = parse_json(Board, data, "board-invalid", str(board_file))
    except BenchError as error:
        return list(error.problems)
    if others := sorted(set(stored.scorecards) ^ {entry.slug for entry in entries}):
        message = f"The stored board and the entries differ by {', '.join(others[:8])}."
        return [Problem("board-stale", message, str(board_file))]
    with tempfile.TemporaryDirectory() as fresh:
        computed = build_board(
            cohort, entries, Path(fresh), one_per_team=stored.one_per_team, ladder=stored.ladder
        )
    return document_differences("board", json.loads(data), computed)


MOST_NAMED = 5


def document_differences(name: str, stored: dict[str, Any], computed: Scorecard | Board) -> list[Problem]:
    """Compare a stored document with one computed now, after rounding to 9 significant digits.

    A field that one of the two versions of the schema does not have is not compared, nor is a metric of
    another package that was not installed.

    Args:
        name: The document in messages.
        stored: Content of the stored file.
        computed: The document computed now.

    Returns:
        One problem (``verify-drift``) for each of the first differences, and one that counts the others.
    """
    newer_minor = minor_version(computed.schema_) - minor_version(stored["schema"])
    differing = list(_differences("", stored, computed.plain(), newer_minor))
    problems = [
        Problem("verify-drift", f"{name}: {path} is {_shown(old)} as stored, {_shown(new)} now.")
        for path, old, new in differing[:MOST_NAMED]
    ]
    if len(differing) > MOST_NAMED:
        message = f"{name}: {len(differing) - MOST_NAMED} more numbers differ."
        problems.append(Problem("verify-drift", message))
    return problems


def _differences(path: str, old: Any, new: Any, newer_minor: int) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, old and new value of every difference.

    Args:
        path: Where in the document.
        old: Stored value.
        new: Computed value.
        newer_minor: Minor version of the computed document's schema minus that of the stored one's.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            named = f"{path}.{key}" if path else key
            added = key not in old and (newer_minor > 0 or _of_another_package(path, key))
            dropped = key not in new and newer_minor < 0
            if named not in UNCOMPARED and not added and not dropped:
                yield from _differences(named, old.get(key), new.get(key), newer_minor)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{path}[{_name(a, i)}]", a, b, newer_minor)
    elif not _same(old, new):
        yield path, old, new


UNCOMPARED = ("harness_version", "schema")
"""Fields that say what wrote a document."""


def _of_another_package(path: str, key: str) -> bool:
    """Whether a key is a metric of another package."""
    return path.endswith((".metrics", ".gaps")) and key not in _BUILT_IN


_BUILT_IN = frozenset(metric.key for metric in registry.BUILT_IN)


def _name(item: Any, place: int) -> str:
    if isinstance(item, dict) and "target" in item:
        return " ".join(str(item[key]) for key in ("target", "division", "level") if key in item)
    return str(place)


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return round_significant(old) == round_significant(new)
    return bool(old == new)


def _shown(value: Any) -> str:
    return str(round_significant(value)) if isinstance(value, float) else str(value)[:60]
