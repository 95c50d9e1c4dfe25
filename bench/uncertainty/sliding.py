"""AUROC of one score over a sliding threshold on the echocardiographic measurement."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics import registry
from bench.metrics.prepared import LabelledScores
from bench.metrics.score_ranking import ScoreRanking
from bench.metrics.validation import check_level, finite_vector
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.estimates import Scored
from bench.uncertainty.intervals import Estimate
from bench.uncertainty.ranking import nested_auroc_replicates


@dataclass(frozen=True, slots=True)
class SlidingPoint:
    """One threshold on a measurement.

    Attributes:
        threshold: Images with a measurement above this are positive.
        positives: Number of them.
        positive_patients: Patients with one.
        negative_patients: Patients with another image.
        auroc: The score's AUROC for this label.
    """

    threshold: float
    positives: int
    positive_patients: int
    negative_patients: int
    auroc: Estimate


def sliding_auroc(
    measurement: ArrayLike,
    score: ArrayLike,
    thresholds: ArrayLike,
    bootstrap: PatientBootstrap,
    *,
    weight: ArrayLike | None = None,
    level: float = 0.95,
) -> tuple[SlidingPoint, ...]:
    """Estimate the AUROC at every threshold on the measurement that defines the label.

    Measurements near the threshold change sides by measurement error alone. An AUROC that rises with the
    threshold shows how much of the error of a score is such label noise.

    Args:
        measurement: (n,) values such as the thickness of the septum, rows as in the bootstrap.
        score: (n,) finite scores, higher for larger measurements.
        thresholds: (k,) in the unit of the measurement.
        bootstrap: The draws, shared by all thresholds, so that points are comparable.
        weight: (n,) non-negative row weights.
        level: Nominal coverage at each threshold.

    Raises:
        ValueError: Lengths differ, NaN, negative weights, a level outside (0, 1).
    """
    measured, cuts = finite_vector(measurement, "measurement"), finite_vector(thresholds, "thresholds")
    level = check_level(level, "level")
    rising = np.argsort(cuts, kind="stable")
    samples = [bootstrap.sample(measured > cut, weight) for cut in cuts[rising]]
    if not samples:
        return ()
    values = samples[0].scores(score)
    order = ScoreRanking.of(samples[0].positive, values, samples[0].weight)
    replicates = nested_auroc_replicates(samples, order)
    metric = registry.metric("auroc")
    points: dict[int, SlidingPoint] = {}
    for place, sample, auroc in zip(rising.tolist(), samples, replicates, strict=True):
        ranking = replace(order, positive=sample.positive)
        scores = LabelledScores(sample.positive, values, sample.weight, ranking=ranking)
        scored = Scored(sample, scores, level, [metric], auroc=auroc)
        points[place] = SlidingPoint(
            float(cuts[place]),
            scores.positives,
            sample.positive_patients,
            sample.negative_patients,
            scored.estimate(metric),
        )
    return tuple(points[place] for place in range(len(cuts)))
