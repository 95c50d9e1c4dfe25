"""Evaluation of one score on one target: every metric with its interval."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import registry
from bench.metrics.metric import Metric, Needs
from bench.metrics.prepared import LabelledScores
from bench.metrics.recalibration_line import IDEAL, Line
from bench.metrics.validation import Floats, check_level, same_rows, yes_or_no
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.estimates import NOT_REQUESTED, Estimates, Scored
from bench.uncertainty.intervals import Estimate


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(Estimates):
    """Every metric of one score on one target: a mapping from metric to `Estimate`, with attribute access.

    ``result["auroc"]`` and ``result.auroc`` are the same estimate. The metrics are those of
    `bench.metrics.registry` for a binary target, each explained by `bench explain`.

    Attributes:
        images: Rows that count.
        patients: Patients with such a row.
        positives: Rows with label 1.
        positive_patients: Patients with a positive row.
        negative_patients: Patients with a negative row.
        prevalence: Share of positives, by weight; None without rows.
        estimates: Metric → estimate.
        auroc_replicates: (B,) AUROC in every replicate, nan where undefined.
        auroc_influence: (patients with rows,) influence of every patient on the AUROC, in the order of the
            bootstrap's patients; nan where undefined. `bench.compare_all_pairs` takes both.
    """

    images: int
    patients: int
    positives: int
    positive_patients: int
    negative_patients: int
    prevalence: float | None
    estimates: Mapping[str, Estimate]
    auroc_replicates: Floats = field(compare=False)
    auroc_influence: Floats = field(compare=False)

    def _summary(self) -> str:
        return (
            f"Evaluation of {self.images} images ({self.positives} positive) of {self.patients} patients "
            f"({self.positive_patients} with a positive image)"
        )


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
    metrics: Collection[str] | None = None,
) -> Evaluation:
    """Compute every metric of one target with its patient-clustered interval.

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
        metrics: Keys of the metrics that are wanted; the others are left out, which saves time. None for all.

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
    same_rows(y=y, p=p, patient_id=patient_id, weight=weight)
    probabilities = yes_or_no(probabilities, "probabilities")
    bootstrap = PatientBootstrap.given_or_drawn(bootstrap, patient_id, replicates, seed)
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
    metrics: Collection[str] | None = None,
    start: Line = IDEAL,
) -> Scored:
    """Check arrays and combine them with a bootstrap, before metrics are estimated.

    Arguments are those of `evaluate`; `start` is a line near that of these images, where one is known.
    """
    chosen = _chosen(metrics).values()
    refit_lines = yes_or_no(refit_lines, "refit_lines")
    sample = bootstrap.sample(y, weight)
    read = sample.probabilities if probabilities else sample.scores
    scores = LabelledScores(sample.positive, read(p, "p"), sample.weight, start)
    return Scored(sample, scores, check_level(level, "level"), chosen, refit_lines)


def _chosen(metrics: Collection[str] | None) -> dict[str, Metric]:
    """Return the requested metrics by key."""
    known = registry.metrics(*registry.BINARY)
    if metrics is None:
        return known
    if isinstance(metrics, str | bytes) or not isinstance(metrics, Collection):
        raise TypeError(f"metrics must be a list of keys, not {metrics!r}")
    wanted = {registry.metric(key, known).key for key in metrics}
    return {key: metric for key, metric in known.items() if key in wanted}


def summarise(
    scored: Scored, probabilities: bool = True, metrics: Collection[str] | None = None
) -> Evaluation:
    """Estimate the metrics of a prepared score."""
    sample, scores, chosen = scored.sample, scored.scores, _chosen(metrics)
    return Evaluation(
        images=len(scores),
        patients=int(np.count_nonzero(sample.present)),
        positives=scores.positives,
        positive_patients=sample.positive_patients,
        negative_patients=sample.negative_patients,
        prevalence=float(np.average(sample.positive, weights=sample.weight)) if len(scores) else None,
        auroc_replicates=scored.replicates.auroc,
        auroc_influence=scored.auroc_influence,
        estimates={
            key: _estimate(metric, scored, probabilities, key in chosen)
            for key, metric in registry.metrics(*registry.BINARY).items()
        },
    )


def _estimate(metric: Metric, scored: Scored, probabilities: bool, wanted: bool) -> Estimate:
    if not wanted:
        return Estimate(None, reason=NOT_REQUESTED)
    if not probabilities and metric.needs is Needs.PROBABILITIES:
        return Estimate(None, reason="scores are not probabilities")
    return scored.estimate(metric)
