"""The table of one target's board, built once: page, JSON, CSV and `bench board` are renderings of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bench.board.column import BoardContext, Cell, Column, Group, Row
from bench.board.columns import board_columns
from bench.board.matrix import PairMatrix
from bench.board.model import LoadedBoard, TargetBoard
from bench.board.pareto import Setting
from bench.board.speed_words import column_setting
from bench.choices import Track
from bench.errors import BenchError, Problem, did_you_mean


@dataclass(frozen=True)
class BoardTable:
    """One target's board.

    Attributes:
        target: The target.
        label: The target as shown.
        columns: All columns, those of one group together.
        rows: All entries: ranked ones in the board's order, then the others.
        cells: Slug → key of a column → cell.
        may_be_empty: Keys of columns that need no value on this board.
        leader: Slug of the first.
        others_may_be_first: Entries other than the leader that may be first.
        sentence: Which entries may be first, in words.
        leader_sentence: How far the leader's AUROC is expected to be too high; empty where nothing was
            chosen.
        pairs: Pairwise comparisons of the first entries; None where no entry is ranked.
        prevalence: Share of positive test images.
        setting: Of the column of speed.
    """

    target: str
    label: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    cells: dict[str, dict[str, Cell]]
    may_be_empty: frozenset[str]
    leader: str | None
    others_may_be_first: int
    sentence: str
    leader_sentence: str
    pairs: PairMatrix | None
    prevalence: float | None
    setting: Setting | None
    compared: bool

    @cached_property
    def ranked(self) -> tuple[Row, ...]:
        """Rows with a rank."""
        return tuple(row for row in self.rows if row.standing.rank is not None)

    @cached_property
    def page_columns(self) -> tuple[Column, ...]:
        """The columns that the page shows; those withheld of all entries are left out."""
        return tuple(column for column in self.columns if column.on_page and not self._withheld(column))

    def _withheld(self, column: Column) -> bool:
        if column.group is Group.LEADER and not self.compared:
            return True
        cells = [self.cell(row, column) for row in self.rows]
        return bool(cells) and all(c.value is None and c.reason.lower().startswith("withheld") for c in cells)

    def cell(self, row: Row, column: Column) -> Cell:
        """The cell of an entry."""
        return self.cells[row.slug][column.key]

    def reasons(self, columns: Sequence[Column]) -> tuple[str, ...]:
        """Every reason of these columns once, in the order of the table: the footnotes."""
        cells = (self.cell(row, column) for row in self.rows for column in columns)
        return tuple(dict.fromkeys(cell.reason for cell in cells if cell.reason))

    def choose(self, keys: Sequence[str]) -> tuple[Column, ...]:
        """The columns of these keys, in their order.

        Raises:
            BenchError: A key is unknown (``column-unknown``), naming the nearest ones.
        """
        known = {column.key: column for column in self.columns}
        if unknown := [key for key in dict.fromkeys(keys) if key not in known]:
            raise BenchError([_unknown(key, known) for key in unknown])
        return tuple(known[key] for key in dict.fromkeys(keys))

    def where(self, conditions: Sequence[tuple[str, str]]) -> BoardTable:
        """The table of the entries that meet every condition; ranks and comparisons stay those of all.

        Args:
            conditions: Key of a column and the text or value that its cells must have, whatever the case.

        Raises:
            BenchError: A key is unknown (``column-unknown``), or no entry has a value (``board-empty``).
        """
        rows = self.rows
        for (key, wanted), column in zip(
            conditions, [self.choose([key])[0] for key, _ in conditions], strict=True
        ):
            known = dict.fromkeys(self.cell(row, column).text for row in rows)
            rows = tuple(row for row in rows if _matches(self.cell(row, column), wanted))
            if not rows:
                message = f"No entry has {key} = {wanted!r}.{did_you_mean(wanted, known)}"
                remedy = f"The values are: {'; '.join(list(known)[:MOST_VALUES])}."
                raise BenchError(Problem("board-empty", message, remedy=remedy))
        return replace(self, rows=rows)


def board_table(loaded: LoadedBoard, target: str, track: Track = Track.HOLDOUT) -> BoardTable:
    """The table of one target.

    Args:
        loaded: The board with all its entries.
        target: The target.
        track: Which of the two rankings.

    Raises:
        ValueError: The cohort has no board.
        StopIteration: No entry is of the track.
        PluginError: The column of another package cannot be used.
    """
    if loaded.board is None:
        raise ValueError(f"cohort {loaded.spec.id} has no board")
    board = loaded.board.target(target, track)
    context = BoardContext(loaded.spec, board, loaded.entries, column_setting(loaded.entries.values()))
    columns = board_columns(context)
    resolution = next((t for t in loaded.board.test_set.targets if t.target == target), None)
    return BoardTable(
        target=target,
        label=board.label,
        columns=columns,
        rows=tuple(sorted(context.rows, key=lambda row: row.standing.rank is None)),
        cells={row.slug: {column.key: column.cell(row) for column in columns} for row in context.rows},
        may_be_empty=frozenset(column.key for column in columns if column.may_be_empty(context)),
        leader=board.leader,
        others_may_be_first=board.others_may_be_first,
        sentence=board_sentence(board, loaded.board.level),
        leader_sentence=leader_sentence(board),
        pairs=board.pairs,
        prevalence=resolution.prevalence if resolution else None,
        setting=context.setting,
        compared=board.compared,
    )


MOST_VALUES = 20
"""Most values of a column that a message lists."""


def _matches(cell: Cell, wanted: str) -> bool:
    value = wanted.strip().casefold()
    return value in (cell.text.casefold(), str(cell.value).casefold())


def _unknown(key: str, known: dict[str, Column]) -> Problem:
    near = did_you_mean(key, known)
    remedy = near.strip() or f"The columns of this board are {', '.join(known)}."
    return Problem("column-unknown", f"There is no column {key!r}.", remedy=remedy)


def board_sentence(board: TargetBoard, level: float) -> str:
    """State how many entries may be first.

    Args:
        board: One target's board.
        level: Confidence of all statements about pairs together.
    """
    ranked = sum(standing.rank is not None for standing in board.standings)
    number, confidence = board.others_may_be_first, f"{100 * level:g}% confidence, adjusted for all pairs"
    if ranked == 0:
        return "No entry is ranked."
    if ranked == 1:
        return "One entry is ranked, so there is nothing to compare it with."
    if not board.compared:
        return "Ranks are by the rounded AUROC; which other entries may be first is withheld."
    if number == 0:
        return f"No other entry may be first ({confidence})."
    if number == 1:
        return f"1 other entry may be first ({confidence})."
    every = "All " if number == ranked - 1 else ""
    return f"{every}{number:,} other entries may be first ({confidence})."


def leader_sentence(board: TargetBoard) -> str:
    """State the leader's AUROC corrected for its selection as the highest; empty with one ranked entry."""
    ranked = [standing for standing in board.standings if standing.rank is not None]
    if len(ranked) < 2 or board.shrunken_auroc is None or ranked[0].auroc is None:
        return ""
    auroc, corrected = f"{ranked[0].auroc:.3f}", f"{board.shrunken_auroc:.3f}"
    sentence = (
        f"The leader's AUROC of {auroc} is the highest of {len(ranked):,} and so expected "
        f"to be too high; corrected for this choice it is {corrected}."
        if corrected < auroc
        else f"The leader's AUROC of {auroc} needs no correction for being the highest of {len(ranked):,}."
    )
    attempts, gain, most = ranked[0].attempts, ranked[0].chance_gain, ranked[0].adaptive_gain
    if attempts is None or attempts < 2 or gain is None or most is None:
        return sentence
    return (
        f"{sentence} Its team made {attempts} attempts: the best of so many equal entries is expected to "
        f"gain {gain:.3f} by chance, and at most {most:.3f} if each was chosen in view of the results before."
    )
