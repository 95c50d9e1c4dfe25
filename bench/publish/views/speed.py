"""View of speed: one section for each setting, so that no two settings share a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bench.board.column import Cell, estimate_cell
from bench.board.format import plural, sentence, significant
from bench.board.model import Entry, LoadedBoard
from bench.board.pareto import Setting, auroc_of, scored_alone, setting_of
from bench.board.speed_words import (
    BATCH,
    NOT_RECORDED,
    service_cells,
    setting_words,
    share_of_limit,
    verdict,
    work_cells,
)
from bench.publish.charts.throughput import NAMED, BatchMarks, LoadCurve, LoadMark, throughput
from bench.publish.charts.tradeoff import SpeedPoint, tradeoff
from bench.timing.record import BatchTiming, Percentile, TimingRecord

MOST_ENTRIES = 40
"""Entries on the page, each with rows in several tables: a page stays below 6,000 elements."""


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """One batch size of an entry.

    Attributes:
        timing: As recorded.
        word: Its verdict: `ranked`, or why it is not.
        why: The same as a sentence; empty where it is ranked.
        median: Median latency with its interval.
        figures: Label → cell of the other columns, in their order.
        service: As `service_cells` gives it, without the batch size.
    """

    timing: BatchTiming
    word: str
    why: str
    median: Cell
    figures: dict[str, Cell]
    service: tuple[str, ...]

    @property
    def ranked(self) -> bool:
        """Return whether the row may be ranked."""
        return self.timing.ranked

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons why a figure is missing or not ranked, in the order of the columns."""
        return tuple(filter(None, (self.median.reason, self.why, *(c.reason for c in self.figures.values()))))


@dataclass(frozen=True, slots=True)
class TimedEntry:
    """One entry at one setting.

    Attributes:
        entry: The entry.
        record: All its batch sizes.
        auroc: Of the headline target.
        own: Whether that is the AUROC of the record's own predictions.
        rows: The batch sizes, smallest first.
        work: As `work_cells` gives it; empty where it is not known.
    """

    entry: Entry
    record: TimingRecord
    auroc: Cell
    own: bool
    rows: tuple[MeasuredRow, ...]
    work: tuple[str, ...]

    @property
    def in_service(self) -> bool:
        """Return whether a figure of the table "In service" was recorded."""
        return any(cell != NOT_RECORDED for row in self.rows for cell in row.service if cell)

    @property
    def place(self) -> tuple[bool, float, str]:
        """By which entries are sorted: those ranked at the board's batch size first, by latency."""
        row = next((row for row in self.rows if row.timing.batch == BATCH), None)
        latency = None if row is None else row.timing.end_to_end.p50.value_ms
        ranked = row is not None and row.ranked and latency is not None
        return not ranked, float("inf") if latency is None else latency, self.entry.slug


@dataclass(frozen=True, slots=True)
class SpeedSection:
    """All that was measured at one setting.

    Attributes:
        setting: Of all of it.
        entries: By their `place`.
        fastest: The first that is ranked at the board's batch size, None where none is.
        reasons: The notes below the table, each once.
        first_note: Number of the first of them on the page.
        curve: Throughput against latency; empty where fewer than two figures are known.
        chart: Speed against AUROC; empty for fewer than two entries.
    """

    setting: Setting
    entries: tuple[TimedEntry, ...]
    fastest: TimedEntry | None
    reasons: tuple[str, ...]
    first_note: int
    curve: Markup | str
    chart: Markup | str

    @property
    def in_service(self) -> tuple[TimedEntry, ...]:
        """Entries with a figure of the table "In service"; the others have older records."""
        return tuple(one for one in self.entries if one.in_service)

    @property
    def with_work(self) -> tuple[TimedEntry, ...]:
        """Entries whose work for an image is known."""
        return tuple(one for one in self.entries if one.work)

    @property
    def without_work(self) -> list[str]:
        """Reasons why it is not known of the others, each with the number of entries."""
        reasons = Counter(
            sentence(one.record.roofline.reason or "not measured") for one in self.entries if not one.work
        )
        return [
            f"not known for {plural(count, 'entry', 'entries')}. {reason}"
            for reason, count in reasons.items()
        ]


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
    settings: dict[Setting, list[TimedEntry]] = {}
    timed = _by_rank(loaded)
    for entry in timed[:MOST_ENTRIES]:
        for record in entry.timings:
            settings.setdefault(setting_of(record), []).append(_timed_entry(entry, record, headline))
    sections: list[SpeedSection] = []
    for setting in sorted(settings, key=lambda s: s.place):
        first_note = 1 + sum(len(section.reasons) for section in sections)
        sections.append(_section(headline, setting, settings[setting], home, first_note))
    return {
        "headline_label": next(t.label for t in loaded.spec.targets if t.name == headline),
        "sections": sections,
        "batch": BATCH,
        "named_curves": NAMED,
        "not_recorded": NOT_RECORDED,
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


def load_curve(entry: Entry, record: TimingRecord, home: str) -> LoadCurve | None:
    """The latency-throughput curve of one record, None where no batch size has a median latency.

    A batch size without recorded figures in flight has one mark: its median end to end with one batch in
    flight, at which `batch` images take that time.
    """
    batches = []
    for timing in sorted(record.batches, key=lambda row: row.batch):
        if timing.load_curve:
            points = [(p.in_flight, p.latency.p50.value_ms, p.images_per_s) for p in timing.load_curve]
        else:
            median = timing.end_to_end.p50.value_ms
            points = [(1, median, 1000 * timing.batch / median if median else 0.0)]
        marks = tuple(LoadMark(k, ms, rate) for k, ms, rate in sorted(points) if ms and ms > 0 and rate > 0)
        if marks:
            batches.append(BatchMarks(timing.batch, timing.ranked, marks))
    href = f"{home}e/{entry.slug}/index.html"
    return LoadCurve(entry.manifest.name, entry.slug, href, tuple(batches)) if batches else None


def _timed_entry(entry: Entry, record: TimingRecord, headline: str) -> TimedEntry:
    own = scored_alone(record)
    missing = f"{record.precision}'s own predictions were not scored" if own else "not scored"
    auroc = estimate_cell(auroc_of(entry, record, headline), missing=missing)
    rows = tuple(_row(record, timing) for timing in sorted(record.batches, key=lambda row: row.batch))
    return TimedEntry(entry, record, auroc, own, rows, work_cells(record.roofline))


def _row(record: TimingRecord, timing: BatchTiming) -> MeasuredRow:
    word, why = verdict(timing)
    limit, limit_why = share_of_limit(record, timing)
    latency, images, cold = timing.end_to_end, timing.throughput, timing.cold_start
    figures = {
        "p90, ms": _latency_cell(latency.p90, latency.reason),
        "p99, ms": _latency_cell(latency.p99, latency.reason),
        "Images/s": _figure(images.images_per_s, images.reason),
        "Of the limit": Cell(limit, timing.limit_fraction, reason=limit_why),
        "Load, ms": _figure(cold.prepare_ms, cold.reason),
    }
    median = _latency_cell(latency.p50, latency.reason)
    return MeasuredRow(timing, word or "ranked", why, median, figures, service_cells(timing)[1:])


def _latency_cell(one: Percentile, reason: str) -> Cell:
    if one.value_ms is None:
        return _figure(None, one.reason or reason)
    both = one.low_ms is not None and one.high_ms is not None
    interval = f"{significant(one.low_ms)}–{significant(one.high_ms)}" if both else ""
    return Cell(significant(one.value_ms), one.value_ms, one.low_ms, one.high_ms, interval)


def _figure(value: float | None, reason: str) -> Cell:
    return Cell(significant(value), value, reason=sentence(reason or "not measured") if value is None else "")


def _section(
    headline: str, setting: Setting, entries: list[TimedEntry], home: str, first_note: int
) -> SpeedSection:
    ordered = tuple(sorted(entries, key=lambda one: one.place))
    timed = [
        Timed(one.entry, one.record, latency, row.ranked)
        for one in entries
        for row in one.rows
        if row.timing.batch == BATCH and (latency := row.timing.end_to_end.p50.value_ms) is not None
    ]
    points = speed_points(timed, headline, home)
    words = f"{setting.backend}, {setting.precision}, {setting.device}"
    curves = [curve for one in ordered if (curve := load_curve(one.entry, one.record, home))]
    marks = sum(len(batch.marks) for curve in curves for batch in curve.batches)
    reasons = (
        reason
        for one in ordered
        for reason in (one.auroc.reason, *(reason for row in one.rows for reason in row.reasons))
    )
    return SpeedSection(
        setting=setting,
        entries=ordered,
        fastest=next((one for one in ordered if not one.place[0]), None),
        reasons=tuple(dict.fromkeys(reason for reason in reasons if reason)),
        first_note=first_note,
        curve=throughput(curves, words) if marks > 1 else "",
        chart=tradeoff(points, setting_words(setting)) if len(points) > 1 else "",
    )
