"""Reading of stored scorecards, without importing the code that computes them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from bench.errors import BenchError, Problem
from bench.files import sha256_file
from bench.sandbox.reader import read_document
from bench.scoring.scorecard import SCORING_VERSION, RankInputs, Scorecard
from bench.submission.store import Submission

C = TypeVar("C", bound=RankInputs)


def read_scorecard(submission: Submission) -> Scorecard:
    """Read the stored scorecard of an entry; errors as `hashed_scorecard`."""
    return hashed_scorecard(submission, Scorecard)[0]


def hashed_scorecard(submission: Submission, model: type[C]) -> tuple[C, str]:
    """Read the stored scorecard of an entry and the SHA-256 of its file in one pass.

    Args:
        submission: The entry.
        model: `Scorecard`, or a model with a part of its fields.

    Raises:
        BenchError: Not scored yet (``not-scored``), damaged (``scorecard-invalid``), or computed from other
            predictions or by another scoring version (``scorecard-stale``).
    """
    path = submission.scorecard
    if not path.exists():
        raise BenchError(Problem("not-scored", f"Entry {submission.slug!r} has no scorecard.", str(path)))
    card, sha256 = read_document(model, path, "scorecard-invalid")
    manifest = submission.manifest
    if (card.slug, card.track, card.scores) != (submission.slug, manifest.track, manifest.scores):
        message = f"The scorecard is of entry {card.slug!r}, {card.track}, {card.scores}."
        raise BenchError(Problem("scorecard-stale", message, str(path)))
    stored_hashes = sha256_file(submission.predictions), sha256_or_empty(submission.val_predictions)
    if (card.predictions_sha256, card.val_predictions_sha256) != stored_hashes:
        message = f"The scorecard of {submission.slug!r} is of other predictions than the stored ones."
        raise BenchError(Problem("scorecard-stale", message, str(path)))
    if card.scoring_version != SCORING_VERSION:
        message = f"Scored with scoring version {card.scoring_version}, now {SCORING_VERSION}."
        raise BenchError(Problem("scorecard-stale", message, str(path)))
    return card, sha256


def sha256_or_empty(path: Path) -> str:
    """Return the SHA-256 of a file; empty if it does not exist."""
    return sha256_file(path) if path.exists() else ""
