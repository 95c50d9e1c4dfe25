"""What the speed page shows: one section for each setting, so that no two settings share a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bench.board.model import Entry, LoadedBoard
from bench.publish.charts.tradeoff import SpeedPoint, tradeoff
from bench.publish.speed import BATCH, Setting, setting_of, verdict
from bench.timing.record import BatchTiming, TimingRecord


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """One entry at one batch size; `word` and `why` say why it is not ranked."""

    entry: Entry
    record: TimingRecord
    timing: BatchTiming
    word: str
    why: str


@dataclass(frozen=True, slots=True)
class SpeedSection:
    """All that was measured at one setting: ranked rows by latency within a batch size, then the others."""

    setting: Setting
    is_gpu: bool
    rows: tuple[SpeedRow, ...]
    chart: Markup | str


def speed_view(loaded: LoadedBoard, home: str) -> dict[str, Any]:
    """The template's values of the speed page."""
    settings: dict[Setting, list[SpeedRow]] = {}
    for slug in sorted(loaded.entries):
        entry = loaded.entries[slug]
        for record in entry.timings:
            rows = [SpeedRow(entry, record, timing, *verdict(timing)) for timing in record.batches]
            settings.setdefault(setting_of(record), []).extend(rows)
    order = sorted(settings, key=lambda s: (not _is_gpu(settings[s]), s.device, s.backend, s.precision))
    return {"sections": [_section(loaded, setting, settings[setting], home) for setting in order]}


def speed_points(timed: list[tuple[Entry, float, bool]], target: str, home: str) -> list[SpeedPoint]:
    """Points of one target's speed chart from (entry, latency in ms, whether it may be ranked)."""
    points = []
    for entry, latency_ms, eligible in timed:
        score = entry.scorecard.target(target) if entry.scorecard else None
        auroc = score.metrics.get("auroc") if score else None
        if auroc is None or auroc.value is None or latency_ms <= 0:
            continue
        points.append(
            SpeedPoint(
                name=entry.manifest.name,
                slug=entry.slug,
                href=f"{home}e/{entry.slug}/index.html",
                latency_ms=latency_ms,
                auroc=auroc.value,
                low=auroc.low,
                high=auroc.high,
                eligible=eligible,
            )
        )
    return points


def _is_gpu(rows: list[SpeedRow]) -> bool:
    return any(row.record.is_gpu for row in rows)


def _section(loaded: LoadedBoard, setting: Setting, rows: list[SpeedRow], home: str) -> SpeedSection:
    ordered = sorted(rows, key=lambda r: (r.timing.batch, bool(r.word), _latency(r), r.entry.slug))
    timed = [
        (row.entry, row.timing.end_to_end.p50.value_ms, not row.word)
        for row in rows
        if row.timing.batch == BATCH and row.timing.end_to_end.p50.value_ms is not None
    ]
    known = [(entry, value, eligible) for entry, value, eligible in timed if value is not None]
    points = speed_points(known, loaded.spec.headline, home)
    chart = tradeoff(points, setting.label) if len(points) > 1 else ""
    return SpeedSection(setting, _is_gpu(rows), tuple(ordered), chart)


def _latency(row: SpeedRow) -> float:
    value = row.timing.end_to_end.p50.value_ms
    return float("inf") if value is None else value
