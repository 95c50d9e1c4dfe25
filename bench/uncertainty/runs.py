"""Mean AUROC of several runs of one method, such as seeds; its interval holds patients and runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.results import Estimate
from bench.uncertainty import intervals
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.evaluate import evaluate


@dataclass(frozen=True, slots=True)
class RunsAuroc:
    """Mean AUROC of several runs on the same images.

    Attributes:
        estimate: Mean AUROC; its interval holds the variance of patients and runs, its percentile limits are
            left out, since replicates vary by patients alone.
        values: AUROC of each run.
        patient_variance: Variance of the mean by the choice of patients, the runs being given.
        run_variance: Variance of one run's expected AUROC by its seed; None for a single run.
    """

    estimate: Estimate
    values: tuple[float | None, ...]
    patient_variance: float | None = None
    run_variance: float | None = None


def evaluate_runs(
    y: ArrayLike, runs: Sequence[ArrayLike], bootstrap: PatientBootstrap, level: float = 0.95
) -> RunsAuroc:
    """Estimate the mean AUROC of runs, and split its variance into patients and runs.

    The AUROC of run k on a sample is mean + patients + run_k + (patients × run)_k. The bootstrap of the mean
    over K runs gives patients and 1/K of the interaction. The variance between the runs' AUROCs holds run and
    interaction; the bootstrap of the runs' deviations from their mean gives the interaction, which is
    subtracted. The half-width is `√((t_patients · se_patients)² + (t_{K-1} · se_runs)²)` (Banerjee 1961, "On
    confidence interval for two-means problem based on separate estimates of variances"), each with its own
    degrees of freedom: Satterthwaite's formula covers too little with three runs.

    Args:
        y: (n,) 0/1 labels.
        runs: (n,) scores of each run, at least one.
        bootstrap: Draws of the patients, shared by all runs.
        level: Nominal coverage.

    Raises:
        ValueError: As `evaluate`, or there is no run.
    """
    if not runs:
        raise ValueError("at least one run is needed")
    evaluations = [
        evaluate(y, p, bootstrap=bootstrap, probabilities=False, level=level, metrics=("auroc",))
        for p in runs
    ]
    values = tuple(evaluation.auroc.value for evaluation in evaluations)
    first, count = evaluations[0], len(evaluations)
    if count == 1 or first.auroc.value is None:
        return RunsAuroc(first.auroc, values)
    areas = np.array(values, np.float64)
    replicates = np.array([evaluation.auroc_replicates for evaluation in evaluations])
    mean_replicates, mean = replicates.mean(0), float(areas.mean())
    defined = ~np.isnan(mean_replicates)
    clusters = min(first.positive_patients, first.negative_patients)
    if clusters < 2 or defined.sum() < 2:
        return RunsAuroc(replace(first.auroc, value=mean, low=None, high=None), values)
    factor = clusters / (clusters - 1)  # of a variance, as in `t_interval`
    patients = factor * float(np.var(mean_replicates[defined], ddof=1))
    deviations = (replicates - mean_replicates)[:, defined]
    interaction = factor * float(np.var(deviations, axis=1, ddof=1).sum()) / (count - 1)
    between = max(0.0, float(np.var(areas, ddof=1)) - interaction)
    influence = np.mean([evaluation.auroc_influence for evaluation in evaluations], axis=0)
    df = min(intervals.satterthwaite(influence), clusters - 1.0)
    share = (intervals.t_quantile(level, count - 1) / intervals.t_quantile(level, df)) ** 2
    se = float(np.sqrt(patients + between / count))
    margin = 0.5 / (first.positives * (first.images - first.positives))
    total = intervals.t_interval(
        mean,
        mean_replicates,
        df,
        "logit",
        margin,
        level,
        clusters=clusters,
        least_se=float(np.sqrt((patients + share * between / count) / factor)),
        bounds=(0, 1),
    )
    total = intervals.with_warnings(
        replace(total, se=se, percentile_low=None, percentile_high=None), first.positive_patients
    )
    return RunsAuroc(total, values, patients, between)
