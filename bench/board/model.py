"""The board as it is stored (``board.json``) and as pages are built from it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field

from bench.board.matrix import PairMatrix
from bench.choices import Track
from bench.cohort.spec import CohortSpec
from bench.cohort.summary import TargetResolution
from bench.display import Displayed, Table, estimate_text
from bench.documents import Document, schema_field
from bench.scoring.attempts import Attempt
from bench.scoring.scorecard import Flag, RankInputs, Stamp
from bench.submission.manifest import Manifest, Retraction
from bench.timing.record import TimingRecord

if TYPE_CHECKING:
    from bench.board.table import BoardTable

C = TypeVar("C", bound=RankInputs)


class TestSet(Document):
    """The split that the board is about."""

    images: int
    patients: int
    train_images: int
    val_images: int
    targets: tuple[TargetResolution, ...]


class Standing(Document):
    """Rank and comparisons of one entry for one target."""

    slug: str
    auroc: float | None
    rank: int | None = Field(description="1 = highest AUROC; null where the entry is not ranked.")
    rank_low: int | None = Field(
        description="Lower end of the rank interval: 1 + entries that are significantly higher, adjusted for "
        "all pairs of the board."
    )
    rank_high: int | None = Field(
        description="Upper end of the rank interval: entries of the board - those significantly lower."
    )
    may_be_first: bool = Field(
        default=False, description="No entry is significantly higher (rank_low is 1); true of the leader."
    )
    tied_with_leader: bool = Field(
        default=False,
        description="The leader is not significantly higher; true of every entry that may be first.",
    )
    p_best: float | None = Field(
        default=None, description="Share of replicates in which it is best: stability."
    )
    difference: float | None = Field(
        default=None,
        description="AUROC minus the leader's, with its interval adjusted for all pairs of the board.",
    )
    difference_low: float | None = None
    difference_high: float | None = None
    p_value: float | None = Field(
        default=None, description="Against the leader, adjusted for all pairs of the board."
    )
    percentile_rank_low: int | None = Field(
        default=None, description="Ranks in the middle 95% of replicates: stability, not confidence."
    )
    percentile_rank_high: int | None = None
    reference_difference: float | None = Field(
        default=None,
        description="AUROC minus that of the reference, with its interval by t for this pair alone.",
    )
    reference_difference_low: float | None = None
    reference_difference_high: float | None = None
    reference_p_value: float | None = Field(
        default=None,
        description="Against the reference, by t, adjusted by Holm's method: a family named beforehand.",
    )
    attempts: int | None = Field(
        default=None, description="Sets of predictions that its team had scored; null for baselines."
    )
    chance_gain: float | None = Field(
        default=None, description="Expected gain of the best of so many entries of equal quality."
    )
    adaptive_gain: float | None = Field(
        default=None,
        description="Upper bound of it if each attempt was chosen in view of the results before.",
    )
    flags: tuple[Flag, ...] = ()
    unranked_reason: str = ""


class SameRanking(Document):
    """Entries whose scores for a target order the images identically."""

    slugs: tuple[str, ...]
    identical: bool = Field(description="Equal values, not only equal order.")


class TargetBoard(Document):
    """All entries for one target, ranked first, then unranked."""

    target: str
    label: str
    leader: str | None
    others_may_be_first: int = Field(description="Entries other than the leader that may be first.")
    standings: tuple[Standing, ...]
    shrunken_auroc: float | None = Field(
        default=None,
        description="The leader's AUROC less its expected gain from being chosen as the highest: the mean, "
        "over replicates, of the replicate minus the AUROC of the entry that is highest in the replicate.",
    )
    critical: float | None = Field(
        default=None,
        description="Critical value of the normal scores of all pairs; null where there is none.",
    )
    pairs: PairMatrix | None = Field(default=None, description="Pairwise comparisons of the first entries.")
    same_ranking: tuple[SameRanking, ...] = ()
    reference: str | None = Field(
        default=None, description="Slug of the baseline on age and sex that every entry is compared with."
    )

    @property
    def compared(self) -> bool:
        """Whether ranks have intervals: they are withheld where the labels are private."""
        return any(standing.rank_low is not None for standing in self.standings)


class Board(Displayed, Document):
    """``board.json``: computed once on all entries; pages and tables only show it."""

    schema_: str = schema_field("board", 2, 2)
    stamp: Stamp
    title: str
    headline: str
    scoring_version: int
    seed: int
    replicates: int
    level: float
    test_set: TestSet
    targets: tuple[TargetBoard, ...]
    cv5: tuple[TargetBoard, ...] = Field(
        default=(),
        description="Entries of the cv5 track, ranked by their fold-averaged AUROC on all patients.",
    )
    one_per_team: bool = Field(default=False, description="Only the highest entry of each team is ranked.")
    ladder: bool = Field(
        default=False, description="A team's new entry must beat its best by more than noise."
    )
    withheld: tuple[str, ...] = Field(default=(), description="Slugs that the ladder does not publish.")
    scorecards: dict[str, str] = Field(description="Slug → SHA-256 of the scorecard it was computed from.")
    retracted: dict[str, Retraction] = Field(
        default_factory=dict,
        exclude_if=lambda entries: not entries,
        description="Slug → when and why the entry is not ranked any more; left out where there is none.",
    )

    def target(self, name: str, track: str = Track.HOLDOUT) -> TargetBoard:
        """The board of one target.

        Raises:
            StopIteration: No entry is of the track.
        """
        return next(t for t in (self.cv5 if track == "cv5" else self.targets) if t.target == name)

    def __repr__(self) -> str:
        return f"<Board of {self.stamp.cohort}; entries: {len(self.scorecards)}; headline: {self.headline}>"

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each track, target and entry: every field of its `Standing`."""
        tracks = ((Track.HOLDOUT, self.targets), (Track.CV5, self.cv5))
        return [
            {"track": str(track), "target": board.target, **standing.model_dump(exclude={"flags"})}
            for track, boards in tracks
            for board in boards
            for standing in board.standings
        ]

    def tables(self) -> tuple[Table, ...]:
        """Return a table for each target: rank interval, AUROC and difference to the leader."""
        columns = ("entry", "rank", "AUROC", "difference to the leader", "may be first")
        return tuple(
            Table(f"{self.title}: {board.label}", columns, tuple(map(_standing_texts, board.standings)))
            for board in self.targets
        )


def _standing_texts(standing: Standing) -> tuple[str, ...]:
    ranked = standing.rank is not None
    return (
        standing.slug,
        f"{standing.rank_low} to {standing.rank_high}" if ranked else standing.unranked_reason,
        estimate_text(standing.auroc, None, None),
        estimate_text(standing.difference, standing.difference_low, standing.difference_high),
        "yes" if standing.may_be_first else "no",
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored submission with everything that is known of it. Reported entries have no scorecard.

    Attributes:
        slug: Its name in the store.
        manifest: What its authors say of it.
        scorecard: Its numbers.
        timings: Its measured speed.
        whole: File of the scorecard where `scorecard` does not hold all of it.
        attempts: What was ever scored under its slug.
        team_attempts: What its team had scored of any entry.
        retraction: When and why it was taken out of the ranking.
        registered: Day on which its model was registered before scoring; None where it was not.
    """

    slug: str
    manifest: Manifest
    scorecard: RankInputs | None
    timings: tuple[TimingRecord, ...]
    whole: Path | None = None
    attempts: tuple[Attempt, ...] = ()
    team_attempts: tuple[Attempt, ...] = ()
    retraction: Retraction | None = None
    registered: datetime.date | None = None

    def card(self, model: type[C]) -> C | None:
        """The scorecard with all that `model` holds; None for an entry without one.

        Raises:
            TypeError: Less of it was read.
        """
        if self.scorecard is not None and not isinstance(self.scorecard, model):
            raise TypeError(f"{self.slug}: {type(self.scorecard).__name__} is no {model.__name__}")
        return self.scorecard


@dataclass(frozen=True, slots=True, repr=False)
class LoadedBoard(Displayed):
    """All that a page shows: the cohort's spec, the comparisons, and the entries by slug.

    `board` is None where the cohort has reported entries only. `waiting` are entries not scored yet.
    """

    spec: CohortSpec
    board: Board | None
    entries: dict[str, Entry]
    waiting: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<LoadedBoard of {self.spec.id}; entries: {len(self.entries)}; headline: {self.spec.headline}>"
        )

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each target and entry, with the columns of ``leaderboard.csv``."""
        return [
            {
                "target": table.target,
                **{
                    name: value
                    for column in table.columns
                    for name, value in zip(
                        column.csv_fields, column.csv_values(table.cell(row, column)), strict=True
                    )
                },
            }
            for table in self._by_target()
            for row in table.rows
        ]

    def tables(self) -> tuple[Table, ...]:
        """Return a table for each target, as the page of the board shows it."""
        from bench.board.render import texts

        return tuple(
            Table(
                f"{self.spec.title}: {table.label}",
                tuple(column.label for column in table.page_columns),
                tuple(map(tuple, texts(table, table.page_columns)[0])),
            )
            for table in self._by_target()
        )

    def _by_target(self) -> list[BoardTable]:
        from bench.board.table import board_table  # which reads this module

        return [board_table(self, board.target) for board in self.board.targets] if self.board else []
