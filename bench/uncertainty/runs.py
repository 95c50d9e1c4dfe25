"""Mean AUROC of several runs of one method, such as seeds; its interval holds patients and runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.results import Estimate
from bench.metrics.validation import Floats
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
        replicates: (B,) the mean in every replicate with the error of the runs, by which entries are
            compared.
    """

    estimate: Estimate
    values: tuple[float | None, ...]
    patient_variance: float | None = None
    run_variance: float | None = None
    replicates: Floats = field(default_factory=lambda: np.empty(0), repr=False)


def evaluate_runs(
    y: ArrayLike, runs: Sequence[ArrayLike], bootstrap: PatientBootstrap, level: float = 0.95
) -> RunsAuroc:
    """Estimate the mean AUROC of runs, and split its variance into patients and runs, see `mean_of_runs`.

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
    first = evaluations[0]
    return mean_of_runs(
        [evaluation.auroc for evaluation in evaluations],
        np.array([evaluation.auroc_replicates for evaluation in evaluations]),
        df=intervals.satterthwaite(np.mean([e.auroc_influence for e in evaluations], axis=0)),
        margin=0.5 / max(first.positives * (first.images - first.positives), 1),
        patients=(first.positive_patients, first.negative_patients),
        level=level,
    )


def mean_of_runs(
    estimates: Sequence[Estimate],
    replicates: Floats,
    *,
    df: float,
    margin: float,
    patients: tuple[int, int],
    level: float = 0.95,
) -> RunsAuroc:
    """Estimate the mean of the AUROCs of runs, and split its variance into patients and runs.

    The AUROC of run k on a sample is mean + patients + run_k + (patients × run)_k. The bootstrap of the mean
    over K runs gives patients and 1/K of the interaction. The variance between the runs' AUROCs holds run and
    interaction; the bootstrap of the runs' deviations from their mean gives the interaction, which is
    subtracted. The half-width is `√((t_patients · se_patients)² + (t_{K-1} · se_runs)²)` (Banerjee 1961, "On
    confidence interval for two-means problem based on separate estimates of variances"), each with its own
    degrees of freedom: Satterthwaite's formula covers too little with three runs.

    Args:
        estimates: The AUROC of each run, at least one.
        replicates: (K, B) the AUROC of each run in every replicate, nan where undefined.
        df: Degrees of freedom of the mean by the patients.
        margin: How near to 0 and 1 a value may come, see `bench.uncertainty.intervals.t_interval`.
        patients: Patients with a positive and with a negative image.
        level: Nominal coverage.
    """
    values = tuple(estimate.value for estimate in estimates)
    first, count = estimates[0], len(estimates)
    if count == 1 or any(value is None for value in values):
        undefined = next((e for e in estimates if e.value is None), first)
        return RunsAuroc(undefined, values, replicates=replicates.mean(0))
    areas = np.array(values, np.float64)
    mean_replicates, mean = replicates.mean(0), float(areas.mean())
    defined = ~np.isnan(mean_replicates)
    clusters = min(patients)
    if clusters < 2 or defined.sum() < 2:
        nothing = replace(first, value=mean, low=None, high=None)
        return RunsAuroc(nothing, values, replicates=mean_replicates)
    factor = clusters / (clusters - 1)  # of a variance, as in `t_interval`
    by_patients = factor * float(np.var(mean_replicates[defined], ddof=1))
    deviations = (replicates - mean_replicates)[:, defined]
    interaction = factor * float(np.var(deviations, axis=1, ddof=1).sum()) / (count - 1)
    between = max(0.0, float(np.var(areas, ddof=1)) - interaction)
    df = min(df, clusters - 1.0)
    share = (intervals.t_quantile(level, count - 1) / intervals.t_quantile(level, df)) ** 2
    widened = share * between / count
    se = float(np.sqrt(by_patients + between / count))
    total = intervals.t_interval(
        mean,
        mean_replicates,
        df,
        "logit",
        margin,
        level,
        clusters=clusters,
        least_se=float(np.sqrt((by_patients + widened) / factor)),
        bounds=(0, 1),
    )
    total = intervals.with_warnings(
        replace(total, se=se, percentile_low=None, percentile_high=None), patients[0]
    )
    noisy = mean_replicates + np.sqrt(widened) * _standard_normal(areas, replicates.shape[1])
    return RunsAuroc(total, values, by_patients, between, noisy)


def _standard_normal(areas: Floats, count: int) -> Floats:
    """(count,) normal draws of mean 0 and variance 1 that depend on the runs' AUROCs alone.

    Entries with the same runs thus have the same replicates, and other entries independent ones.
    """
    digest = hashlib.sha256(np.round(areas, 10).tobytes()).digest()
    draws = np.random.default_rng(int.from_bytes(digest)).standard_normal(count)
    return np.asarray((draws - draws.mean()) / draws.std(), np.float64)
