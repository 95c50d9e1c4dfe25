"""Ledger of scored attempts: how often a team has seen a test score.

``submissions/<cohort>/_attempts/<slug>.json`` lists each set of predictions ever scored under a slug.
It stays when an entry is replaced or removed, so that model selection on the test set is visible.
"""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field

from bench.choices import Track
from bench.documents import Document, schema_field
from bench.errors import BenchError, Problem
from bench.files import locked, write_json
from bench.sandbox.reader import read_document
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


COMPARED = "_compared"
"""Name in the ledger of predictions that `bench compare` evaluated without an entry; no slug can have it."""


def record_compared(
    folder: Path, predictions_sha256: str, track: Track, today: datetime.date | None = None
) -> None:
    """Record that predictions which are no entry were compared on the test labels; hold the store's lock.

    Raises:
        BenchError: The ledger cannot be read (``ledger-invalid``).
    """
    _record(folder, COMPARED, "not an entry", track, predictions_sha256, today)


class LabelReading(Document):
    """One day on which the test labels were read in Python."""

    date: datetime.date
    fingerprint: str = Field(description="Of the split whose test labels were read.")
    images: int


class LabelReadings(Document):
    """``_attempts/_test_labels.json``; no slug begins with an underscore."""

    schema_: str = schema_field("label-readings", 1)
    readings: tuple[LabelReading, ...]


LABEL_READINGS = "_test_labels.json"


def record_label_reading(
    submissions: Path, fingerprint: str, images: int, today: datetime.date | None = None
) -> None:
    """Record that the test labels of a cohort were read, once a day; takes the store's lock.

    Args:
        submissions: The cohort's folder of submissions; created where absent.
        fingerprint: Fingerprint of the split.
        images: Number of test images.
        today: Day of the reading; default: today in UTC.

    Raises:
        BenchError: The ledger cannot be read (``ledger-invalid``).
    """
    day = today or datetime.datetime.now(datetime.UTC).date()
    reading = LabelReading(date=day, fingerprint=fingerprint, images=images)
    path = attempts_folder(submissions) / LABEL_READINGS
    with locked(submissions / STORE_LOCK):
        before = read_label_readings(submissions)
        if reading not in before:
            write_json(path, LabelReadings(readings=(*before, reading)).plain())


def read_label_readings(submissions: Path) -> tuple[LabelReading, ...]:
    """Read on which days the test labels were read.

    Raises:
        BenchError: The ledger is damaged (``ledger-invalid``).
    """
    path = attempts_folder(submissions) / LABEL_READINGS
    return read_document(LabelReadings, path, "ledger-invalid")[0].readings if path.exists() else ()


def record_attempt(entry: Submission, predictions_sha256: str, today: datetime.date | None = None) -> None:
    """Record an entry's predictions as scored, once; hold the store's lock.

    Raises:
        BenchError: The ledger of the slug cannot be read (``ledger-invalid``).
    """
    manifest = entry.manifest
    _record(entry.folder.parent, entry.slug, manifest.team, manifest.track, predictions_sha256, today)


def _record(
    folder: Path, slug: str, team: str, track: Track, predictions_sha256: str, today: datetime.date | None
) -> None:
    attempt = Attempt(
        date=today or datetime.datetime.now(datetime.UTC).date(),
        team=team,
        track=track,
        predictions_sha256=predictions_sha256,
    )
    path = attempts_folder(folder) / f"{slug}.json"
    before = _read(path).attempts if path.exists() else ()
    if not any(_same(attempt, earlier) for earlier in before):
        write_json(path, Attempts(slug=slug, attempts=(*before, attempt)).plain())


def move_attempts(folder: Path, old: str, new: str) -> None:
    """Count the attempts of a slug under another one, once; hold the store's lock.

    Raises:
        BenchError: A ledger cannot be read (``ledger-invalid``).
    """
    source, target = (attempts_folder(folder) / f"{slug}.json" for slug in (old, new))
    if not source.exists():
        return
    before = _read(target).attempts if target.exists() else ()
    moved = [a for a in _read(source).attempts if not any(_same(a, earlier) for earlier in before)]
    write_json(target, Attempts(slug=new, attempts=(*before, *moved)).plain())
    source.unlink()


DRY_RUN = "dry-run"
"""Slug of attempts that were only checked, without the name of an entry."""


def count_attempt(folder: Path, slug: str, manifest: Manifest, predictions_sha256: str, limit: int) -> None:
    """Record submitted predictions for a test set with private labels, within a team's budget.

    Predictions that the team submitted before do not count again.

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
                f"Team {manifest.team!r} has submitted {len(used)} sets of predictions; {limit} are allowed."
            )
            raise BenchError(Problem("attempts-used", message))
        name = slug or DRY_RUN
        record_attempt(Submission(name, folder / name, manifest), predictions_sha256)


def read_ledger(folder: Path) -> dict[str, tuple[Attempt, ...]]:
    """Read the attempts of each slug in a cohort's folder of submissions, including removed entries.

    Raises:
        BenchError: A ledger is damaged (``ledger-invalid``).
    """
    return {path.stem: _read(path).attempts for path in sorted(attempts_folder(folder).glob("[!._]*.json"))}


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
    """Return a key that is equal for names differing only in case, blanks, or letters that look alike."""
    plain = unicodedata.normalize("NFKC", team).casefold()
    return " ".join(plain.translate(_LOOK_ALIKE).split())


_LOOK_ALIKE = str.maketrans("авеѕіјкмноԛрсԝтухѵαβεικνορτυχ", "abesijkmhoqpcwtyxvabeiknoptux")
"""Small Cyrillic and Greek letters → the Latin letters of the same shape, in small or large writing."""


def _read(path: Path) -> Attempts:
    return read_document(Attempts, path, "ledger-invalid")[0]


def _same(first: Attempt, second: Attempt) -> bool:
    return (first.track, first.predictions_sha256) == (second.track, second.predictions_sha256)
