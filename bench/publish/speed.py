"""Speed on the board: one stated setting for a column, and what a figure is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from bench.board.model import Entry
from bench.publish.format import printable, sentence
from bench.timing.record import BatchTiming, TimingRecord

BATCH = 1


@dataclass(frozen=True, slots=True)
class Setting:
    """What must be equal for two latencies to stand in one column."""

    backend: str
    device: str
    precision: str

    @property
    def label(self) -> str:
        """The setting in words."""
        return printable(f"{self.backend}, {self.precision}, batch {BATCH}, {self.device}")


def setting_of(record: TimingRecord) -> Setting:
    """The setting of a record."""
    return Setting(record.backend_label, record.device, record.precision)


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


def row_at(entry: Entry, setting: Setting | None) -> BatchTiming | None:
    """The row of batch 1 at a setting; None where the entry was not timed there."""
    for record in entry.timings:
        if setting_of(record) == setting:
            return record.row(BATCH)
    return None


def verdict(row: BatchTiming) -> tuple[str, str]:
    """Why a row is not ranked, as a word and a sentence; both empty where it is ranked."""
    if row.status != "ok":
        word = row.status.replace("-", " ")
        return word, sentence(row.message or f"The run ended as {word}")
    if row.parity.status == "failed":
        return "parity failed", sentence(
            row.parity.message or "The timed session did not reproduce the predictions"
        )
    if row.stability.stable is not True:
        reasons = "; ".join(reason.message.strip().rstrip(".") for reason in row.stability.reasons)
        return "unstable", sentence(reasons or "Nothing was measured that shows it to be stable")
    if row.parity.status != "passed":
        return "parity not checked", sentence(
            row.parity.message or "The outputs were not compared with the stored predictions"
        )
    return "", ""
