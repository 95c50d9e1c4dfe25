"""Models of the JSON files that the site publishes; their schemas are published with them."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_serializer

from bench.board.column import Cell, Group, Value
from bench.board.matrix import PairMatrix
from bench.board.model import Board, SameRanking, Standing, TestSet
from bench.documents import Document, schema_field
from bench.federation.model import SiteAggregate, SitesBoard, TransferBoard
from bench.metrics.results import Estimate
from bench.publish.releases import ReleaseRecord
from bench.scoring.attempts import Attempt
from bench.scoring.scorecard import Scorecard, Stamp
from bench.submission.manifest import Manifest, Reported
from bench.timing.record import TimingRecord


class SpeedSetting(Document):
    """The one setting at which the board's column of speed was measured."""

    backend: str
    device: str
    precision: str
    batch: int


class ColumnSummary(Document):
    """A column of a board."""

    key: str
    label: str
    group: Group
    hint: str
    on_page: bool = Field(description="Whether the board page shows it.")
    may_be_empty: bool = Field(description="Whether no entry needs a value in it.")


class LeaderboardRow(Document):
    """One entry on one target's board."""

    slug: str
    name: str
    team: str
    date: str
    kind: str
    inputs: tuple[str, ...]
    track: str
    standing: Standing
    metrics: dict[str, Estimate]
    macro: Estimate | None
    latency_ms: float | None = Field(description="Median at the board's setting; null where there is none.")
    latency_note: str = Field(description="Why the latency is missing or is not ranked.")
    cells: dict[str, Cell] = Field(description="Key of a column → cell; empty parts of cells are left out.")

    @field_serializer("cells")
    def _short_cells(self, cells: dict[str, Cell]) -> Any:  # plain data: its types need no second check
        return {key: short_cell(cell) for key, cell in cells.items()}


class LeaderboardTarget(Document):
    """One target's board: ranked rows first."""

    target: str
    label: str
    leader: str | None
    others_may_be_first: int | None = Field(
        description="Entries other than the leader that may be first; null where comparisons are withheld, "
        "or no entry is ranked."
    )
    sentence: str = Field(description="Which entries may be first, as the page says it.")
    shrunken_auroc: float | None = Field(
        description="The leader's AUROC less its expected gain from being chosen as the highest."
    )
    prevalence: float | None
    columns: tuple[ColumnSummary, ...]
    rows: tuple[LeaderboardRow, ...]
    same_ranking: tuple[SameRanking, ...]
    critical: float | None = Field(
        description="Critical value of the normal scores of all pairs; null where there is none."
    )
    pairs: PairMatrix | None


def short_cell(cell: Cell) -> dict[str, Value]:
    """A cell as plain data: text and value, and of the rest what is there."""
    shown: dict[str, Value] = {"text": cell.text, "value": cell.value}
    if cell.low is not None:
        shown["low"] = cell.low
    if cell.high is not None:
        shown["high"] = cell.high
    if cell.interval:
        shown["interval"] = cell.interval
    if cell.reason:
        shown["reason"] = cell.reason
    if cell.note:
        shown["note"] = cell.note
    return shown


class ReportedEntry(Document):
    """Numbers from a paper: shown beside the board, never ranked."""

    slug: str
    name: str
    team: str
    date: str
    inputs: tuple[str, ...]
    reported: Reported


class Leaderboard(Document):
    """``leaderboard.json``: all of a cohort's board pages. `stamp` is null where nothing was scored."""

    schema_: str = schema_field("leaderboard", 2, 1)
    cohort: str
    version: str
    title: str
    synthetic: bool
    headline: str
    stamp: Stamp | None
    scoring_version: int | None
    seed: int | None
    replicates: int | None
    level: float | None
    test_set: TestSet | None
    speed: SpeedSetting | None
    targets: tuple[LeaderboardTarget, ...]
    reported: tuple[ReportedEntry, ...]
    built_from: str


class PublishedEntry(Document):
    """``e/<slug>/entry.json``: all that is known of an entry, its full curves included."""

    schema_: str = schema_field("entry", 2)
    slug: str
    cohort: str
    synthetic: bool
    manifest: Manifest
    standings: dict[str, Standing]
    scorecard: Scorecard | None
    timings: tuple[TimingRecord, ...]
    attempts: tuple[Attempt, ...] = Field(default=(), description="What was ever scored under this slug.")
    team_attempts: int = Field(default=0, description="What the team had scored of any entry.")


PUBLISHED: dict[str, type[Document]] = {
    "leaderboard": Leaderboard,
    "entry": PublishedEntry,
    "board": Board,
    "scorecard": Scorecard,
    "submission": Manifest,
    "timing": TimingRecord,
    "release": ReleaseRecord,
    "site-aggregate": SiteAggregate,
    "sites-board": SitesBoard,
    "transfer": TransferBoard,
}
"""Name of a schema file → its model."""


def published_json(document: Document) -> bytes:
    """A document as one line of JSON in the order of its model: equal documents give equal bytes."""
    return document.model_dump_json(by_alias=True).encode() + b"\n"
