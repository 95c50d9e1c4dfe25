"""The ledger of scored attempts: how often a team has seen a score, whatever became of the entries.

``submissions/<cohort>/_attempts/<slug>.json`` holds a line for each set of predictions that was ever scored
under a slug. Replacing or removing an entry leaves it, so that choosing on the test set shows.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field

from bench.choices import Track
from bench.documents import Document, read_json, schema_field
from bench.files import write_json
from bench.submission.store import Submission
from bench.workspace import attempts_folder


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
    """Notes that an entry's predictions are scored, once; hold the store's lock.

    Raises:
        BenchError: The ledger of the slug cannot be read (``ledger-invalid``).
    """
    said = entry.manifest
    attempt = Attempt(
        date=today or datetime.datetime.now(datetime.UTC).date(),
        team=said.team,
        track=said.track,
        predictions_sha256=predictions_sha256,
    )
    path = attempts_folder(entry.folder.parent) / f"{entry.slug}.json"
    before = _read(path).attempts if path.exists() else ()
    if not any(_same(attempt, other) for other in before):
        write_json(path, Attempts(slug=entry.slug, attempts=(*before, attempt)).plain())


def read_ledger(folder: Path) -> dict[str, tuple[Attempt, ...]]:
    """Slug → its attempts, of a cohort's folder of submissions; slugs without an entry are among them.

    Raises:
        BenchError: ``ledger-invalid``.
    """
    return {path.stem: _read(path).attempts for path in sorted(attempts_folder(folder).glob("[!.]*.json"))}


def by_team(ledger: Iterable[tuple[Attempt, ...]]) -> dict[str, tuple[Attempt, ...]]:
    """`team_key` → all attempts of that team, by date."""
    found: dict[str, list[Attempt]] = {}
    for attempt in (a for attempts in ledger for a in attempts):
        found.setdefault(team_key(attempt.team), []).append(attempt)
    return {
        team: tuple(sorted(mine, key=lambda a: (a.date, a.predictions_sha256)))
        for team, mine in found.items()
    }


def team_key(team: str) -> str:
    """Names that differ in case or blanks alone are one team."""
    return " ".join(team.casefold().split())


def _read(path: Path) -> Attempts:
    return read_json(Attempts, path, "ledger-invalid")


def _same(one: Attempt, other: Attempt) -> bool:
    return (one.track, one.predictions_sha256) == (other.track, other.predictions_sha256)
