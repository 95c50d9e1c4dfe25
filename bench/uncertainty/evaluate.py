"""Every metric of one target with its interval, from three arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import calibration, discrimination, influence
from bench.metrics.checks import Floats, share
from bench.metrics.line import calibration_in_the_large, calibration_line
from bench.metrics.smooth import smooth_calibration_error
from bench.uncertainty import replicates as engine
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.clustered import obuchowski_se
from bench.uncertainty.intervals import (
    Estimate,
    Scale,
    sandwich_interval,
    satterthwaite,
    t_interval,
    with_warnings,
)
from bench.uncertainty.replicates import Sample

NOT_PROBABILITIES = "scores are not probabilities"
METRICS = (
    "auroc",
    "auprc",
    "sensitivity_at_90_specificity",
    "specificity_at_90_sensitivity",
    "brier",
    "scaled_brier",
    "log_loss",
    "oe_ratio",
    "ece",
    "smooth_ece",
    "calibration_slope",
    "calibration_intercept",
    "calibration_in_the_large",
)
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

    Returns:
        The evaluation; a figure that is undefined is None with its reason.

    Raises:
        ValueError: Neither patients nor bootstrap are given, lengths differ, NaN, labels other than 0/1,
            probabilities outside [0, 1], negative weights.

    >>> result = evaluate([0, 0, 1, 1, 0], [0.1, 0.4, 0.35, 0.8, 0.2], ["a", "a", "b", "c", "d"], replicates=200)
    >>> round(result.auroc.value, 6), result.patients, result.positive_patients
    (0.833333, 4, 2)
    """
    if bootstrap is None:
        if patient_id is None:
            raise ValueError("give patient_id (one id per image), or a bootstrap made from it")
        bootstrap = PatientBootstrap(patient_id, replicates, seed)
    sample = bootstrap.sample(y, weight)
    score = sample.probabilities(p) if probabilities else sample.scores(p)
    judge = Judge(sample, score, share(level, "level"))
    ranking = engine.ranking_replicates(sample, score)
    return Evaluation(
        images=len(score),
        patients=len(judge.present),
        positives=int(sample.positive.sum()),
        positive_patients=judge.positive_patients,
        negative_patients=judge.negative_patients,
        prevalence=float(np.average(sample.positive, weights=sample.weight)) if len(score) else None,
        auroc_replicates=ranking.auroc,
        **_discrimination(judge, ranking),
        **(_calibration(judge) if probabilities else _not_applicable(NOT_PROBABILITIES)),
    )


class Judge:
    """Turns values, replicates and influences of one score into estimates."""

    def __init__(self, sample: Sample, score: Floats, level: float) -> None:
        self.sample, self.score, self.level = sample, score, level
        self.present = np.unique(sample.patient)
        self.positive_patients = len(np.unique(sample.patient[sample.positive]))
        self.negative_patients = len(np.unique(sample.patient[~sample.positive]))
        self.positives = int(sample.positive.sum())
        self.negatives = len(score) - self.positives

    @property
    def missing(self) -> str:
        """Why nothing that needs both classes is defined, or empty."""
        if not len(self.score):
            return "no images"
        if not self.positives:
            return "no positive image"
        return "" if self.negatives else "no negative image"

    def patient_influence(self, image_influence: Floats) -> Floats:
        """(patients with rows,) sums of image influences."""
        return self.sample.by_patient(image_influence)[self.present]

    def interval(
        self,
        value: float | None,
        replicates: Floats,
        pull: Floats | None,
        scale: Scale,
        margin: float = 1e-12,
    ) -> Estimate:
        """The estimate of one metric; df from the influence, or positive patients - 1 without one."""
        if value is None:
            return Estimate(None, reason=self.missing or "undefined")
        df = (
            max(2.0, self.positive_patients - 1.0)
            if pull is None
            else satterthwaite(self.patient_influence(pull))
        )
        found = t_interval(value, replicates, df, scale, margin, self.level)
        return with_warnings(found, self.positive_patients)

    def sandwich(self, value: float | None, pull: Floats | None) -> Estimate:
        """The estimate of one coefficient from its influence."""
        if value is None or pull is None:
            return Estimate(None, reason=self.missing or "no finite line is the most likely one")
        found = sandwich_interval(value, self.patient_influence(pull), self.level)
        return with_warnings(found, self.positive_patients)


def _discrimination(judge: Judge, ranking: engine.Ranking) -> dict[str, Estimate]:
    sample, score = judge.sample, judge.score
    if judge.missing:
        nothing = Estimate(None, reason=judge.missing)
        return {name: nothing for name in METRICS[:4]}
    args = (sample.positive, score, sample.weight)
    near = 0.5 / (judge.positives * judge.negatives)
    auroc = judge.interval(discrimination.auroc(*args), ranking.auroc, influence.auroc(*args), "logit", near)
    closed = obuchowski_se(sample.positive, score, sample.patient) if sample.weight is None else None
    return {
        "auroc": replace(auroc, obuchowski_se=closed),
        "auprc": judge.interval(
            discrimination.average_precision(*args),
            ranking.auprc,
            influence.average_precision(*args),
            "logit",
            0.5 / judge.positives,
        ),
        "sensitivity_at_90_specificity": judge.interval(
            discrimination.sensitivity_at_specificity(*args[:2], engine.SPECIFICITY, sample.weight),
            ranking.sensitivity_at_90_specificity,
            influence.sensitivity_at_specificity(*args[:2], engine.SPECIFICITY, sample.weight),
            "logit",
            0.5 / judge.positives,
        ),
        "specificity_at_90_sensitivity": judge.interval(
            discrimination.specificity_at_sensitivity(*args[:2], engine.SENSITIVITY, sample.weight),
            ranking.specificity_at_90_sensitivity,
            influence.specificity_at_sensitivity(*args[:2], engine.SENSITIVITY, sample.weight),
            "logit",
            0.5 / judge.negatives,
        ),
    }


Value = Callable[..., float | None]
Pull = Callable[..., Floats]

PROPER: tuple[tuple[str, Value, Callable[[Sample, Floats], Floats], Pull, Scale, bool], ...] = (
    ("brier", calibration.brier, engine.brier_replicates, influence.brier, "log", False),
    (
        "scaled_brier",
        calibration.scaled_brier,
        engine.scaled_brier_replicates,
        influence.scaled_brier,
        "identity",
        True,
    ),
    ("log_loss", calibration.log_loss, engine.log_loss_replicates, influence.log_loss, "log", False),
    (
        "oe_ratio",
        calibration.observed_expected,
        engine.oe_ratio_replicates,
        influence.observed_expected,
        "log",
        True,
    ),
    ("ece", calibration.calibration_error, engine.ece_replicates, influence.calibration_error, "log", False),
)
"""Name, value, replicates, influence, scale of the interval, whether both classes are needed."""


def _calibration(judge: Judge) -> dict[str, Estimate]:
    sample, p = judge.sample, judge.score
    if not len(p):
        return _not_applicable(judge.missing)
    found = {}
    for name, value, replicates, pull, scale, both in PROPER:
        if both and judge.missing:
            found[name] = Estimate(None, reason=judge.missing)
            continue
        point = value(sample.positive, p, weight=sample.weight)
        found[name] = judge.interval(
            point, replicates(sample, p), pull(sample.positive, p, weight=sample.weight), scale
        )
    smooth = smooth_calibration_error(sample.positive, p, sample.weight)
    found["smooth_ece"] = Estimate(smooth, reason="no interval: its bandwidth is chosen from the same data")
    return {**found, **_lines(judge)}


def _lines(judge: Judge) -> dict[str, Estimate]:
    sample, p = judge.sample, judge.score
    fitted = calibration_line(sample.positive, p, sample.weight)
    shift = calibration_in_the_large(sample.positive, p, sample.weight)
    slope, intercept = (
        (None, None) if fitted is None else influence.line(sample.positive, p, fitted, sample.weight)
    )
    moved = None if shift is None else influence.shift(sample.positive, p, shift, sample.weight)
    return {
        "calibration_slope": judge.sandwich(None if fitted is None else fitted.slope, slope),
        "calibration_intercept": judge.sandwich(None if fitted is None else fitted.intercept, intercept),
        "calibration_in_the_large": judge.sandwich(shift, moved),
    }


def _not_applicable(reason: str) -> dict[str, Estimate]:
    return {name: Estimate(None, reason=reason) for name in METRICS[4:]}
