"""A subgroup against the rest: the difference of a metric, from the influences of patients on both sides."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bench.metrics import discrimination, influence
from bench.metrics.calibration import brier
from bench.metrics.validation import Bools, Floats
from bench.uncertainty.estimates import Scored
from bench.uncertainty.intervals import Estimate, sandwich_interval, with_warnings

GAPS = ("auroc", "auprc", "brier", "calibration_slope", "calibration_in_the_large")
"""Metrics whose gap is known."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a gap.

    Attributes:
        pulls: Metric → its value, and the influence (P,) of every patient of the bootstrap on it; metrics
            that are undefined here are missing.
        present: (P,) patients with an image on this side.
        positive_patients: Those with a positive image.
    """

    pulls: Mapping[str, tuple[float, Floats]]
    present: Bools
    positive_patients: int


def side(scored: Scored, metrics: Collection[str] = GAPS) -> Side:
    """Values and influences of the images of one side, both needed to compare it with another."""
    sample = scored.sample
    found: dict[str, tuple[float, Floats]] = {}
    if not scored.missing:
        for name in metrics:
            value, pull = _figure(scored, name)
            if value is not None:
                found[name] = value, sample.by_patient(pull)
    return Side(found, sample.present, sample.positive_patients)


def _figure(scored: Scored, name: str) -> tuple[float | None, Floats]:
    if name == "auroc":
        return discrimination.area(scored.ladder), influence.auroc(scored.ladder)
    if name == "auprc":
        return discrimination.mean_precision(scored.ladder), influence.average_precision(scored.ladder)
    if name == "brier":
        return brier(*scored.args), influence.brier(*scored.args)
    if name == "calibration_slope":
        line = scored.line
        return (None, scored.score) if line is None else (line.slope, scored.line_influence[0])
    if name == "calibration_in_the_large":
        shift = scored.shift
        return (None, scored.score) if shift is None else (shift, scored.shift_influence)
    raise ValueError(f"unknown metric {name!r}; one of {', '.join(GAPS)}")


def gap(inside: Side, outside: Side, metric: str, level: float = 0.95) -> Estimate:
    """The metric inside minus the metric outside, with a cluster-robust interval.

    A patient may have images on both sides (age bands, a device implanted between two X-rays); the patient's
    two influences then count together.

    Args:
        inside: The subgroup.
        outside: The rest, on the same bootstrap.
        metric: A name of `GAPS`.
        level: Nominal coverage.
    """
    if metric not in inside.pulls or metric not in outside.pulls:
        return Estimate(None, reason=f"undefined {'here' if metric not in inside.pulls else 'in the rest'}")
    (here, pull), (there, other) = inside.pulls[metric], outside.pulls[metric]
    phi = (pull - other)[inside.present | outside.present]
    found = sandwich_interval(here - there, phi, level)
    return with_warnings(found, min(inside.positive_patients, outside.positive_patients))
