"""Documents about several hospitals: what one publishes, the board over them, and transfer; without numpy."""

from __future__ import annotations

from pydantic import Field, model_validator

from bench.documents import Document, schema_field
from bench.errors import BenchError, Problem
from bench.metrics.results import Estimate, PooledEstimate
from bench.scoring.scorecard import Point
from bench.submission.manifest import SLUG_PATTERN, Heading, Line

LEVEL = 0.95
"""Nominal coverage of all intervals."""

FIGURES = ("auroc", "calibration_in_the_large", "oe_ratio", "calibration_slope")
"""Metrics that a hospital publishes, keys of the registry."""

ROC_PLACES = (0.05, 0.1, 0.2, 0.4)
"""False positive rates at which the ROC curve is given."""


class Figure(Document):
    """A metric of one entry, rounded; null with a reason where there is none."""

    value: float | None
    se: float | None = Field(default=None, ge=0)
    df: float | None = Field(default=None, gt=0)
    reason: Line = ""


class SiteEntry(Document):
    """One entry at one hospital.

    Attributes:
        slug: Its name.
        model_sha256: Hash of its ONNX file; empty where predictions were submitted.
        figures: Metric → figure, the keys `FIGURES`; without probabilities the AUROC alone.
        roc: Sensitivity at the false positive rates `ROC_PLACES`, with two decimals.
    """

    slug: str = Field(pattern=SLUG_PATTERN)
    model_sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    figures: dict[str, Figure]
    roc: tuple[Point, ...] = Field(default=(), max_length=len(ROC_PLACES))

    @model_validator(mode="after")
    def _known(self) -> SiteEntry:
        if not {"auroc"} <= set(self.figures) <= set(FIGURES):
            raise ValueError("figures must hold auroc, and metrics of a site aggregate only")
        return self


class SiteTarget(Document):
    """All entries of one hospital for one target.

    Attributes:
        target: Its name.
        label: Its name as shown.
        images: Test images with a label, rounded to ten, as all counts.
        patients: Their patients.
        positives: Positive images.
        positive_patients: Patients with one.
        entries: The entries, ascending by slug; those without AUROC are left out.
        difference_se: Standard error of the difference in AUROC of entry i + 1 and entry j ≤ i, row i. With
            the variances it gives the covariance (vᵢ + vⱼ - d²) / 2 of two entries on the same patients.
        withheld: Why nothing is given, else empty.
    """

    target: Heading
    label: Heading
    images: int | None = Field(default=None, ge=0)
    patients: int | None = Field(default=None, ge=0)
    positives: int | None = Field(default=None, ge=0)
    positive_patients: int | None = Field(default=None, ge=0)
    entries: tuple[SiteEntry, ...] = ()
    difference_se: tuple[tuple[float, ...], ...] = ()
    withheld: Line = ""

    @model_validator(mode="after")
    def _triangle(self) -> SiteTarget:
        slugs = [entry.slug for entry in self.entries]
        if slugs != sorted(set(slugs)):
            raise ValueError("entries must be ascending by slug, each once")
        if [len(row) for row in self.difference_se] != list(range(1, len(slugs))):
            raise ValueError("difference_se must have one row for each entry but the first")
        if any(not 0 <= se < 1 for row in self.difference_se for se in row):
            raise ValueError("difference_se must lie in [0, 1)")
        return self

    def entry(self, slug: str) -> SiteEntry | None:
        """One entry; None where the hospital has none of this name."""
        return next((entry for entry in self.entries if entry.slug == slug), None)


class SiteAggregate(Document):
    """Published results of one hospital: the predicate of its signed statement."""

    schema_: str = schema_field("site-aggregate", 1)
    site: str = Field(pattern=SLUG_PATTERN, description="Name of the hospital.")
    cohort: Heading
    cohort_version: Heading
    synthetic: bool
    split: Line = Field(description="Rule by which test patients were chosen, without its salt.")
    split_salt: Line = Field(default="", description="Salt of a hash rule: the same for one cohort.")
    harness_version: Heading
    scoring_version: int
    replicates: int
    headline: Heading
    targets: tuple[SiteTarget, ...]

    def target(self, name: str) -> SiteTarget | None:
        """One target; None where the hospital has none of this name."""
        return next((target for target in self.targets if target.target == name), None)


class SiteSummary(Document):
    """One hospital of the board."""

    site: str
    cohort: str
    cohort_version: str
    synthetic: bool
    split: str


class SiteCounts(Document):
    """Test set of one hospital for one target; null where it withholds the target."""

    site: str
    images: int | None
    patients: int | None
    positives: int | None
    withheld: str = ""


class PooledEntry(Document):
    """One entry over all hospitals of a target.

    Attributes:
        slug: Its name.
        mean_auroc: Mean of its AUROCs, each hospital counting the same; null where it is not ranked.
        rank: 1 = highest mean AUROC of the ranked entries.
        rank_low: 1 + entries that are significantly higher, adjusted for all pairs.
        rank_high: Ranked entries minus those significantly lower.
        may_be_first: No entry is significantly higher.
        pooled: Metric → random-effects estimate with prediction interval.
        sites: Hospital → metric → the hospital's own figure.
        unranked_reason: Why it has no rank, else empty.
    """

    slug: str
    mean_auroc: float | None = None
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    may_be_first: bool = False
    pooled: dict[str, PooledEstimate]
    sites: dict[str, dict[str, Figure]]
    unranked_reason: str = ""


class PooledTarget(Document):
    """All entries for one target: ranked ones first, by rank, then the others by name."""

    target: str
    label: str
    counts: tuple[SiteCounts, ...]
    critical: float | None = Field(description="Critical value of the standardised differences of all pairs.")
    entries: tuple[PooledEntry, ...]


class SitesBoard(Document):
    """Board over several hospitals, as ``bench board --sites`` computes it."""

    schema_: str = schema_field("sites-board", 1)
    scoring_version: int
    level: float
    headline: str
    sites: tuple[SiteSummary, ...]
    targets: tuple[PooledTarget, ...]

    def target(self, name: str) -> PooledTarget:
        """One target.

        Raises:
            BenchError: No hospital has it (``target-unknown``).
        """
        names = [target.target for target in self.targets]
        if name not in names:
            raise BenchError(Problem("target-unknown", f"{name!r} is not one of {', '.join(names)}."))
        return self.targets[names.index(name)]


class TransferSite(Document):
    """One entry on one cohort; the changes are null on the home cohort and where a figure is missing."""

    cohort: str
    images: int
    auroc: Estimate
    calibration_in_the_large: Estimate | None = None
    oe_ratio: Estimate | None = None
    change_auroc: Estimate | None = Field(default=None, description="AUROC minus that at home.")
    change_calibration_in_the_large: Estimate | None = Field(
        default=None, description="Calibration in the large minus that at home, in log odds."
    )
    change_oe_ratio: Estimate | None = Field(
        default=None, description="Observed / expected, divided by that at home."
    )


class TransferEntry(Document):
    """One entry on every cohort that it was scored on, home first."""

    slug: str
    sites: tuple[TransferSite, ...]


class TransferTarget(Document):
    """Entries of one target that were scored at home and on another cohort, by AUROC at home."""

    target: str
    label: str
    entries: tuple[TransferEntry, ...]


class TransferBoard(Document):
    """Entries of several cohorts beside each other (``transfer.json``)."""

    schema_: str = schema_field("transfer", 1)
    home: str
    cohorts: tuple[str, ...] = Field(description="All cohorts, home first.")
    headline: str
    targets: tuple[TransferTarget, ...]

    def target(self, name: str) -> TransferTarget:
        """One target.

        Raises:
            BenchError: No entry was scored for it on two cohorts (``target-unknown``).
        """
        for target in self.targets:
            if target.target == name:
                return target
        known = ", ".join(target.target for target in self.targets) or "none"
        message = (
            f"No entry was scored for {name!r} at home and elsewhere; targets with such entries: {known}."
        )
        raise BenchError(Problem("target-unknown", message))
