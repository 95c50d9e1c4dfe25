"""Speed on the board: one stated setting for a column, and what a figure is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bench.board import pareto
from bench.board.format import NOT_AVAILABLE, percent, printable, sentence, significant
from bench.board.model import Entry
from bench.board.pareto import Setting, setting_of
from bench.timing.record import BatchTiming, LoadPoint, Roofline, TimingRecord
from bench.timing.roofline import least_ms, taken_ms

BATCH = 1

BELOW_LIMIT = (
    "It took less time than the measured limit: perhaps the device was busy while the limit was measured, or "
    "the data stayed in a cache."
)


def setting_words(setting: Setting) -> str:
    """A setting in words, with the board's batch size."""
    return printable(f"{setting.backend}, {setting.precision}, batch {BATCH}, {setting.device}")


def column_setting(entries: Iterable[Entry]) -> Setting | None:
    """The setting that most entries were timed at, for the board's column of speed; None without timings."""
    counted = Counter(
        setting
        for entry in entries
        for setting in {setting_of(r) for r in entry.timings if r.row(BATCH) is not None}
    )
    if not counted:
        return None
    return min(counted, key=lambda s: (-counted[s], s.backend, s.precision, s.device))


def record_at(entry: Entry, setting: Setting | None) -> TimingRecord | None:
    """An entry's record at a setting; None where it was not timed there."""
    return next((record for record in entry.timings if setting_of(record) == setting), None)


def verdict(row: BatchTiming) -> tuple[str, str]:
    """Return the reason why a row is not ranked, as a word and a sentence; both empty where it is ranked."""
    word, why = pareto.verdict(row)
    word = word.replace("-", " ")
    return word, sentence(why or UNEXPLAINED.get(word, f"The run ended as {word}")) if word else ""


UNEXPLAINED = {
    "parity failed": "The timed session did not reproduce the predictions",
    "unstable": "No measurement shows that it is stable",
    "parity not checked": "The outputs were not compared with the stored predictions",
}


def share_of_limit(record: TimingRecord, row: BatchTiming) -> tuple[str, str]:
    """The share of the roofline that a row's `taken_ms` reaches, or why it is not known."""
    if row.limit_fraction is not None:
        return percent(row.limit_fraction, 0), ""
    least, taken = least_ms(record.roofline, row.batch), taken_ms(row)
    if taken is None:
        return NOT_AVAILABLE, "Not measured."
    if least is None or least <= taken:  # the limit may be known from other rows of the record alone
        return NOT_AVAILABLE, sentence(record.roofline.reason or "The limit was not measured")
    return NOT_AVAILABLE, BELOW_LIMIT


NOT_RECORDED = "not recorded"


def service_cells(row: BatchTiming) -> tuple[str, ...]:
    """Batch, images/s at p50 ms with 1, 2 and 4 in flight, files to predictions, cold start, request rate."""
    points = {point.in_flight: point for point in row.load_curve or ()}
    return (
        str(row.batch),
        *(NOT_RECORDED if row.load_curve is None else _load_cell(points.get(k)) for k in (1, 2, 4)),
        NOT_RECORDED if row.pipeline is None else significant(row.pipeline.latency.p50.value_ms),
        _cold_start_s(row),
        _request_rate(row),
    )


def _load_cell(point: LoadPoint | None) -> str:
    if point is None:
        return NOT_AVAILABLE
    return f"{significant(point.images_per_s)} at {significant(point.latency.p50.value_ms)} ms"


def _cold_start_s(row: BatchTiming) -> str:
    """Seconds from the start of a fresh process to its first answer."""
    total_ms = row.cold_start.total_ms
    return NOT_RECORDED if total_ms is None else significant(total_ms / 1000)


def _request_rate(row: BatchTiming) -> str:
    """Largest rate of random arrivals within the bound on p99; requests are of one image."""
    if row.batch != 1:
        return ""
    if row.server is None:
        return NOT_RECORDED
    rate = row.server.requests_per_s
    return NOT_AVAILABLE if rate is None else f"{significant(rate)} (p99 ≤ {row.server.bound_ms:g} ms)"


def work_cells(roofline: Roofline) -> tuple[str, ...]:
    """MFLOP and MB of an image, MB of weights, operations for each byte at batch 1, GFLOP/s and GB/s.

    Empty where the limit is not known.
    """
    if not roofline.figures:
        return ()
    mflop, weights, image, *device = roofline.figures
    for_each_byte = mflop / (image + weights) if image + weights > 0 else None
    return tuple(significant(value) for value in (mflop, image, weights, for_each_byte, *device))
