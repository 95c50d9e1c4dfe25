"""`bench verify`: nothing stored is believed; scorecards and board are computed again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.board.build import build_board
from bench.board.model import Board
from bench.cohort.cohort import Cohort
from bench.documents import read_json
from bench.errors import BenchError, Problem
from bench.scoring.run import compute_all, make_plans
from bench.scoring.stored import read_scorecard
from bench.scoring.verify import differences, document_differences
from bench.submission.store import Submission

Progress = Callable[[int, int], None]


def verify_entries(
    cohort: Cohort,
    entries: Sequence[Submission],
    board_file: Path,
    *,
    whole: bool = True,
    jobs: int = 1,
    progress: Progress | None = None,
) -> list[Problem]:
    """Scores entries again with their stored settings and compares; the board too, given all its entries.

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
                problems += differences(cards[entry.slug], found.card)
            if progress:
                progress(done, len(chosen))
    if not problems and whole:
        problems += _board_differences(cohort, entries, board_file)
    return problems


def _board_differences(cohort: Cohort, entries: Sequence[Submission], board_file: Path) -> list[Problem]:
    if not board_file.exists():
        return [Problem("board-stale", f"No board of {len(entries)} entries is stored.", str(board_file))]
    try:
        stored = read_json(Board, board_file, "board-invalid")
    except BenchError as error:
        return list(error.problems)
    if others := sorted(set(stored.scorecards) ^ {entry.slug for entry in entries}):
        message = f"The stored board and the entries differ by {', '.join(others[:8])}."
        return [Problem("board-stale", message, str(board_file))]
    with tempfile.TemporaryDirectory() as fresh:
        computed = build_board(cohort, entries, Path(fresh))
    return document_differences("board", stored.plain(), computed.plain())
