"""Computation of a scorecard, and of the replicates that boards compare, from a plan and predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

import bench
from bench.metrics import calibration
from bench.metrics.recalibration_line import IDEAL, Line
from bench.metrics.results import Estimate
from bench.metrics.validation import Floats
from bench.scoring import curves, tables
from bench.scoring.operating_points import Val, operating_points, recalibration
from bench.scoring.plan import MeasurePlan, Plan, TargetPlan
from bench.scoring.scorecard import (
    SCORING_VERSION,
    ContinuousScore,
    Flag,
    LabelEfficiencyPoint,
    Runs,
    Scorecard,
    SubgroupScore,
    TargetScore,
)
from bench.scoring.subgroups import score_subgroups
from bench.submission.packed import DRAWS, FRACTIONS, draw_column
from bench.uncertainty import intervals
from bench.uncertainty.continuous import evaluate_continuous
from bench.uncertainty.curves import few_positives_warning
from bench.uncertainty.evaluate import Evaluation, evaluate
from bench.uncertainty.folds import fold_averaged_auroc
from bench.uncertainty.runs import RunsAuroc, evaluate_runs, mean_of_runs

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class RankedAuroc:
    """The AUROC that the board ranks, with what entries are compared by.

    Attributes:
        estimate: The AUROC of the test images, or the fold-averaged one of the cv5 track; of several runs
            their mean.
        replicates: (B,) the same in every replicate, nan where undefined.
        influence: (patients with rows,) influence of every patient on it, nan where it is undefined.
        runs: The same of each run where there are several.
        mean: Their mean and the parts of its variance; None for one run.
    """

    estimate: Estimate
    replicates: Floats
    influence: Floats
    runs: tuple[RankedAuroc, ...] = ()
    mean: RunsAuroc | None = None

    @property
    def by_run(self) -> tuple[RankedAuroc, ...]:
        """Each run, also where there is one."""
        return self.runs or (self,)


@dataclass(frozen=True, slots=True)
class _EvaluatedTarget:
    """A target with its predictions by the first run, (images with a label,), and what they show."""

    plan: TargetPlan
    predicted: Floats
    evaluation: Evaluation
    ranked: RankedAuroc

    @property
    def name(self) -> str:
        return self.plan.target.name


@dataclass(frozen=True, slots=True)
class Scored:
    """A scorecard with the ranked AUROC of each target, whose arrays stay on this machine."""

    scorecard: Scorecard
    ranked: dict[str, RankedAuroc]


def score(
    plan: Plan,
    slug: str,
    values: dict[str, Floats],
    *,
    scores: Literal["probability", "uncalibrated"],
    predictions_sha256: str,
    val: dict[str, Floats] | None = None,
    val_sha256: str = "",
    efficiency: dict[str, Floats] | None = None,
    efficiency_sha256: str = "",
    runs: Sequence[dict[str, Floats]] = (),
    runs_sha256: str = "",
) -> Scored:
    """Score one entry: rank the mean AUROC of its runs, and describe the first run by everything else.

    Args:
        plan: The cohort, prepared.
        slug: The entry.
        values: Target → (images of the track,) predictions in canonical order, of the first run.
        scores: Whether the predictions are probabilities.
        predictions_sha256: Digest of the stored predictions.
        val: Target → (val images,) predictions, if submitted.
        val_sha256: Their digest.
        efficiency: `draw_column` → (images of the track,) predictions of heads fitted on fewer patients.
        efficiency_sha256: Their digest.
        runs: The further runs, as `values`.
        runs_sha256: Digest of their file.
    """
    probabilities = scores == "probability"
    evaluated = [
        _evaluate(plan, t, [run[t.target.name][t.rows] for run in (values, *runs)], probabilities)
        for t in plan.targets
        if t.target.name in values
    ]
    targets = tuple(_target(plan, e, probabilities, _val(e.plan, val)) for e in evaluated)
    scorecard = Scorecard(
        slug=slug,
        stamp=plan.stamp,
        harness_version=bench.__version__,
        scoring_version=SCORING_VERSION,
        predictions_sha256=predictions_sha256,
        val_predictions_sha256=val_sha256,
        label_efficiency_sha256=efficiency_sha256,
        runs_sha256=runs_sha256,
        track=plan.track,
        scores=scores,
        seed=plan.seed,
        replicates=plan.replicates,
        level=LEVEL,
        headline=plan.spec.headline,
        targets=targets,
        macro=_macro(plan, {e.name: e for e in evaluated}),
        continuous=tuple(
            _continuous(m, values[m.target.name]) for m in plan.measures if m.target.name in values
        ),
        subgroups=tuple(
            subgroup
            for e, target in zip(evaluated, targets, strict=True)
            for subgroup in _subgroups(e, target, probabilities)
        ),
        sliding=tuple(
            tables.sliding(s, e.plan.target.label, values[s.target], LEVEL)
            for s in plan.sliding
            for e in evaluated
            if e.name == s.target
        ),
        flags=tuple(flag for t in targets for flag in _flags(t, values[t.target])),
        label_efficiency=tuple(
            point
            for e in evaluated
            for point in _label_efficiency(e.plan, efficiency or {}, e.evaluation.auroc)
        ),
    )
    return Scored(scorecard, {e.name: e.ranked for e in evaluated})


def _evaluate(
    plan: Plan, target: TargetPlan, runs: Sequence[Floats], probabilities: bool
) -> _EvaluatedTarget:
    """Evaluate the predictions of a target by the first run, and the ranked AUROC of all runs."""
    evaluation = evaluate(
        target.labels, runs[0], bootstrap=target.bootstrap, probabilities=probabilities, level=LEVEL
    )
    first = None if plan.track == "cv5" else _of_evaluation(evaluation)
    return _EvaluatedTarget(target, runs[0], evaluation, ranked_auroc(plan, target, runs, first))


def _subgroups(evaluated: _EvaluatedTarget, target: TargetScore, probabilities: bool) -> list[SubgroupScore]:
    """Score the subgroups of a target, with its calibration line and its first operating point."""
    return score_subgroups(
        evaluated.plan,
        evaluated.predicted,
        probabilities=probabilities,
        level=LEVEL,
        line=_line(evaluated.evaluation),
        common=target.operating_points[0] if target.operating_points else None,
    )


def _label_efficiency(
    plan: TargetPlan, efficiency: dict[str, Floats], whole: Estimate
) -> list[LabelEfficiencyPoint]:
    """Return the AUROC by the share of the patients that the head was fitted on; `whole` is that of all."""
    points = []
    for fraction in FRACTIONS:
        columns = [draw_column(plan.target.name, fraction, draw) for draw in range(DRAWS)]
        draws = [efficiency[name][plan.rows] for name in columns if name in efficiency]
        if not draws:
            continue
        runs = evaluate_runs(plan.labels, draws, plan.bootstrap, LEVEL)
        spread = None if runs.run_variance is None else float(np.sqrt(runs.run_variance))
        points.append(
            LabelEfficiencyPoint(
                target=plan.target.name,
                fraction=fraction,
                draws=len(draws),
                auroc=runs.estimate,
                draw_sd=spread,
            )
        )
    if not points:
        return []
    last = LabelEfficiencyPoint(target=plan.target.name, fraction=1, draws=1, auroc=whole, draw_sd=None)
    return [*points, last]


def _line(evaluation: Evaluation) -> Line:
    """The calibration line, ideal where there is none."""
    slope, intercept = evaluation.calibration_slope.value, evaluation.calibration_intercept.value
    return IDEAL if slope is None or intercept is None else Line(slope, intercept)


def ranked_auroc(
    plan: Plan, target: TargetPlan, runs: Sequence[Floats], first: RankedAuroc | None = None
) -> RankedAuroc:
    """The AUROC that the board ranks.

    Args:
        plan: The cohort, prepared.
        target: The target.
        runs: Predictions of the target's images by each run.
        first: The AUROC of the first run, where it is known.
    """
    areas = (first or _of_run(plan, target, runs[0]), *(_of_run(plan, target, run) for run in runs[1:]))
    if len(areas) == 1:
        return areas[0]
    sample = target.bootstrap.sample(target.labels)
    influence = np.mean([area.influence for area in areas], axis=0)
    mean = mean_of_runs(
        [area.estimate for area in areas],
        np.stack([area.replicates for area in areas]),
        df=intervals.satterthwaite(influence),
        margin=_margin(target.labels),
        patients=(sample.positive_patients, sample.negative_patients),
        level=LEVEL,
    )
    return RankedAuroc(mean.estimate, mean.replicates, influence, areas, mean)


def _margin(labels: Floats) -> float:
    """How near to 0 and 1 an AUROC of these labels may come, 0.5 / (positives · negatives)."""
    positives = float(labels.sum())
    return 0.5 / max(positives * (len(labels) - positives), 1)


def _of_run(plan: Plan, target: TargetPlan, scores: Floats) -> RankedAuroc:
    if plan.track == "cv5":
        average = fold_averaged_auroc(target.labels, scores, target.folds, target.bootstrap, level=LEVEL)
        return RankedAuroc(average.estimate, average.replicates, average.influence)
    return _of_evaluation(
        evaluate(
            target.labels,
            scores,
            bootstrap=target.bootstrap,
            probabilities=False,
            level=LEVEL,
            metrics=("auroc",),
        )
    )


def _of_evaluation(evaluation: Evaluation) -> RankedAuroc:
    return RankedAuroc(evaluation.auroc, evaluation.auroc_replicates, evaluation.auroc_influence)


def _val(target: TargetPlan, val: dict[str, Floats] | None) -> Val | None:
    if val is None or target.target.name not in val:
        return None
    return Val(target.val_labels, val[target.target.name][target.val_rows])


def _target(plan: Plan, evaluated: _EvaluatedTarget, probabilities: bool, val: Val | None) -> TargetScore:
    target, predicted = evaluated.plan, evaluated.predicted
    evaluation, ranked = evaluated.evaluation, evaluated.ranked
    both = 0 < evaluation.positives < evaluation.images
    cuts = curves.Cuts(target.labels, predicted, plan.spec.smallest_cell) if both else None
    calibrated = cuts if probabilities else None
    sample = target.bootstrap.sample(target.labels)
    points = operating_points(cuts, target.labels, predicted, target.bootstrap, val, LEVEL) if cuts else ()
    return TargetScore(
        target=target.target.name,
        label=target.target.label,
        images=evaluation.images,
        excluded=plan.images - evaluation.images,
        patients=evaluation.patients,
        positives=evaluation.positives,
        positive_patients=evaluation.positive_patients,
        prevalence=evaluation.prevalence,
        metrics=dict(evaluation.items()),
        estimands=_estimands(target, predicted)
        | ({"fold_averaged": ranked.by_run[0].estimate} if plan.track == "cv5" else {})
        | ({"mean_of_runs": ranked.estimate} if ranked.mean else {}),
        runs=_runs(ranked.mean) if ranked.mean else None,
        roc=curves.roc(cuts) if cuts else (),
        precision_recall=curves.precision_recall(cuts) if cuts else (),
        reliability=curves.reliability(calibrated, target.labels, predicted, sample, LEVEL)
        if calibrated
        else (),
        distribution=curves.distribution(cuts) if cuts else None,
        decision=curves.decision(calibrated, sample, LEVEL) if calibrated else (),
        decision_warning=few_positives_warning(sample) if calibrated else "",
        brier_parts=calibration.brier_parts(target.labels, predicted) if probabilities else None,
        operating_points=points,
        detection_yield=tables.detection_yield(cuts) if cuts else (),
        prevalence_shifts=tuple(
            tables.prevalence_shift(evaluation.prevalence, points, p, probabilities=probabilities)
            for p in tables.PREVALENCES
        )
        if evaluation.prevalence and points
        else (),
        smooth_calibration=tables.smooth_curve(target.labels, predicted) if probabilities else None,
        brier_skill=tables.brier_skill(target, predicted, LEVEL) if probabilities else None,
        recalibrated=recalibration(target.labels, predicted, target.bootstrap, val, LEVEL)
        if val is not None and probabilities
        else None,
    )


def _runs(mean: RunsAuroc) -> Runs:
    known = [value for value in mean.values if value is not None]
    return Runs(
        count=len(mean.values),
        auroc=mean.values,
        sd=float(np.std(known, ddof=1)) if len(known) == len(mean.values) else None,
        patient_variance=mean.patient_variance,
        run_variance=mean.run_variance,
    )


def _estimands(target: TargetPlan, predicted: Floats) -> dict[str, Estimate]:
    """The AUROC of the two other views: every patient weighing the same, and first images only."""
    weighted = evaluate(
        target.labels,
        predicted,
        bootstrap=target.bootstrap,
        weight=target.patient_weight,
        probabilities=False,
        level=LEVEL,
        metrics=("auroc",),
    )
    first = evaluate(
        target.labels[target.first],
        predicted[target.first],
        bootstrap=target.first_bootstrap,
        probabilities=False,
        level=LEVEL,
        metrics=("auroc",),
    )
    return {"patient_weighted": weighted.auroc, "first_image": first.auroc}


def _macro(plan: Plan, evaluated: Mapping[str, _EvaluatedTarget]) -> Estimate | None:
    """Mean AUROC of the macro targets, with the smallest of their degrees of freedom; also over runs."""
    if not plan.spec.macro or not set(plan.spec.macro) <= set(evaluated):
        return None
    parts = [evaluated[name].evaluation for name in plan.spec.macro]
    areas = [evaluated[name].ranked for name in plan.spec.macro]
    if any(run.estimate.value is None for area in areas for run in area.by_run):
        return Estimate(value=None, reason="undefined for one of its targets")
    by_run = list(zip(*(area.by_run for area in areas), strict=True))
    means = [float(np.mean([area.estimate.value for area in run])) for run in by_run]
    replicates = np.stack([np.mean([area.replicates for area in run], axis=0) for run in by_run])
    df = min(area.estimate.df or 1.0 for area in areas)
    margin = min(0.5 / (part.positives * (part.images - part.positives)) for part in parts)
    patients = min(part.positive_patients for part in parts), min(part.negative_patients for part in parts)
    if len(means) > 1:
        values = [Estimate(value) for value in means]
        return mean_of_runs(values, replicates, df=df, margin=margin, patients=patients, level=LEVEL).estimate
    interval = intervals.t_interval(
        means[0], replicates[0], df, "logit", margin, LEVEL, clusters=min(patients), bounds=(0, 1)
    )
    return intervals.with_warnings(interval, patients[0])


def _continuous(plan: MeasurePlan, values: Floats) -> ContinuousScore:
    evaluation = evaluate_continuous(plan.truth, values[plan.rows], bootstrap=plan.bootstrap, level=LEVEL)
    return ContinuousScore(
        target=plan.target.name,
        label=plan.target.label,
        unit=plan.target.unit,
        images=evaluation.images,
        excluded=len(values) - evaluation.images,
        patients=evaluation.patients,
        metrics=dict(evaluation.items()),
    )


def _flags(target: TargetScore, values: Floats) -> list[Flag]:
    flags = []
    area = target.ranked
    if area.low is not None and area.high is not None and area.low <= 0.5 <= area.high:
        message = f"The interval of the AUROC, {area.low:.3f} to {area.high:.3f}, covers 0.5."
        flags.append(Flag(code="covers-chance", message=message, target=target.target))
    if len(values) and values.min() == values.max():
        message = "All scores are equal; were the weights loaded?"
        flags.append(Flag(code="constant-scores", message=message, target=target.target))
    return flags
