"""Ledger of scored attempts: how often a team has seen a test score.

``submissions/<cohort>/_attempts/<slug>.json`` lists each set of predictions ever scored under a slug.
It stays when an entry is replaced or removed, so that model selection on the test set is visible.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field

from bench.choices import Track
from bench.documents import Document, read_json, schema_field
from bench.errors import BenchError, Problem
from bench.files import locked, write_json
from bench.submission.manifest import Manifest
from bench.submission.store import Submission
from bench.workspace import STORE_LOCK, attempts_folder


class Attempt(Document):
    """One set of predictions that was scored."""

    date: datetime.date = Field(description="Day on which it was first scored here.")
    team: str
    track: Track
    predictions_sha256: str


class Attempts(Document):
    """``_attempts/<slug>.json``."""

    schema_: str = schema_field("attempts", 1)
    slug: str
    attempts: tuple[Attempt, ...]


def record_attempt(entry: Submission, predictions_sha256: str, today: datetime.date | None = None) -> None:
    """Record an entry's predictions as scored, once; hold the store's lock.

    Raises:
        BenchError: The ledger of the slug cannot be read (``ledger-invalid``).
    """
    manifest = entry.manifest
    attempt = Attempt(
        date=today or datetime.datetime.now(datetime.UTC).date(),
        team=manifest.team,
        track=manifest.track,
        predictions_sha256=predictions_sha256,
    )
    path = attempts_folder(entry.folder.parent) / f"{entry.slug}.json"
    before = _read(path).attempts if path.exists() else ()
    if not any(_same(attempt, earlier) for earlier in before):
        write_json(path, Attempts(slug=entry.slug, attempts=(*before, attempt)).plain())


DRY_RUN = "dry-run"
"""Slug of attempts that were only checked, without the name of an entry."""


def count_attempt(folder: Path, slug: str, manifest: Manifest, predictions_sha256: str, limit: int) -> None:
    """Record predictions that were handed in for a test set with private labels, within a team's budget.

    Predictions that the team handed in before do not count again.

    Args:
        folder: The cohort's folder of submissions.
        slug: Name of the entry; empty in a dry run without one.
        manifest: Its manifest.
        predictions_sha256: SHA-256 of the packed predictions.
        limit: Most sets of predictions of a team.

    Raises:
        BenchError: The team has used all its attempts (``attempts-used``); nothing is recorded then.
    """
    with locked(folder / STORE_LOCK):
        team = by_team(read_ledger(folder).values()).get(team_key(manifest.team), ())
        used = {(a.track, a.predictions_sha256) for a in team}
        if (manifest.track, predictions_sha256) in used:
            return
        if len(used) >= limit:
            message = (
                f"Team {manifest.team!r} has handed in {len(used)} sets of predictions; {limit} are allowed."
            )
            raise BenchError(Problem("attempts-used", message))
        name = slug or DRY_RUN
        record_attempt(Submission(name, folder / name, manifest), predictions_sha256)


def read_ledger(folder: Path) -> dict[str, tuple[Attempt, ...]]:
    """Read the attempts of each slug in a cohort's folder of submissions, including removed entries.

    Raises:
        BenchError: A ledger is damaged (``ledger-invalid``).
    """
    return {path.stem: _read(path).attempts for path in sorted(attempts_folder(folder).glob("[!.]*.json"))}


def by_team(ledger: Iterable[tuple[Attempt, ...]]) -> dict[str, tuple[Attempt, ...]]:
    """Group attempts by `team_key`, sorted by date."""
    attempts_by_team: dict[str, list[Attempt]] = {}
    for attempt in (a for attempts in ledger for a in attempts):
        attempts_by_team.setdefault(team_key(attempt.team), []).append(attempt)
    return {
        team: tuple(sorted(team_attempts, key=lambda a: (a.date, a.predictions_sha256)))
        for team, team_attempts in attempts_by_team.items()
    }


def team_key(team: str) -> str:
    """Return a key that is equal for names differing only in case or blanks."""
    return " ".join(team.casefold().split())


def _read(path: Path) -> Attempts:
    return read_json(Attempts, path, "ledger-invalid")


def _same(first: Attempt, second: Attempt) -> bool:
    return (first.track, first.predictions_sha256) == (second.track, second.predictions_sha256)
