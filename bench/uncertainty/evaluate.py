"""Every metric of one target with its interval, from three arrays."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.kernels.scan import PAIRS, POINTS, PRECISION
from bench.metrics.recalibration_line import IDEAL, Line
from bench.metrics.validation import Floats, check_level
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.estimates import ESTIMATES, ORDER, Scored
from bench.uncertainty.intervals import Estimate

METRICS = tuple(ESTIMATES)
"""Fields of `Evaluation` that are estimates."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One score on one target.

    Attributes:
        images: Rows that count.
        patients: Patients with such a row.
        positives: Rows with label 1.
        positive_patients: Patients with a positive row.
        negative_patients: Patients with a negative row.
        prevalence: Share of positives, by weight; None without rows.
        auroc: Area under the ROC curve, logit-t interval.
        auprc: Average precision; read it beside `prevalence`.
        sensitivity_at_90_specificity: Best attainable step, threshold chosen on these rows.
        specificity_at_90_sensitivity: The same with the classes exchanged.
        brier: Mean squared error of the probabilities.
        scaled_brier: 1 - Brier / (π(1-π)).
        log_loss: Mean -log probability of what came true.
        oe_ratio: Observed over expected positives.
        ece: Calibration error over 15 equal-width bins.
        smooth_ece: Smooth calibration error, value only.
        calibration_slope: Slope of the joint recalibration fit.
        calibration_intercept: Intercept of the same fit.
        calibration_in_the_large: Intercept with the slope fixed at 1.
        auroc_replicates: (B,) AUROC in every replicate, nan where undefined.
        auroc_influence: (patients with rows,) influence of every patient on the AUROC, in the order of the
            bootstrap's patients; nan where undefined. `bench.compare_entries` takes both.
    """

    images: int
    patients: int
    positives: int
    positive_patients: int
    negative_patients: int
    prevalence: float | None
    auroc: Estimate
    auprc: Estimate
    sensitivity_at_90_specificity: Estimate
    specificity_at_90_sensitivity: Estimate
    brier: Estimate
    scaled_brier: Estimate
    log_loss: Estimate
    oe_ratio: Estimate
    ece: Estimate
    smooth_ece: Estimate
    calibration_slope: Estimate
    calibration_intercept: Estimate
    calibration_in_the_large: Estimate
    auroc_replicates: Floats = field(repr=False, compare=False)
    auroc_influence: Floats = field(repr=False, compare=False)

    def metrics(self) -> dict[str, Estimate]:
        """Every estimate by name."""
        return {name: getattr(self, name) for name in METRICS}


def evaluate(
    y: ArrayLike,
    p: ArrayLike,
    patient_id: Any = None,
    replicates: int = 2000,
    seed: int = 0,
    bootstrap: PatientBootstrap | None = None,
    *,
    probabilities: bool = True,
    weight: ArrayLike | None = None,
    level: float = 0.95,
    refit_lines: bool = False,
    metrics: Collection[str] = METRICS,
) -> Evaluation:
    """Every metric of one target with its patient-clustered interval.

    Args:
        y: (n,) 0/1 labels.
        p: (n,) probabilities of label 1, or any finite scores with `probabilities=False`.
        patient_id: (n,) the patient of every image; not needed with `bootstrap`.
        replicates: Number of bootstrap draws.
        seed: Seed of the draws.
        bootstrap: Draws shared with other evaluations of the same rows.
        probabilities: False leaves everything about calibration undefined.
        weight: (n,) non-negative row weights; 1 / (images of the patient) makes patients count the same.
        level: Nominal coverage of the intervals.
        refit_lines: Take the errors of the calibration line from a refit in every replicate (slow) instead of
            the cluster-robust sandwich.
        metrics: Names of the metrics that are wanted; the others are left out, which saves time.

    Returns:
        The evaluation; a figure that is undefined is None with its reason.

    Raises:
        ValueError: Neither patients nor bootstrap are given, lengths differ, NaN, labels other than 0/1,
            probabilities outside [0, 1], negative weights, an unknown metric.

    >>> patient = ["a", "a", "b", "c", "d"]
    >>> result = evaluate([0, 0, 1, 1, 0], [0.1, 0.4, 0.35, 0.8, 0.2], patient, replicates=200)
    >>> round(result.auroc.value, 6), result.patients, result.positive_patients
    (0.833333, 4, 2)
    """
    if bootstrap is None:
        if patient_id is None:
            raise ValueError("give patient_id (one id per image), or a bootstrap made from it")
        bootstrap = PatientBootstrap(patient_id, replicates, seed)
    scored = prepare(y, p, bootstrap, probabilities, weight, level, refit_lines, metrics)
    return summarise(scored, probabilities, metrics)


def prepare(
    y: ArrayLike,
    p: ArrayLike,
    bootstrap: PatientBootstrap,
    probabilities: bool = True,
    weight: ArrayLike | None = None,
    level: float = 0.95,
    refit_lines: bool = False,
    metrics: Collection[str] = METRICS,
    start: Line = IDEAL,
) -> Scored:
    """Checked arrays on a bootstrap, for estimates to be worked out.

    Arguments are those of `evaluate`; `start` is a line near that of these images, where one is known.
    """
    unknown = set(metrics) - set(METRICS)
    if unknown:
        raise ValueError(f"unknown metrics {sorted(unknown)}; known are {', '.join(METRICS)}")
    sample = bootstrap.sample(y, weight)
    score = sample.probabilities(p) if probabilities else sample.scores(p)
    depth = POINTS if set(ORDER[2:]) & set(metrics) else PRECISION if "auprc" in metrics else PAIRS
    return Scored(sample, score, check_level(level, "level"), refit_lines, depth, start)


def summarise(scored: Scored, probabilities: bool = True, metrics: Collection[str] = METRICS) -> Evaluation:
    """The evaluation of what was prepared."""
    sample, score = scored.sample, scored.score
    return Evaluation(
        images=len(score),
        patients=int(np.count_nonzero(sample.present)),
        positives=scored.positives,
        positive_patients=sample.positive_patients,
        negative_patients=sample.negative_patients,
        prevalence=float(np.average(sample.positive, weights=sample.weight)) if len(score) else None,
        auroc_replicates=scored.auroc_replicates,
        auroc_influence=scored.auroc_influence,
        **{name: _estimate(name, scored, probabilities, name in metrics) for name in METRICS},
    )


def _estimate(name: str, scored: Scored, probabilities: bool, wanted: bool) -> Estimate:
    if not wanted:
        return Estimate(None, reason="not asked for")
    if not probabilities and name not in ORDER:
        return Estimate(None, reason="scores are not probabilities")
    return ESTIMATES[name](scored)
