"""Entries of one board are scored with the same draws: refuse others before anything is computed.

The documents stand apart from the building of boards, since the sandboxed process that reads them loads this
module: with that of the boards it would load all of the statistics, for a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict

from bench.documents import Document
from bench.errors import BenchError, Problem
from bench.files import sha256_file
from bench.sandbox.reader import read_document, read_many
from bench.submission.store import Submission


class _Draws(Document):
    """Fields of a scorecard about its bootstrap draws; other fields are ignored."""

    model_config = ConfigDict(extra="ignore")

    replicates: int
    seed: int


def refuse_mixed(
    entries: Sequence[Submission],
    chosen: Sequence[Submission],
    replicates: int,
    seed: int,
    *,
    board: Path,
) -> None:
    """Refuse to score some entries with other draws than the rest have, before anything is written.

    Args:
        entries: All stored entries.
        chosen: Those to be scored.
        replicates: Their number of replicates.
        seed: Their seed.
        board: The stored board, if there is one: it records the draws of the scorecards it was computed from.

    Raises:
        BenchError: ``board-mixed``.
    """
    slugs = {entry.slug for entry in chosen}
    others = [e for e in entries if e.slug not in slugs and e.scorecard.exists()]
    if not others:
        return
    known = _known_draws(board)
    draws = read_many(lambda e: known.get(sha256_file(e.scorecard)) or _draws(e), others)
    stated = zip(others, draws, strict=True)
    if differing := [e.slug for e, d in stated if (d.replicates, d.seed) != (replicates, seed)]:
        who = "1 other entry is" if len(differing) == 1 else f"{len(differing)} other entries are"
        message = (
            f"{who} scored with other draws than {replicates} replicates with seed {seed}: "
            f"{', '.join(differing[:5])}."
        )
        raise BenchError(Problem("board-mixed", message))


def _draws(entry: Submission) -> _Draws:
    return read_document(_Draws, entry.scorecard, "scorecard-invalid")[0]


class _Scorecards(_Draws):
    """Fields of a board about its draws and the scorecards that it was computed from."""

    scorecards: dict[str, str]


def _known_draws(board: Path) -> dict[str, _Draws]:
    """SHA-256 of a scorecard → its draws, by the stored board; empty where there is none to be read."""
    try:
        stored, _ = read_document(_Scorecards, board, "board-invalid")
    except BenchError:
        return {}
    draws = _Draws(replicates=stored.replicates, seed=stored.seed)
    return dict.fromkeys(stored.scorecards.values(), draws)
