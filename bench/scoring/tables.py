"""Tables of a scorecard beyond its metrics: yield, prevalences, smooth calibration, sliding thresholds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bench.metrics import calibration, influence
from bench.metrics.decision import decision_at_prevalence, prior_shift
from bench.metrics.results import Estimate
from bench.metrics.smooth_calibration import smooth_calibration
from bench.metrics.validation import Floats
from bench.scoring.curves import Cuts
from bench.scoring.plan import FEWEST_PATIENTS, SlidingPlan, TargetPlan
from bench.scoring.scorecard import (
    OperatingPoint,
    Point,
    PrevalenceShift,
    ShiftedPoint,
    SlidingPoint,
    SlidingThreshold,
    SmoothCalibration,
    YieldPoint,
)
from bench.uncertainty import intervals
from bench.uncertainty.sliding import sliding_auroc

PREVALENCES = (0.01, 0.02, 0.05, 0.10, 0.20)
"""Prevalences at which scorecards show what the operating points would do."""

CAPACITIES = (0.01, 0.02, 0.05, 0.10, 0.20, 0.30, 0.50)
"""Shares of the images whose patient gets an echocardiogram."""

CURVE_POINTS = 50
"""Points of the smooth calibration curve."""


def detection_yield(cuts: Cuts) -> tuple[YieldPoint, ...]:
    """Positives per 100 echocardiograms of the highest scores; between allowed places interpolated."""
    examined = np.array(CAPACITIES)
    count = examined * len(cuts.score)
    hits = cuts.positives_above(count)
    return tuple(
        YieldPoint(examined=float(share), per_100=float(100 * hit / k), found=float(hit / cuts.hits[-1]))
        for share, k, hit in zip(examined, count, hits, strict=True)
    )


def prevalence_shift(
    here: float, points: Iterable[OperatingPoint], target: float, *, probabilities: bool
) -> PrevalenceShift:
    """Operating points at another prevalence, with sensitivity and specificity as they are here.

    Args:
        here: Share of positives among the images that were scored.
        points: Operating points of a scorecard.
        target: The other prevalence.
        probabilities: Whether scores are probabilities, which are then recalibrated to the prevalence.

    Raises:
        ValueError: A prevalence that does not lie strictly between 0 and 1.
    """
    intercept = prior_shift(here, target)
    shifted = []
    for point in points:
        sensitivity, specificity = point.sensitivity.value, point.specificity.value
        if sensitivity is None or specificity is None:
            continue
        at_prevalence = decision_at_prevalence(sensitivity, specificity, target)
        benefit = None
        if probabilities and 0 < point.threshold < 1:
            odds = point.threshold / (1 - point.threshold) * float(np.exp(intercept))
            benefit = sensitivity * target - (1 - specificity) * (1 - target) * odds
        shifted.append(
            ShiftedPoint(
                rule=point.rule,
                called=at_prevalence.called,
                ppv=at_prevalence.ppv,
                npv=at_prevalence.npv,
                net_benefit=benefit,
            )
        )
    return PrevalenceShift(prevalence=target, intercept=intercept, points=tuple(shifted))


def smooth_curve(labels: Floats, p: Floats) -> SmoothCalibration | None:
    """The smooth calibration curve of a target; None with one class."""
    smooth = smooth_calibration(labels, p, CURVE_POINTS)
    if smooth is None:
        return None
    return SmoothCalibration(
        ici=smooth.ici,
        e50=smooth.e50,
        e90=smooth.e90,
        emax=smooth.emax,
        points=tuple(
            Point(x=float(x), y=float(y)) for x, y in zip(smooth.predicted, smooth.observed, strict=True)
        ),
    )


def brier_skill(target: TargetPlan, p: Floats, level: float) -> Estimate:
    """Brier skill against the constant that the other images suggest."""
    if target.reference is None:
        return Estimate(None, reason="no other images to take a reference from")
    value = calibration.brier_skill(target.labels, p, target.reference)
    if value is None:
        return Estimate(None, reason="no images, or a reference that is never wrong")
    sample = target.bootstrap.sample(target.labels)
    constant = np.full(len(p), target.reference)
    phi = sample.by_patient(influence.brier_skill(sample.positive, p, constant))[sample.present]
    estimate = intervals.sandwich_interval(value, phi, level, (-np.inf, 1.0))
    return intervals.with_warnings(estimate, sample.positive_patients)


def sliding(plan: SlidingPlan, label: str, score: Floats, level: float) -> SlidingThreshold:
    """The AUROC of a score at every threshold on the measurement; hidden where a class is small.

    Args:
        plan: The measurement and the thresholds.
        label: The target, as shown.
        score: (n,) predictions of the track's images.
        level: Nominal coverage.
    """
    measure = plan.measure
    estimated = sliding_auroc(
        measure.truth, score[measure.rows], plan.thresholds, measure.bootstrap, level=level
    )
    points = []
    for point in estimated:
        small = min(point.positive_patients, point.negative_patients) < FEWEST_PATIENTS
        hidden = Estimate(None, reason=f"fewer than {FEWEST_PATIENTS} patients in one class")
        points.append(
            SlidingPoint(
                threshold=point.threshold,
                positives=None if small else point.positives,
                auroc=hidden if small else point.auroc,
            )
        )
    return SlidingThreshold(
        target=plan.target,
        measurement=measure.target.name,
        label=f"{label} by {measure.target.label}",
        unit=measure.target.unit,
        points=tuple(points),
    )
