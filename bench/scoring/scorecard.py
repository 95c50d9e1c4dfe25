"""Scorecard: every number computed from an entry's predictions, as it is stored, read and published."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, Field

from bench.choices import Track
from bench.display import Displayed, Table, estimate_text
from bench.documents import Document, schema_field
from bench.errors import BenchError, Problem, catalogue
from bench.files import sha256_file
from bench.metrics import registry
from bench.metrics.results import STORED, BrierParts, Estimate
from bench.sandbox.reader import read_document
from bench.submission.store import Submission

SCORING_VERSION = 4
"""Goes up whenever a number can change for the same predictions and cohort."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a curve; where labels are private, each step covers at least ten images of each class."""

    x: float
    y: float

    __pydantic_config__: ClassVar = STORED


class ReliabilityBin(Document):
    """One bin of a reliability curve; where labels are private, curves may be cut at its edges."""

    low: float
    high: float
    images: int | None
    mean_prediction: float | None
    observed: float | None
    observed_low: float | None
    observed_high: float | None


class ScoreDistribution(Document):
    """Shares of each class in equal-width bins of the score, from `low` to `high`."""

    low: float
    high: float
    positive: tuple[float, ...]
    negative: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPoint:
    """Net benefit at a threshold, beside treating everybody; treating nobody has net benefit 0."""

    threshold: float
    net_benefit: float
    low: float | None = None
    high: float | None = None
    treat_all: float

    __pydantic_config__: ClassVar = STORED


class YieldPoint(Document):
    """Echocardiograms of the images with the highest scores, and the positives that they find."""

    examined: float = Field(description="Share of the images whose patient gets an echocardiogram.")
    per_100: float = Field(description="Positives found per 100 echocardiograms.")
    found: float = Field(description="Share of all positives; in random order it is `examined`.")


class ShiftedPoint(Document):
    """An operating point at another prevalence, with sensitivity and specificity as they are here."""

    rule: str
    called: float
    ppv: float | None
    npv: float | None
    net_benefit: float | None = Field(
        description="At the threshold after recalibration; null where scores are not probabilities."
    )


class PrevalenceShift(Document):
    """Operating points at a stated prevalence."""

    prevalence: float
    intercept: float = Field(description="To be added to all log odds, so that probabilities fit again.")
    points: tuple[ShiftedPoint, ...]


class SmoothCalibration(Document):
    """Distances of the probabilities from a smooth calibration curve, and its points."""

    ici: float = Field(description="Mean distance: the integrated calibration index.")
    e50: float
    e90: float
    emax: float
    points: tuple[Point, ...]


class OperatingPoint(Document):
    """Decisions at one threshold: images that score at least as high are called positive."""

    rule: str = Field(description="What the threshold keeps where it was chosen.")
    chosen_on: Literal["val", "test"]
    threshold: float
    called: int = Field(description="Test images called positive.")
    moved: int = Field(
        description="By how many images the cut was moved, to where curves may be cut without telling labels."
    )
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate


class Recalibration(Document):
    """The entry after a recalibration logit p' = intercept + slope · logit p that was fitted on val."""

    slope: float | None
    intercept: float | None
    metrics: dict[str, Estimate] = Field(default_factory=dict)
    reason: str = ""


class Runs(Document):
    """The AUROC of each run of an entry of several, and the parts of the variance of their mean."""

    count: int = Field(ge=2)
    auroc: tuple[float | None, ...] = Field(
        description="Of each run in the order submitted, fold-averaged on the cv5 track; empty if withheld."
    )
    sd: float | None = Field(description="Standard deviation of these.")
    patient_variance: float | None = Field(
        default=None, description="Variance of the mean by the choice of patients."
    )
    run_variance: float | None = Field(
        default=None, description="Variance of a run's expected AUROC, without the choice of patients."
    )


class TargetInputs(Document):
    """Fields of one binary target that boards read; other fields are ignored.

    `metrics` holds every metric of `bench.metrics.registry` for a binary target. `estimands` holds the AUROC
    of the other two views: ``patient_weighted`` and ``first_image``; on the cv5 track also
    ``fold_averaged``, which is ranked; for an entry of several runs ``mean_of_runs``, which is ranked, all
    else being that of the first run.
    """

    model_config = ConfigDict(extra="ignore")

    target: str
    label: str
    images: int
    excluded: int = Field(description="Test images without a label for this target.")
    patients: int
    positives: int
    positive_patients: int
    prevalence: float | None
    metrics: dict[str, Estimate]
    estimands: dict[str, Estimate]
    runs: Runs | None = Field(
        default=None, exclude_if=lambda runs: runs is None, description="Left out for an entry of one run."
    )

    @property
    def ranked(self) -> Estimate:
        """The AUROC that the board ranks: mean of the runs, fold-averaged on the cv5 track, or pooled."""
        of_first = self.estimands.get("fold_averaged", self.metrics["auroc"])
        return self.estimands.get("mean_of_runs", of_first)


class TargetScore(TargetInputs):
    """One binary target with its curves and operating points."""

    model_config = ConfigDict(extra="forbid")

    roc: tuple[Point, ...] = ()
    precision_recall: tuple[Point, ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    distribution: ScoreDistribution | None = None
    decision: tuple[DecisionPoint, ...] = ()
    decision_warning: str = Field(default="", description="What to know before trusting its intervals.")
    brier_parts: BrierParts | None = None
    operating_points: tuple[OperatingPoint, ...] = ()
    detection_yield: tuple[YieldPoint, ...] = ()
    prevalence_shifts: tuple[PrevalenceShift, ...] = ()
    smooth_calibration: SmoothCalibration | None = None
    brier_skill: Estimate | None = Field(
        default=None, description="1 - Brier / Brier of the prevalence among the other images."
    )
    recalibrated: Recalibration | None = Field(
        default=None, description="Null without predictions of the val images, or without probabilities."
    )


class ContinuousScore(Document):
    """One measurement on the test images whose value is plausible."""

    target: str
    label: str
    unit: str
    images: int
    excluded: int
    patients: int
    metrics: dict[str, Estimate]


class SlidingPoint(Document):
    """One threshold on a measurement: images above it are positive."""

    threshold: float
    positives: int | None
    auroc: Estimate


class SlidingThreshold(Document):
    """The AUROC of a target's score while the threshold on the measurement behind the label slides."""

    target: str
    measurement: str
    label: str
    unit: str
    points: tuple[SlidingPoint, ...]


class SubgroupInputs(Document):
    """Fields of one subgroup that pages of a board read; other fields are ignored."""

    model_config = ConfigDict(extra="ignore")

    target: str
    division: str
    division_label: str
    level: str
    suppressed: bool
    reason: str = ""
    images: int | None = None
    patients: int | None = None
    positives: int | None = None
    metrics: dict[str, Estimate] = Field(default_factory=dict)
    gaps: dict[str, Estimate] = Field(
        default_factory=dict, description="The metric here minus the metric on all other test images."
    )


class SubgroupScore(SubgroupInputs):
    """One target within one subgroup; without counts and metrics where a class is too small to publish."""

    model_config = ConfigDict(extra="forbid")

    decisions: dict[str, Estimate] = Field(
        default_factory=dict,
        description="Sensitivity, specificity, PPV and NPV at the first operating point of all images.",
    )


class Flag(Document):
    """Something a reader should know, such as an interval that covers 0.5."""

    code: str
    message: str
    target: str = ""

    @property
    def label(self) -> str:
        """Short words for tables: the title of the code's page, see `bench explain`."""
        page = catalogue().get(self.code)
        title = page.title if page else self.code.replace("-", " ")
        return title[0].lower() + title[1:]


class Stamp(Document):
    """Cohort and split that a result belongs to."""

    cohort: str
    version: str
    fingerprint: str
    synthetic: bool
    study_views: Literal["mean", "maximum"] | None = Field(
        default=None,
        exclude_if=lambda views: views is None,
        description="Predictions of a study's views are combined so, and every count of images is a count of "
        "studies; left out where each image is scored.",
    )


class RankInputs(Displayed, Document):
    """Fields of ``scorecard.json`` that ranks and columns of a board read; other fields are ignored.

    Curves and subgroups, which are most of the file, are not read: a board of a thousand entries takes a
    third of the time and an eighth of the memory.
    """

    model_config = ConfigDict(extra="ignore")

    schema_: str = schema_field("scorecard", 1, 3)
    slug: str
    stamp: Stamp
    harness_version: str
    scoring_version: int
    predictions_sha256: str
    val_predictions_sha256: str = Field(default="", description="Empty without predictions of val images.")
    track: Track
    scores: Literal["probability", "uncalibrated"]
    seed: int
    replicates: int
    level: float
    headline: str
    label_efficiency_sha256: str = Field(
        default="",
        exclude_if=lambda digest: not digest,
        description="Of the predictions behind `label_efficiency`; left out without them.",
    )
    runs_sha256: str = Field(
        default="",
        exclude_if=lambda digest: not digest,
        description="Of the predictions of all runs but the first; left out without them.",
    )
    targets: tuple[TargetInputs, ...]
    macro: Estimate | None = Field(default=None, description="Mean AUROC of the spec's macro targets.")

    def target(self, name: str) -> TargetInputs | None:
        """The scores of one target, None where the entry has none."""
        return next((t for t in self.targets if t.target == name), None)

    def __repr__(self) -> str:
        scored = self.target(self.headline) or next(iter(self.targets), None)
        auroc = f"; {scored.target} AUROC {_text(scored.ranked)}" if scored else ""
        return f"<{type(self).__name__} of {self.slug}{auroc}; targets: {len(self.targets)}>"

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each target and metric: entry, names, and every field of its `Estimate`."""
        return [
            {"slug": self.slug, "target": target.target, "metric": key, **asdict(estimate)}
            for target in self.targets
            for key, estimate in target.metrics.items()
        ]

    def tables(self) -> tuple[Table, ...]:
        """Return one table: a row for each metric, a column for each target."""
        keys = dict.fromkeys(key for target in self.targets for key in target.metrics)
        known = registry.metrics()
        rows = tuple(
            (
                known[key].label if key in known else key,
                *(_text(target.metrics[key]) if key in target.metrics else "" for target in self.targets),
            )
            for key in keys
        )
        cohort = f"{self.stamp.cohort}{' (synthetic)' if self.stamp.synthetic else ''}"
        caption = f"{self.slug} on {cohort}, with {100 * self.level:g}% confidence intervals"
        return (Table(caption, ("metric", *(target.label for target in self.targets)), rows),)


def _text(estimate: Estimate) -> str:
    return estimate_text(estimate.value, estimate.low, estimate.high, estimate.reason)


class BoardInputs(RankInputs):
    """Fields of ``scorecard.json`` that a board and its pages read; only pages of entries read more."""

    continuous: tuple[ContinuousScore, ...] = ()
    subgroups: tuple[SubgroupInputs, ...] = ()


class LabelEfficiencyPoint(Document):
    """AUROC of the head fitted on a share of the train patients."""

    target: str
    fraction: float = Field(gt=0, le=1, description="Share of the train patients, chosen by a hash rule.")
    draws: int = Field(description="Draws of the share; the AUROC is their mean.")
    auroc: Estimate = Field(description="Its interval holds the choice of test patients and of the draws.")
    draw_sd: float | None = Field(
        description="Standard deviation of the AUROC between draws, beyond what the choice of test patients "
        "explains; null where there is one draw."
    )


class Scorecard(BoardInputs):
    """``scorecard.json``, whole."""

    model_config = ConfigDict(extra="forbid")

    targets: tuple[TargetScore, ...]
    subgroups: tuple[SubgroupScore, ...] = ()
    sliding: tuple[SlidingThreshold, ...] = ()
    flags: tuple[Flag, ...] = ()
    label_efficiency: tuple[LabelEfficiencyPoint, ...] = Field(
        default=(),
        exclude_if=lambda points: not points,
        description="For embeddings: the AUROC by the share of patients the head is fitted on.",
    )

    def target(self, name: str) -> TargetScore | None:
        """The scores of one target, None where the entry has none."""
        return next((t for t in self.targets if t.target == name), None)


C = TypeVar("C", bound=RankInputs)


def read_scorecard(submission: Submission) -> Scorecard:
    """Read the stored scorecard of an entry; errors as `hashed_scorecard`."""
    return hashed_scorecard(submission, Scorecard)[0]


def hashed_scorecard(submission: Submission, model: type[C]) -> tuple[C, str]:
    """Read the stored scorecard of an entry and the SHA-256 of its file in one pass.

    Args:
        submission: The entry.
        model: `Scorecard`, or a model with a part of its fields.

    Raises:
        BenchError: Not scored yet (``not-scored``), damaged (``scorecard-invalid``), or computed from other
            predictions or by another scoring version (``scorecard-stale``).
    """
    path = submission.scorecard
    if not path.exists():
        raise BenchError(Problem("not-scored", f"Entry {submission.slug!r} has no scorecard.", str(path)))
    card, sha256 = read_document(model, path, "scorecard-invalid")
    manifest = submission.manifest
    if (card.slug, card.track, card.scores) != (submission.slug, manifest.track, manifest.scores):
        message = f"The scorecard is of entry {card.slug!r}, {card.track}, {card.scores}."
        raise BenchError(Problem("scorecard-stale", message, str(path)))
    files = (submission.val_predictions, submission.label_efficiency, submission.runs)
    stored_hashes = (sha256_file(submission.predictions), *map(sha256_or_empty, files))
    scored_hashes = (
        card.predictions_sha256,
        card.val_predictions_sha256,
        card.label_efficiency_sha256,
        card.runs_sha256,
    )
    if scored_hashes != stored_hashes:
        message = (
            f"The scorecard of {submission.slug!r} was computed from other predictions than the stored ones."
        )
        raise BenchError(Problem("scorecard-stale", message, str(path)))
    require_scoring_version(card, path)
    return card, sha256


def require_scoring_version(card: RankInputs, path: Path) -> None:
    """Refuse a scorecard of another scoring version (``scorecard-stale``)."""
    if card.scoring_version != SCORING_VERSION:
        message = f"Scored with scoring version {card.scoring_version}, now {SCORING_VERSION}."
        remedy = "Score all entries again, where the data is: `bench score --all`."
        raise BenchError(Problem("scorecard-stale", message, str(path), remedy))


def sha256_or_empty(path: Path) -> str:
    """Return the SHA-256 of a file; empty if it does not exist."""
    return sha256_file(path) if path.exists() else ""
