"""What a hospital publishes of its test set: aggregates of all entries, rounded, and nothing of any patient.

Every figure is an equation in the hidden labels, for whoever knows the predictions. Three rules keep the
equations from being solved: predictions do not leave the hospital; figures are rounded to a quarter of their
standard error, which adds half a percent to their variance; and there is at most one figure for every two
patients of the smaller class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, log10

import numpy as np
from pydantic import Field, model_validator

from bench.choices import Track
from bench.cohort.spec import AllTest, CohortSpec, HashSplit
from bench.documents import Document, schema_field
from bench.errors import BenchError, Problem
from bench.files import canonical_json, round_significant
from bench.metrics.kernels.pairs import pair_moments
from bench.metrics.results import Estimate
from bench.metrics.validation import Floats
from bench.scoring.plan import FEWEST_PATIENTS, Plan, TargetPlan
from bench.scoring.scorecard import SCORING_VERSION, Point, Scorecard, TargetScore
from bench.submission.manifest import SLUG_PATTERN

PREDICATE = "https://chexchobench.org/site-aggregate/v1"
"""Name of the kind of statement; nothing needs to lie at the address."""

FIGURES = ("auroc", "calibration_in_the_large", "oe_ratio", "calibration_slope")
"""Metrics that a hospital publishes, keys of the registry."""

PATIENTS_PER_FIGURE = 2
"""Patients of the smaller class for every figure of a target."""

COUNTED_IN = 10
"""Counts are rounded to a multiple of this."""

STEP = 0.25
"""Figures are rounded to a step of at most this share of their standard error."""

SE_DIGITS = 2
"""Significant digits of a standard error."""

CURVE_DIGITS = 2
ROC_PLACES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""False positive rates at which the ROC curve is given."""

SITE_PATTERN = SLUG_PATTERN


class Figure(Document):
    """A metric of one entry, rounded; null with a reason where there is none."""

    value: float | None
    se: float | None = Field(default=None, ge=0)
    df: float | None = Field(default=None, gt=0)
    reason: str = ""


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

    target: str
    label: str
    images: int | None = Field(default=None, ge=0)
    patients: int | None = Field(default=None, ge=0)
    positives: int | None = Field(default=None, ge=0)
    positive_patients: int | None = Field(default=None, ge=0)
    entries: tuple[SiteEntry, ...] = ()
    difference_se: tuple[tuple[float, ...], ...] = ()
    withheld: str = ""

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
    """What one hospital publishes: the predicate of its signed statement."""

    schema_: str = schema_field("site-aggregate", 1)
    site: str = Field(pattern=SITE_PATTERN, description="Name of the hospital.")
    cohort: str
    cohort_version: str
    synthetic: bool
    split: str = Field(description="Rule by which test patients were chosen, without its salt.")
    split_salt: str = Field(default="", description="Salt of a hash rule: the same for one cohort.")
    harness_version: str
    scoring_version: int
    replicates: int
    headline: str
    targets: tuple[SiteTarget, ...]

    def target(self, name: str) -> SiteTarget | None:
        """One target; None where the hospital has none of this name."""
        return next((target for target in self.targets if target.target == name), None)


def split_words(spec: CohortSpec) -> tuple[str, str]:
    """The split rule of a cohort as text without salt, and its salt."""
    rule = spec.split
    if isinstance(rule, HashSplit):
        return f"hash of the patient: test {rule.test:g}, val {rule.val:g}", rule.salt
    if isinstance(rule, AllTest):
        return EXTERNAL, ""
    return canonical_json(rule.plain()).decode().strip(), ""


EXTERNAL = "every patient is test"
"""Rule of an external validation cohort, which goes with any other rule."""


def round_to_error(value: float, se: float) -> float:
    """Round to the largest step of 1, 2 or 5 times a power of ten that is at most a quarter of `se`.

    >>> round_to_error(0.812345, 0.013)
    0.812
    """
    if se <= 0:
        return round_significant(value)
    most = STEP * se
    power = 10.0 ** floor(log10(most))
    step = max(factor * power for factor in (1, 2, 5) if factor * power <= most * (1 + 1e-9))
    return round_significant(round(value / step) * step)


def most_entries(smaller_class: int) -> int:
    """Entries whose figures may be published, given the patients of the smaller class."""
    return smaller_class // (PATIENTS_PER_FIGURE * len(FIGURES))


def site_aggregate(
    site: str,
    plan: Plan,
    cards: Sequence[Scorecard],
    influences: Mapping[str, Mapping[str, Floats]],
    models: Mapping[str, str],
) -> SiteAggregate:
    """Aggregate the entries of one hospital.

    Args:
        site: Name of the hospital.
        plan: Plan of the holdout track.
        cards: Scorecards of the entries.
        influences: Slug → target → (patients,) influence of every patient on the AUROC.
        models: Slug → SHA-256 of the ONNX file, of entries that have one.

    Raises:
        BenchError: More entries than the headline target's patients can hide (``aggregate-too-many``);
            another target is withheld.
    """
    ordered = sorted(cards, key=lambda card: card.slug)
    rule, salt = split_words(plan.spec)
    return SiteAggregate(
        site=site,
        cohort=plan.spec.id,
        cohort_version=plan.spec.version,
        synthetic=plan.stamp.synthetic,
        split=rule,
        split_salt=salt,
        harness_version=cards[0].harness_version,
        scoring_version=SCORING_VERSION,
        replicates=plan.replicates,
        headline=plan.spec.headline,
        targets=tuple(
            _target(t, ordered, influences, models, t.target.name == plan.spec.headline) for t in plan.targets
        ),
    )


def _target(
    plan: TargetPlan,
    cards: Sequence[Scorecard],
    influences: Mapping[str, Mapping[str, Floats]],
    models: Mapping[str, str],
    headline: bool,
) -> SiteTarget:
    name, label = plan.target.name, plan.target.label
    positive, negative = (len(set(plan.patients[plan.labels == side])) for side in (1, 0))
    smaller = min(positive, negative)
    if smaller < FEWEST_PATIENTS:
        return SiteTarget(
            target=name, label=label, withheld=f"fewer than {FEWEST_PATIENTS} patients in a class"
        )
    found = {card.slug: scored for card in cards if (scored := _ranked(card, name)) is not None}
    if len(found) > most_entries(smaller):
        message = (
            f"{len(found)} entries, while the patients of the smaller class suffice for "
            f"{most_entries(smaller)} with {len(FIGURES)} figures each"
        )
        if headline:
            raise BenchError(Problem("aggregate-too-many", f"{label}: {message}."))
        return SiteTarget(target=name, label=label, withheld=message)
    phi = np.stack([influences[slug][name] for slug in found]) if found else np.zeros((0, 1))
    return SiteTarget(
        target=name,
        label=label,
        images=_count(len(plan.labels)),
        patients=_count(len(set(plan.patients))),
        positives=_count(int(plan.labels.sum())),
        positive_patients=_count(positive),
        entries=tuple(_entry(slug, scored, models.get(slug, "")) for slug, scored in found.items()),
        difference_se=difference_errors(phi),
    )


def _ranked(card: Scorecard, target: str) -> TargetScore | None:
    scored = card.target(target) if card.track == Track.HOLDOUT else None
    return scored if scored is not None and scored.metrics["auroc"].se else None


def _count(number: int) -> int:
    return COUNTED_IN * round(number / COUNTED_IN)


def figure(estimate: Estimate | None) -> Figure:
    """An estimate as it leaves the hospital."""
    if estimate is None or estimate.value is None or not estimate.se:
        return Figure(value=None, reason="no estimate with a standard error")
    df = None if estimate.df is None else max(round_significant(estimate.df, SE_DIGITS), 1.0)
    return Figure(
        value=round_to_error(estimate.value, estimate.se),
        se=round_significant(estimate.se, SE_DIGITS),
        df=df,
    )


def _entry(slug: str, scored: TargetScore, model: str) -> SiteEntry:
    metrics = {key: scored.metrics[key] for key in FIGURES if key in scored.metrics}
    known = {key: estimate for key, estimate in metrics.items() if estimate.value is not None}
    x, y = ([p.x for p in scored.roc], [p.y for p in scored.roc])
    return SiteEntry(
        slug=slug,
        model_sha256=model,
        figures={key: figure(estimate) for key, estimate in known.items()},
        roc=tuple(
            Point(x=place, y=round(float(np.interp(place, x, y)), CURVE_DIGITS)) for place in ROC_PLACES
        )
        if x
        else (),
    )


def difference_errors(influences: Floats) -> tuple[tuple[float, ...], ...]:
    """Lower triangle of the standard errors of the differences of entries.

    Args:
        influences: (S, P) influence of every patient on the metric of every entry.
    """
    errors = np.sqrt(pair_moments(np.ascontiguousarray(influences))[0])
    return tuple(
        tuple(round_significant(float(errors[i, j]), SE_DIGITS) for j in range(i))
        for i in range(1, len(errors))
    )
