"""Published results of a hospital's test set: rounded aggregates of all entries, and nothing of any patient.

Every figure is an equation in the hidden labels, for whoever knows the predictions. Predictions do not leave
the hospital; where somebody has them all the same, there are too few equations: at most one figure, points of
curves included, for every two patients of the smaller class. Figures are rounded to a quarter of their
standard error, which adds half a percent to their variance. Rounding alone protects nothing: linear
programming finds every label of 240 images from the rounded figures of 40 entries, and no more than chance
from those of 5, the most that are allowed there (`tests/federation/test_label_recovery.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, log10

import numpy as np

from bench.choices import LabelMode
from bench.cohort.spec import AllTest, CohortSpec, HashSplit
from bench.errors import BenchError, Problem
from bench.federation.model import FIGURES, ROC_PLACES, Figure, SiteAggregate, SiteEntry, SiteTarget
from bench.files import canonical_json, round_significant
from bench.metrics.kernels.pairs import pair_squares
from bench.metrics.results import Estimate
from bench.metrics.validation import Floats
from bench.scoring.plan import FEWEST_PATIENTS, Plan, TargetPlan
from bench.scoring.published import DECIMALS
from bench.scoring.scorecard import SCORING_VERSION, Point, Scorecard, TargetScore

PREDICATE = "https://chexchobench.org/site-aggregate/v1"
"""Name of the kind of statement; nothing needs to lie at the address."""

PATIENTS_PER_FIGURE = 2
"""Patients of the smaller class for every figure of a target."""

COUNTED_IN = 10
"""Counts are rounded to a multiple of this."""

STEP = 0.25
"""Figures are rounded to a step of at most this share of their standard error."""

SE_DIGITS = 2
"""Significant digits of a standard error."""

CURVE_DIGITS = 2


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
    """Entries whose figures may be published, given the patients of the smaller class.

    The standard errors of their differences count as figures too, S(S - 1)/2 for S entries.
    """
    figures, entries = smaller_class // PATIENTS_PER_FIGURE, 0
    while (entries + 1) * (len(FIGURES) + len(ROC_PLACES)) + (entries + 1) * entries / 2 <= figures:
        entries += 1
    return entries


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
        cards: Scorecards of the entries, of the holdout track and of one run each.
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
        targets=tuple(_target(t, ordered, influences, models, plan.spec) for t in plan.targets),
    )


def _target(
    plan: TargetPlan,
    cards: Sequence[Scorecard],
    influences: Mapping[str, Mapping[str, Floats]],
    models: Mapping[str, str],
    spec: CohortSpec,
) -> SiteTarget:
    name, label = plan.target.name, plan.target.label
    positive, negative = (len(set(plan.patients[plan.labels == side])) for side in (1, 0))
    smaller = min(positive, negative)
    if smaller < FEWEST_PATIENTS:
        return SiteTarget(
            target=name, label=label, withheld=f"fewer than {FEWEST_PATIENTS} patients in a class"
        )
    ranked = {card.slug: scored for card in cards if (scored := _ranked(card, name)) is not None}
    if len(ranked) > most_entries(smaller):
        message = (
            f"{len(ranked)} entries, while the patients of the smaller class suffice for "
            f"{most_entries(smaller)}"
        )
        if name == spec.headline:
            raise BenchError(Problem("aggregate-too-many", f"{label}: {message}."))
        return SiteTarget(target=name, label=label, withheld=message)
    phi = np.stack([influences[slug][name] for slug in ranked]) if ranked else np.zeros((0, 1))
    return SiteTarget(
        target=name,
        label=label,
        images=_count(len(plan.labels)),
        patients=_count(len(set(plan.patients))),
        positives=_count(int(plan.labels.sum())),
        positive_patients=_count(positive),
        entries=tuple(
            _entry(slug, scored, models.get(slug, ""), spec.labels) for slug, scored in ranked.items()
        ),
        difference_se=difference_errors(phi),
    )


def _ranked(card: Scorecard, target: str) -> TargetScore | None:
    """Scores with a standard error."""
    scored = card.target(target)
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


def _entry(slug: str, scored: TargetScore, model: str, labels: LabelMode) -> SiteEntry:
    """Figures of an entry as they leave the hospital; where its labels are private, the AUROC alone."""
    if labels is LabelMode.PRIVATE:
        auroc = figure(scored.metrics["auroc"])
        rounded = None if auroc.value is None else round(auroc.value, DECIMALS)
        auroc = auroc.model_copy(update={"value": rounded})
        return SiteEntry(slug=slug, model_sha256=model, figures={"auroc": auroc})
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
    errors = np.sqrt(pair_squares(np.ascontiguousarray(influences)))
    return tuple(
        tuple(round_significant(float(errors[i, j]), SE_DIGITS) for j in range(i))
        for i in range(1, len(errors))
    )
