"""A scorecard without its curves: all that a board needs, at a fifth of the time and of the memory."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from bench.scoring.scorecard import (
    DecisionPoint,
    OperatingPoint,
    Point,
    Recalibration,
    ReliabilityBin,
    Scorecard,
    ScoreDistribution,
    SubgroupScore,
    TargetScore,
)

SKIPPED = "\0"
"""A key that no file has, so that what is stored under a field's own name is passed over."""


class TargetOutline(TargetScore):
    """One target without curves, distributions and operating points."""

    model_config = ConfigDict(extra="ignore")

    roc: tuple[Point, ...] = Field(default=(), validation_alias=SKIPPED)
    precision_recall: tuple[Point, ...] = Field(default=(), validation_alias=SKIPPED)
    reliability: tuple[ReliabilityBin, ...] = Field(default=(), validation_alias=SKIPPED)
    distribution: ScoreDistribution | None = Field(default=None, validation_alias=SKIPPED)
    decision: tuple[DecisionPoint, ...] = Field(default=(), validation_alias=SKIPPED)
    operating_points: tuple[OperatingPoint, ...] = Field(default=(), validation_alias=SKIPPED)
    recalibrated: Recalibration | None = Field(default=None, validation_alias=SKIPPED)


class ScorecardOutline(Scorecard):
    """A scorecard whose targets are outlines."""

    targets: tuple[TargetOutline, ...]


class ScorecardSummary(ScorecardOutline):
    """An outline without subgroups: all that ranks need."""

    model_config = ConfigDict(extra="ignore")

    subgroups: tuple[SubgroupScore, ...] = Field(default=(), validation_alias=SKIPPED)
