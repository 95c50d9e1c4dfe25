"""The types of a board's columns: declaration, context, row and cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from bench.board.format import NOT_AVAILABLE, decimal, interval, printable, sentence, shortened
from bench.board.model import Entry, Standing, TargetBoard
from bench.board.pareto import Setting
from bench.board.verdict import Verdict, pair_verdict
from bench.cohort.spec import CohortSpec
from bench.metrics.results import Estimate
from bench.scoring.scorecard import TargetInputs

Value = str | int | float | bool | None


class Group(StrEnum):
    """Groups of columns in the order of the table. Those with a label can be hidden on the page."""

    ENTRY = "entry"
    TARGET = "target"
    LEADER = "leader"
    OTHER = "other"
    CALIBRATION = "calibration"
    SPEED = "speed"
    SOURCE = "source"

    @property
    def label(self) -> str:
        """The group as headed on the page; empty for those that are always shown."""
        return _GROUP_LABELS.get(self, "")


_GROUP_LABELS = {
    Group.LEADER: "Against the leader",
    Group.OTHER: "Other findings",
    Group.CALIBRATION: "Calibration",
    Group.SPEED: "Speed",
    Group.SOURCE: "Source",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry's cell in one column.

    Attributes:
        text: As shown, without interval and note.
        value: As JSON and CSV hold it, in full precision; None where there is none.
        low: Lower limit of the interval.
        high: Upper limit of the interval.
        interval: The interval as shown beside the text; empty where the text shows it already.
        reason: Why there is no value, or why there is a note, as a sentence.
        note: A word that is shown beside the text.

    Raises:
        ValueError: A number is not finite.
    """

    text: str
    value: Value
    low: float | None = None
    high: float | None = None
    interval: str = ""
    reason: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for number in (self.value, self.low, self.high):
            if isinstance(number, float) and not math.isfinite(number):
                raise ValueError(f"a cell holds {number}; leave the value out and give the reason")

    @property
    def empty(self) -> bool:
        """Whether there is no value."""
        return self.value is None or self.value == ""


@dataclass(frozen=True)
class BoardContext:
    """Data from which the cells of one target's board are computed.

    Attributes:
        spec: The cohort's spec.
        board: The ranking of the target.
        entries: All entries of the cohort, by slug.
        setting: Of the column of speed; None without timings.
    """

    spec: CohortSpec
    board: TargetBoard
    entries: Mapping[str, Entry]
    setting: Setting | None

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The entries in the order of the board."""
        return tuple(self._row(standing) for standing in self.board.standings)

    def _row(self, standing: Standing) -> Row:
        entry = self.entries[standing.slug]
        score = entry.scorecard.target(self.board.target) if entry.scorecard else None
        return Row(self, entry, standing, score)

    def verdict(self, row: Row) -> Verdict:
        """Return the verdict on the leader against an entry; without stored pairs, only ties are known."""
        pairs, leader = self.board.pairs, self.board.leader
        if pairs is not None and leader in pairs.slugs and row.slug in pairs.slugs:
            return pair_verdict(pairs.pair(leader, row.slug))
        return Verdict.CHANCE if row.standing.tied_with_leader else Verdict.SEPARATED

    @cached_property
    def same_ranking(self) -> dict[str, tuple[str, ...]]:
        """Slug → other entries whose scores order the images identically."""
        groups = self.board.same_ranking
        return {slug: tuple(s for s in g.slugs if s != slug) for g in groups for slug in g.slugs}


@dataclass(frozen=True, slots=True)
class Row:
    """One entry on one target's board: what a column's cell is computed from.

    Attributes:
        context: The board.
        entry: Manifest, scorecard (as `bench.scoring.scorecard.RankInputs` reads it) and timings.
        standing: Rank and comparisons for the target.
        score: The scores of the target; None where the entry has no predictions of it.
    """

    context: BoardContext
    entry: Entry
    standing: Standing
    score: TargetInputs | None

    @property
    def slug(self) -> str:
        """Name of the entry in the store."""
        return self.entry.slug

    @property
    def auroc(self) -> Estimate | None:
        """The ranked AUROC."""
        return self.score.ranked if self.score else None

    @property
    def leader(self) -> bool:
        """Whether the entry is the leader."""
        return self.context.board.leader == self.slug

    @property
    def may_be_first(self) -> bool:
        """Whether no entry is significantly higher; true of the leader."""
        return self.standing.may_be_first

    @property
    def same_ranking(self) -> tuple[str, ...]:
        """Other entries whose scores order the images identically."""
        return self.context.same_ranking.get(self.slug, ())


def always(_context: BoardContext) -> bool:
    """Every board."""
    return True


def never(_context: BoardContext) -> bool:
    """No board."""
    return False


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a board.

    Attributes:
        key: Name in JSON, in CSV and for `bench board --columns`.
        label: Heading.
        group: Columns of one group stand together.
        hint: One sentence on what the column holds.
        cell: The cell of an entry.
        applies: Boards that have the column.
        may_be_empty: Boards on which no entry needs a value; elsewhere `bench site check` calls a column
            without any value a fault.
        numeric: Whether cells are aligned as numbers.
        descending: Whether the first click on the heading sorts from high to low.
        limits: Whether CSV, as ``<key>_low`` and ``<key>_high``, and the terminal have the interval too.
        bar: Whether the page draws the interval.
        explained: Whether cells have notes that CSV keeps, as ``<key>_note``.
        facet: Whether the page can be filtered by the texts of the column.
        on_page: Whether the page shows it. JSON and CSV have every column.
        priority: Order in which the terminal gives room to columns, lowest first; None for those that only
            ``--columns`` shows.

    Raises:
        ValueError: The group is unknown, or the key cannot be a name in CSV and HTML.
    """

    key: str
    label: str
    group: Group
    hint: str
    cell: Callable[[Row], Cell]
    applies: Callable[[BoardContext], bool] = always
    may_be_empty: Callable[[BoardContext], bool] = never
    numeric: bool = True
    descending: bool = False
    limits: bool = False
    bar: bool = False
    explained: bool = False
    facet: bool = False
    on_page: bool = True
    priority: int | None = 5

    def __post_init__(self) -> None:
        if self.group not in tuple(Group):
            known = ", ".join(Group)
            raise ValueError(
                f"column {self.key!r} has the unknown group {self.group!r}; known groups are {known}"
            )
        object.__setattr__(self, "group", Group(self.group))
        if not self.key or not all(c.isalnum() or c in "_:-" for c in self.key):
            raise ValueError(f"column key {self.key!r} must consist of letters, digits, _, - and :")

    def full_text(self, cell: Cell) -> str:
        """Text, interval and note of a cell, as tables of plain text show them."""
        limits = f" ({cell.interval})" if self.limits and cell.interval else ""
        return f"{cell.text}{limits}{f' {cell.note}' if cell.note else ''}"

    @property
    def csv_fields(self) -> tuple[str, ...]:
        """Names of the fields that CSV has for the column."""
        limits = (f"{self.key}_low", f"{self.key}_high") if self.limits else ()
        return (self.key, *limits, *((f"{self.key}_note",) if self.explained else ()))

    def csv_values(self, cell: Cell | None) -> tuple[Value, ...]:
        """The fields of one entry; empty ones for None."""
        if cell is None:
            return (None,) * len(self.csv_fields)
        limits = (cell.low, cell.high) if self.limits else ()
        note = f"{cell.note}: {cell.reason}" if cell.note else cell.reason
        return (cell.value, *limits, *((note,) if self.explained else ()))


def estimate_cell(estimate: Estimate | None, digits: int = 3, missing: str = "not scored") -> Cell:
    """A metric as a cell; without a value it carries the reason."""
    if estimate is None:
        return Cell(NOT_AVAILABLE, None, reason=sentence(missing))
    if estimate.value is None:
        return Cell(NOT_AVAILABLE, None, reason=sentence(estimate.reason or "undefined"))
    limits = interval(estimate.low, estimate.high, digits)
    return Cell(decimal(estimate.value, digits), estimate.value, estimate.low, estimate.high, limits)


def text_cell(text: str, length: int = 80) -> Cell:
    """A text as a cell, shown with at most `length` characters."""
    return Cell(printable(shortened(text, length)), text)
