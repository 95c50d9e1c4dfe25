"""AUROC of one score over a sliding threshold on the echocardiographic measurement."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from bench.metrics.validation import finite_vector
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.evaluate import evaluate
from bench.uncertainty.intervals import Estimate


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
    measured = finite_vector(measurement, "measurement")
    points = []
    for threshold in finite_vector(thresholds, "thresholds"):
        evaluation = evaluate(
            measured > threshold,
            score,
            bootstrap=bootstrap,
            probabilities=False,
            weight=weight,
            level=level,
            metrics=("auroc",),
        )
        points.append(
            SlidingPoint(
                float(threshold),
                evaluation.positives,
                evaluation.positive_patients,
                evaluation.negative_patients,
                evaluation.auroc,
            )
        )
    return tuple(points)
