"""The board's table: rows, columns and cells of one target, computed once for page, JSON and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.board.format import NOT_AVAILABLE, decimal, interval, metric_label, sentence, significant
from bench.board.model import Entry, LoadedBoard, Standing
from bench.board.pareto import Setting
from bench.board.speed_words import BATCH, column_setting, record_at, setting_words, verdict
from bench.scoring.scorecard import Estimate, TargetScore

PAGE_ROWS = 200
"""Rows of one page: a longer table is slow on a phone. The rest stands on a page of its own."""

OTHER_TARGETS = 5
"""Further targets would not fit beside the board's own; they stand in the CSV and on the entry pages."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers: `key` is unique in the table; columns of one `group` are hidden together."""

    key: str
    label: str
    group: str
    hint: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A number as shown. `reason` says why there is none, `note` what a reader must know of it."""

    text: str
    value: float | None
    reason: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One entry on one target's board."""

    slug: str
    entry: Entry
    standing: Standing
    score: TargetScore | None
    auroc: Estimate | None
    rank: str
    leader: bool
    cells: tuple[Cell, ...]
    twins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BoardTable:
    """One target's board. Ranked rows come first, in the board's order; the others keep their reasons."""

    target: str
    label: str
    columns: tuple[Column, ...]
    ranked: tuple[Row, ...]
    unranked: tuple[Row, ...]
    leader: str | None
    not_told_apart: int
    prevalence: float | None
    setting: Setting | None
    reasons: tuple[str, ...] = field(default=())

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows."""
        return self.ranked + self.unranked


def board_table(loaded: LoadedBoard, target: str) -> BoardTable:
    """The table of one target; the board of the cohort must exist."""
    board = loaded.board
    if board is None:
        raise ValueError(f"cohort {loaded.spec.id} has no board")
    this = board.target(target)
    setting = column_setting(loaded.entries.values())
    columns = _columns(loaded, target, setting)
    twins = {slug: tuple(s for s in t.slugs if s != slug) for t in this.twins for slug in t.slugs}
    rows = [
        _row(
            loaded.entries[s.slug], s, target, columns, setting, this.leader == s.slug, twins.get(s.slug, ())
        )
        for s in this.standings
    ]
    resolution = next((t for t in board.test_set.targets if t.target == target), None)
    reasons = dict.fromkeys(cell.reason for row in rows for cell in row.cells if cell.reason)
    return BoardTable(
        target=target,
        label=this.label,
        columns=columns,
        ranked=tuple(r for r in rows if r.standing.rank is not None),
        unranked=tuple(r for r in rows if r.standing.rank is None),
        leader=this.leader,
        not_told_apart=this.not_told_apart,
        prevalence=resolution.prevalence if resolution else None,
        setting=setting,
        reasons=tuple(reasons),
    )


def rank_text(standing: Standing) -> str:
    """The rank interval: `3`, `1–4`, or a dash for an entry that is not ranked."""
    if standing.rank is None:
        return "–"
    low, high = standing.rank_low or standing.rank, standing.rank_high or standing.rank
    return f"{low}" if low == high else f"{low}–{high}"


def estimate_cell(estimate: Estimate | None, digits: int = 3, missing: str = "not scored") -> Cell:
    """A metric as a cell; without a value it carries the reason."""
    if estimate is None:
        return Cell(NOT_AVAILABLE, None, sentence(missing))
    if estimate.value is None:
        return Cell(NOT_AVAILABLE, None, sentence(estimate.reason or "undefined"))
    return Cell(decimal(estimate.value, digits), estimate.value)


def _columns(loaded: LoadedBoard, target: str, setting: Setting | None) -> tuple[Column, ...]:
    columns = [
        Column("auprc", "AUPRC", "this", "Area under the precision-recall curve; compare with the prevalence")
    ]
    others = [t for t in loaded.spec.binary_targets if t.name != target][:OTHER_TARGETS]
    columns += [Column(f"auroc:{t.name}", t.label, "other", f"AUROC for {t.label}") for t in others]
    if any(e.scorecard and e.scorecard.macro for e in loaded.entries.values()):
        columns.append(Column("macro", "Macro", "other", "Mean AUROC of the targets named in the methods"))
    columns += [
        Column("ece", "ECE", "calibration", "Expected calibration error, 15 bins"),
        Column("brier", "Brier", "calibration", "Brier score; lower is better"),
        Column("calibration_slope", "Slope", "calibration", "Calibration slope; 1 is ideal"),
    ]
    if setting is not None:
        columns.append(
            Column("speed", "p50 ms", "speed", f"Median end-to-end latency: {setting_words(setting)}")
        )
    return tuple(columns)


def _row(
    entry: Entry,
    standing: Standing,
    target: str,
    columns: Sequence[Column],
    setting: Setting | None,
    leader: bool,
    twins: tuple[str, ...],
) -> Row:
    score = entry.scorecard.target(target) if entry.scorecard else None
    return Row(
        slug=entry.slug,
        entry=entry,
        standing=standing,
        score=score,
        auroc=score.ranked if score else None,
        rank=rank_text(standing),
        leader=leader,
        cells=tuple(_cell(column.key, entry, score, setting) for column in columns),
        twins=twins,
    )


def _cell(key: str, entry: Entry, score: TargetScore | None, setting: Setting | None) -> Cell:
    if key == "speed":
        return speed_cell(entry, setting)
    if key == "macro":
        return estimate_cell(entry.scorecard.macro if entry.scorecard else None)
    if key.startswith("auroc:"):
        other = entry.scorecard.target(key.removeprefix("auroc:")) if entry.scorecard else None
        return estimate_cell(other.ranked if other else None, missing="no predictions for this target")
    missing = f"{metric_label(key)} not scored" if score else "no predictions for this target"
    return estimate_cell(score.metrics.get(key) if score else None, missing=missing)


def speed_cell(entry: Entry, setting: Setting | None) -> Cell:
    """Median latency at the board's setting; a figure that is not ranked keeps its word."""
    record = record_at(entry, setting)
    row = record.row(BATCH) if record else None
    if row is None:
        return Cell(NOT_AVAILABLE, None, "Not timed at the setting of this column.")
    word, why = verdict(row)
    latency = row.end_to_end.p50.value_ms
    if latency is None:
        reason = why or sentence(row.end_to_end.p50.reason or row.end_to_end.reason or "not measured")
        return Cell(word or NOT_AVAILABLE, None, reason)
    return Cell(significant(latency), latency, why, word)


def tie_sentence(table: BoardTable, level: float) -> str:
    """How many entries cannot be told apart from the leader, from the board's own comparison."""
    share = f"{100 * level:g}%"
    if table.leader is None:
        return "No entry is ranked."
    if len(table.ranked) == 1:
        return "One entry is ranked, so there is nothing to tell it apart from."
    if table.not_told_apart == 0:
        return f"The first is told apart from every other at {share}."
    if table.not_told_apart == len(table.ranked) - 1:
        return (
            f"None of the other {table.not_told_apart} can be told apart from the first at {share}."
            if (table.not_told_apart > 1)
            else f"The second cannot be told apart from the first at {share}."
        )
    number = table.not_told_apart
    verb = "entry" if number == 1 else "entries"
    return f"{number} other {verb} cannot be told apart from the first at {share}."


def auroc_text(estimate: Estimate | None) -> str:
    """AUROC and interval for the charts' words."""
    if estimate is None or estimate.value is None:
        return NOT_AVAILABLE
    return f"{decimal(estimate.value)} ({interval(estimate.low, estimate.high)})"
