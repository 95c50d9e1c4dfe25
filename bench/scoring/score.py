"""A plan and an entry's predictions give a scorecard, and the replicates that boards compare."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import numpy.typing as npt

import bench
from bench.scoring import curves
from bench.scoring.plan import Cell, MeasurePlan, Plan, TargetPlan
from bench.scoring.scorecard import (
    SCORING_VERSION,
    ContinuousScore,
    Estimate,
    Flag,
    Scorecard,
    SubgroupScore,
    TargetScore,
)
from bench.uncertainty import intervals
from bench.uncertainty.continuous import evaluate_continuous
from bench.uncertainty.evaluate import Evaluation, evaluate

LEVEL = 0.95
SUBGROUP_METRICS = ("auroc", "auprc", "brier", "calibration_slope", "calibration_in_the_large")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scored:
    """A scorecard with the (B,) AUROC replicates of each target, which stay on this machine."""

    scorecard: Scorecard
    replicates: dict[str, Floats]


def score(
    plan: Plan,
    slug: str,
    values: dict[str, Floats],
    *,
    scores: Literal["probability", "uncalibrated"],
    predictions_sha256: str,
) -> Scored:
    """Scores one entry.

    Args:
        plan: The cohort, prepared.
        slug: The entry.
        values: Target → (images of the track,) predictions in canonical order.
        scores: Whether the predictions are probabilities.
        predictions_sha256: Digest of the stored predictions.
    """
    probabilities = scores == "probability"
    planned = [t for t in plan.targets if t.target.name in values]
    found = {t.target.name: _evaluate(t, values[t.target.name], probabilities) for t in planned}
    targets = tuple(
        _target(plan, t, values[t.target.name], found[t.target.name], probabilities) for t in planned
    )
    scorecard = Scorecard(
        slug=slug,
        stamp=plan.stamp,
        harness_version=bench.__version__,
        scoring_version=SCORING_VERSION,
        predictions_sha256=predictions_sha256,
        track=plan.track,
        scores=scores,
        seed=plan.seed,
        replicates=plan.replicates,
        level=LEVEL,
        headline=plan.spec.headline,
        targets=targets,
        macro=_macro(plan, found),
        continuous=tuple(
            _continuous(m, values[m.target.name]) for m in plan.measures if m.target.name in values
        ),
        subgroups=tuple(
            _subgroup(t, cell, values[t.target.name], probabilities) for t in planned for cell in t.cells
        ),
        flags=tuple(flag for t in targets for flag in _flags(t, values[t.target])),
    )
    return Scored(scorecard, {name: evaluation.auroc_replicates for name, evaluation in found.items()})


def estimate(found: intervals.Estimate) -> Estimate:
    """An estimate as it is stored."""
    stored = {f.name: getattr(found, f.name) for f in fields(found) if f.name in Estimate.model_fields}
    return Estimate(**stored)


def _evaluate(plan: TargetPlan, values: Floats, probabilities: bool) -> Evaluation:
    return evaluate(
        plan.labels,
        values[plan.rows],
        bootstrap=plan.bootstrap,
        probabilities=probabilities,
        level=LEVEL,
    )


def _target(
    plan: Plan, target: TargetPlan, values: Floats, found: Evaluation, probabilities: bool
) -> TargetScore:
    mine = values[target.rows]
    both = 0 < found.positives < found.images
    cuts = curves.Cuts(target.labels, mine, plan.spec.smallest_cell) if both else None
    calibrated = cuts if probabilities else None
    return TargetScore(
        target=target.target.name,
        label=target.target.label,
        images=found.images,
        excluded=plan.images - found.images,
        patients=found.patients,
        positives=found.positives,
        positive_patients=found.positive_patients,
        prevalence=found.prevalence,
        metrics={name: estimate(e) for name, e in found.metrics().items()},
        estimands=_estimands(target, mine),
        roc=curves.roc(cuts) if cuts else (),
        precision_recall=curves.precision_recall(cuts) if cuts else (),
        reliability=curves.reliability(calibrated, target.labels, mine, target.bootstrap, LEVEL)
        if calibrated
        else (),
        distribution=curves.distribution(cuts) if cuts else None,
        decision=curves.decision(calibrated) if calibrated else (),
    )


def _estimands(target: TargetPlan, mine: Floats) -> dict[str, Estimate]:
    """The AUROC of the two other views: every patient weighing the same, and first images only."""
    weighted = evaluate(
        target.labels,
        mine,
        bootstrap=target.bootstrap,
        weight=target.patient_weight,
        probabilities=False,
        level=LEVEL,
        metrics=("auroc",),
    )
    first = evaluate(
        target.labels[target.first],
        mine[target.first],
        bootstrap=target.first_bootstrap,
        probabilities=False,
        level=LEVEL,
        metrics=("auroc",),
    )
    return {"patient_weighted": estimate(weighted.auroc), "first_image": estimate(first.auroc)}


def _macro(plan: Plan, found: dict[str, Evaluation]) -> Estimate | None:
    """Mean AUROC of the macro targets, with the smallest of their degrees of freedom."""
    if not plan.spec.macro or not set(plan.spec.macro) <= set(found):
        return None
    parts = [found[name] for name in plan.spec.macro]
    values = [part.auroc.value for part in parts]
    if any(value is None for value in values):
        return Estimate(value=None, reason="undefined for one of its targets")
    mean = float(np.mean([v for v in values if v is not None]))
    replicates = np.mean([part.auroc_replicates for part in parts], axis=0)
    df = min(part.auroc.df or 2.0 for part in parts)
    few = min(part.positive_patients for part in parts)
    margin = min(0.5 / (part.positives * (part.images - part.positives)) for part in parts)
    interval = intervals.t_interval(mean, replicates, df, "logit", margin, LEVEL)
    return estimate(intervals.with_warnings(interval, few))


def _continuous(plan: MeasurePlan, values: Floats) -> ContinuousScore:
    found = evaluate_continuous(plan.truth, values[plan.rows], bootstrap=plan.bootstrap, level=LEVEL)
    return ContinuousScore(
        target=plan.target.name,
        label=plan.target.label,
        unit=plan.target.unit,
        images=found.images,
        excluded=len(values) - found.images,
        patients=found.patients,
        metrics={name: estimate(e) for name, e in found.metrics().items()},
    )


def _subgroup(target: TargetPlan, cell: Cell, values: Floats, probabilities: bool) -> SubgroupScore:
    if cell.bootstrap is None:
        return SubgroupScore(
            target=target.target.name,
            division=cell.division,
            division_label=cell.division_label,
            level=cell.level,
            suppressed=True,
            reason=cell.reason,
        )
    found = evaluate(
        cell.labels,
        values[cell.rows],
        bootstrap=cell.bootstrap,
        probabilities=probabilities,
        level=LEVEL,
        metrics=SUBGROUP_METRICS,
    )
    metrics = found.metrics()
    return SubgroupScore(
        target=target.target.name,
        division=cell.division,
        division_label=cell.division_label,
        level=cell.level,
        suppressed=False,
        images=found.images,
        patients=found.patients,
        positives=found.positives,
        metrics={name: estimate(metrics[name]) for name in SUBGROUP_METRICS},
    )


def _flags(target: TargetScore, values: Floats) -> list[Flag]:
    flags = []
    area = target.metrics["auroc"]
    if area.low is not None and area.high is not None and area.low <= 0.5 <= area.high:
        message = f"The interval of the AUROC, {area.low:.3f} to {area.high:.3f}, covers 0.5."
        flags.append(Flag(code="covers-chance", message=message, target=target.target))
    distinct = len(np.unique(values))
    if distinct == 1:
        message = "All scores are equal; were the weights loaded?"
        flags.append(Flag(code="constant-scores", message=message, target=target.target))
    return flags
