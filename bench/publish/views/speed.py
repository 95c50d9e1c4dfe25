"""What the speed page shows: one section for each setting, so that no two settings share a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bench.board.columns import Cell, estimate_cell
from bench.board.model import Entry, LoadedBoard
from bench.board.pareto import Setting, auroc_of, scored_alone, setting_of
from bench.board.speed_words import BATCH, service_cells, setting_words, share_of_limit, verdict, work_cells
from bench.publish.charts.tradeoff import SpeedPoint, tradeoff
from bench.timing.record import BatchTiming, TimingRecord

MOST_ENTRIES = 40
"""Entries on the page, each with rows in several tables: a page stays below 6,000 elements."""


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """One entry at one batch size; `word` and `why` say why it is not ranked, `own` whose AUROC it is."""

    entry: Entry
    record: TimingRecord
    timing: BatchTiming
    auroc: Cell
    own: bool
    limit: str
    limit_why: str
    word: str
    why: str


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One entry at one batch size in service, as `service_cells` gives it."""

    entry: Entry
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkRow:
    """What an image costs one entry, and what the device was seen to do; without figures `why` says why."""

    entry: Entry
    cells: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class SpeedSection:
    """All that was measured at one setting: ranked rows by latency within a batch size, then the others."""

    setting: Setting
    rows: tuple[MeasuredRow, ...]
    work: tuple[WorkRow, ...]
    service: tuple[ServiceRow, ...]
    chart: Markup | str


@dataclass(frozen=True, slots=True)
class Timed:
    """An entry's latency at one setting, and whether it may be ranked."""

    entry: Entry
    record: TimingRecord
    latency_ms: float
    eligible: bool


def speed_view(loaded: LoadedBoard, home: str) -> dict[str, Any]:
    """The template's values of the speed page."""
    headline = loaded.spec.headline
    settings: dict[Setting, list[MeasuredRow]] = {}
    timed = _by_rank(loaded)
    for entry in timed[:MOST_ENTRIES]:
        for record in entry.timings:
            settings.setdefault(setting_of(record), []).extend(_rows(entry, record, headline))
    return {
        "headline_label": next(t.label for t in loaded.spec.targets if t.name == headline),
        "sections": [
            _section(headline, setting, settings[setting], home)
            for setting in sorted(settings, key=lambda s: s.place)
        ],
        "left_out": len(timed) - len(timed[:MOST_ENTRIES]),
    }


def _by_rank(loaded: LoadedBoard) -> list[Entry]:
    """The entries that were timed, in the order of the headline's board."""
    board = loaded.board.target(loaded.spec.headline) if loaded.board else None
    places = {standing.slug: place for place, standing in enumerate(board.standings)} if board else {}
    timed = [entry for entry in loaded.entries.values() if entry.timings]
    return sorted(timed, key=lambda entry: (places.get(entry.slug, len(places)), entry.slug))


def speed_points(timed: Sequence[Timed], target: str, home: str) -> list[SpeedPoint]:
    """Points of one target's speed chart."""
    points = []
    for one in timed:
        auroc = auroc_of(one.entry, one.record, target)
        if auroc is None or auroc.value is None or one.latency_ms <= 0:
            continue
        points.append(
            SpeedPoint(
                name=one.entry.manifest.name,
                slug=one.entry.slug,
                href=f"{home}e/{one.entry.slug}/index.html",
                latency_ms=one.latency_ms,
                auroc=auroc.value,
                low=auroc.low,
                high=auroc.high,
                eligible=one.eligible,
            )
        )
    return points


def _rows(entry: Entry, record: TimingRecord, headline: str) -> list[MeasuredRow]:
    own = scored_alone(record)
    missing = f"{record.precision}'s own predictions were not scored" if own else "not scored"
    auroc = estimate_cell(auroc_of(entry, record, headline), missing=missing)
    return [
        MeasuredRow(entry, record, timing, auroc, own, *share_of_limit(record, timing), *verdict(timing))
        for timing in record.batches
    ]


def _section(headline: str, setting: Setting, rows: list[MeasuredRow], home: str) -> SpeedSection:
    ordered = sorted(rows, key=lambda r: (r.timing.batch, bool(r.word), _latency(r), r.entry.slug))
    timed = [
        Timed(row.entry, row.record, latency, not row.word)
        for row in rows
        if row.timing.batch == BATCH and (latency := row.timing.end_to_end.p50.value_ms) is not None
    ]
    points = speed_points(timed, headline, home)
    chart = tradeoff(points, setting_words(setting)) if len(points) > 1 else ""
    records = {row.entry.slug: (row.entry, row.record.roofline) for row in rows}
    work = tuple(WorkRow(e, work_cells(r), r.reason) for e, r in records.values())
    by_entry = sorted(rows, key=lambda row: (row.entry.slug, row.timing.batch))
    service = tuple(ServiceRow(row.entry, service_cells(row.timing)) for row in by_entry)
    return SpeedSection(setting, tuple(ordered), work, service, chart)


def _latency(row: MeasuredRow) -> float:
    value = row.timing.end_to_end.p50.value_ms
    return float("inf") if value is None else value
