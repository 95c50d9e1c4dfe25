"""Stored scorecards, as boards and pages read them: without the code that computes them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from bench.documents import parse_json, read_bytes
from bench.errors import BenchError, Problem
from bench.files import sha256_bytes, sha256_file
from bench.scoring.scorecard import SCORING_VERSION, RankInputs, Scorecard
from bench.submission.store import Submission

C = TypeVar("C", bound=RankInputs)


def read_scorecard(submission: Submission) -> Scorecard:
    """The stored scorecard of an entry; errors as `hashed_scorecard`."""
    return hashed_scorecard(submission, Scorecard)[0]


def hashed_scorecard(submission: Submission, model: type[C]) -> tuple[C, str]:
    """The stored scorecard of an entry and the SHA-256 of its file, from one reading.

    Args:
        submission: The entry.
        model: `Scorecard`, or what reads less of it where that is enough.

    Raises:
        BenchError: Not scored yet (``not-scored``), damaged (``scorecard-invalid``), or not of the stored
            predictions and this harness (``scorecard-stale``).
    """
    path = submission.scorecard
    if not path.exists():
        raise BenchError(Problem("not-scored", f"Entry {submission.slug!r} has no scorecard.", str(path)))
    data = read_bytes(path, "scorecard-invalid")
    card = parse_json(model, data, "scorecard-invalid", str(path))
    said = submission.manifest
    if (card.slug, card.track, card.scores) != (submission.slug, said.track, said.scores):
        message = f"The scorecard is of entry {card.slug!r}, {card.track}, {card.scores}."
        raise BenchError(Problem("scorecard-stale", message, str(path)))
    held = sha256_file(submission.predictions), sha256_or_empty(submission.val_predictions)
    if (card.predictions_sha256, card.val_predictions_sha256) != held:
        message = f"The scorecard of {submission.slug!r} is of other predictions than the stored ones."
        raise BenchError(Problem("scorecard-stale", message, str(path)))
    if card.scoring_version != SCORING_VERSION:
        message = f"Scored with scoring version {card.scoring_version}, now {SCORING_VERSION}."
        raise BenchError(Problem("scorecard-stale", message, str(path)))
    return card, sha256_bytes(data)


def sha256_or_empty(path: Path) -> str:
    """SHA-256 of a file; empty where there is none."""
    return sha256_file(path) if path.exists() else ""
