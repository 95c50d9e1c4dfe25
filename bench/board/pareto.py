"""Speed and AUROC of entries: one column for each device, backend and precision, and the Pareto front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bench.board.model import Entry
from bench.metrics.results import Estimate
from bench.timing.record import BatchTiming, TimingRecord


@dataclass(frozen=True, slots=True)
class Setting:
    """Conditions that two latencies in one column share.

    Attributes:
        backend: As shown.
        device: The processor.
        precision: Of the computation.
        is_gpu: Whether the processor is a GPU.
    """

    backend: str
    device: str
    precision: str
    is_gpu: bool

    @property
    def place(self) -> tuple[bool, str, str, str]:
        """By which settings are sorted: those of GPUs first."""
        return not self.is_gpu, self.device, self.backend, self.precision


def setting_of(record: TimingRecord) -> Setting:
    """The setting of a record."""
    return Setting(record.backend_label, record.device, record.precision, record.is_gpu)


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """One entry in one setting.

    Attributes:
        slug: The entry.
        auroc: Of the target.
        record: All its batch sizes.
        timing: Its row at the batch size.
        why: In words, why it is not ranked; empty where it is.
        on_front: Whether no ranked entry is both at least as fast and at least as good.
    """

    slug: str
    auroc: float | None
    record: TimingRecord
    timing: BatchTiming
    why: str
    on_front: bool = False

    @property
    def latency_ms(self) -> float | None:
        """Median end to end."""
        return self.timing.end_to_end.p50.value_ms


@dataclass(frozen=True, slots=True)
class SpeedColumn:
    """All entries that were timed in one setting: ranked ones by latency, then the others by slug.

    Attributes:
        setting: Of all of them.
        rows: At one batch size.
    """

    setting: Setting
    rows: tuple[SpeedRow, ...]


def speed_columns(entries: Iterable[Entry], target: str, batch: int = 1) -> tuple[SpeedColumn, ...]:
    """The columns of a board, those of GPUs first; no two settings share one.

    Args:
        entries: All of a board.
        target: Whose AUROC stands beside the latency.
        batch: At this batch size.
    """
    rows_by_setting: dict[Setting, list[SpeedRow]] = {}
    for entry in entries:
        for record in entry.timings:
            timing = record.row(batch)
            if timing is not None:
                auroc = auroc_of(entry, record, target)
                value = None if auroc is None else auroc.value
                row = SpeedRow(entry.slug, value, record, timing, why_unranked(timing))
                rows_by_setting.setdefault(setting_of(record), []).append(row)
    return tuple(
        SpeedColumn(setting, _ordered(rows_by_setting[setting]))
        for setting in sorted(rows_by_setting, key=lambda s: s.place)
    )


def why_unranked(row: BatchTiming) -> str:
    """Return why a row is not ranked, or an empty text."""
    return ": ".join(part for part in verdict(row) if part)


def verdict(row: BatchTiming) -> tuple[str, str]:
    """Return why a row is not ranked as (keyword, explanation); both are empty if it is ranked.

    Reasons: the run did not finish, its times were unstable, or its outputs did not match the predictions.
    """
    if row.ranked:
        return "", ""
    if row.status != "ok":
        return row.status, row.message
    if row.parity.status == "failed":
        return "parity failed", row.parity.message
    if row.stability.stable is not True:
        return "unstable", " ".join(reason.message for reason in row.stability.reasons)
    return "parity not checked", row.parity.message


def pareto_front(points: Iterable[tuple[str, float, float]]) -> tuple[str, ...]:
    """Names on the front of (name, latency, AUROC), fastest first.

    A point is left out where another is at least as fast and at least as good, and better in one of them; of
    equal points the first by name stands for all.
    """
    best: list[tuple[str, float, float]] = []
    for point in sorted(points, key=lambda p: (p[1], -p[2], p[0])):
        if not best or point[2] > best[-1][2]:
            best.append(point)
    return tuple(name for name, _, _ in best)


def auroc_of(entry: Entry, record: TimingRecord, target: str) -> Estimate | None:
    """Return the AUROC of the entry, or of the record's own predictions if its precision is scored alone."""
    if scored_alone(record):
        own = record.own_auroc.get(target)
        return None if own is None else Estimate(value=own)
    score = entry.scorecard.target(target) if entry.scorecard else None
    return None if score is None else score.ranked


def scored_alone(record: TimingRecord) -> bool:
    """Return whether the precision is scored as a model of its own: int8 outputs need not match."""
    return record.precision == "int8"


def _ordered(rows: Sequence[SpeedRow]) -> tuple[SpeedRow, ...]:
    ranked = [(r, r.latency_ms) for r in rows if not r.why and r.latency_ms is not None]
    front = set(pareto_front((r.slug, ms, r.auroc) for r, ms in ranked if r.auroc is not None))
    fast = [r for r, _ in sorted(ranked, key=lambda pair: (pair[1], pair[0].slug))]
    others = sorted((r for r in rows if r.why or r.latency_ms is None), key=lambda r: r.slug)
    return tuple(replace(row, on_front=row.slug in front) for row in (*fast, *others))
