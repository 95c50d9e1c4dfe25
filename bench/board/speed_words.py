"""Speed on the board: one stated setting for a column, and what a figure is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bench.board import pareto
from bench.board.format import NOT_AVAILABLE, percent, printable, sentence, significant
from bench.board.model import Entry
from bench.board.pareto import Setting, setting_of
from bench.timing.record import BatchTiming, Roofline, TimingRecord
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
    """Why a row is not ranked, as a word and a sentence; both empty where it is ranked."""
    word, why = pareto.verdict(row)
    word = word.replace("-", " ")
    return word, sentence(why or UNEXPLAINED.get(word, f"The run ended as {word}")) if word else ""


UNEXPLAINED = {
    "parity failed": "The timed session did not reproduce the predictions",
    "unstable": "Nothing was measured that shows it to be stable",
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


def work_cells(roofline: Roofline) -> tuple[str, ...]:
    """MFLOP and MB of an image, MB of weights, operations for each byte at batch 1, GFLOP/s and GB/s.

    Empty where the limit is not known.
    """
    if not roofline.figures:
        return ()
    mflop, weights, image, *device = roofline.figures
    for_each_byte = mflop / (image + weights) if image + weights > 0 else None
    return tuple(significant(value) for value in (mflop, image, weights, for_each_byte, *device))
