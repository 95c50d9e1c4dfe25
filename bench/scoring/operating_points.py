"""Thresholds and recalibration that are chosen on val and used on test.

Without val predictions thresholds are chosen on the test images themselves, and say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Literal

import numpy as np

from bench.files import SIGNIFICANT_DIGITS
from bench.metrics import registry
from bench.metrics.calibration import logit
from bench.metrics.decision import Decision, decision_at
from bench.metrics.discrimination import operating_point
from bench.metrics.metric import Needs
from bench.metrics.recalibration_line import fit_line, recalibrated
from bench.metrics.registry import OPERATING_POINT
from bench.metrics.results import Estimate
from bench.metrics.validation import Floats
from bench.scoring.curves import Cuts
from bench.scoring.scorecard import OperatingPoint, Recalibration
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.curves import DecisionEstimates, decision_estimates
from bench.uncertainty.evaluate import evaluate

Shares = Decision | DecisionEstimates
CHOSEN_HERE = "no interval: the threshold was chosen on the same images"


@dataclass(frozen=True, slots=True)
class Val:
    """An entry's predictions for the val images that have a label."""

    labels: Floats
    score: Floats

    @property
    def both(self) -> bool:
        """Whether both classes are present."""
        return bool((self.labels == 1).any() and (self.labels == 0).any())


RULES: dict[str, dict[str, float]] = {
    f"{share} {OPERATING_POINT:g}": {share: OPERATING_POINT} for share in ("specificity", "sensitivity")
}


def operating_points(
    cuts: Cuts, labels: Floats, score: Floats, bootstrap: PatientBootstrap, val: Val | None, level: float
) -> tuple[OperatingPoint, ...]:
    """Decisions at thresholds that keep 90% specificity or 90% sensitivity on val, or else on test.

    The images called positive are counted at the nearest place where curves may be cut: see `curves`.
    """
    chosen_on: Literal["val", "test"] = "val" if val is not None and val.both else "test"
    source = (val.labels, val.score) if val is not None and chosen_on == "val" else (labels, score)
    points = []
    for rule, wanted in RULES.items():
        chosen = operating_point(*source, **wanted)
        if chosen is None or not np.isfinite(chosen.threshold):
            continue
        threshold = _stated(chosen.threshold)
        wish = int(cuts.above(threshold))
        called = int(cuts.snap(np.array([wish]))[0])
        cut = np.inf if called == 0 else float(cuts.score[called - 1])
        shares: Shares = decision_at(labels, score, cut)
        if chosen_on == "val":
            shares = decision_estimates(labels, score, cut, bootstrap, level=level)
        points.append(
            OperatingPoint(
                rule=rule,
                chosen_on=chosen_on,
                threshold=threshold,
                called=called,
                moved=abs(called - wish),
                **{name: _share(getattr(shares, name)) for name in registry.keys(Needs.DECISIONS)},
            )
        )
    return tuple(points)


def threshold_of(point: OperatingPoint, scores: Floats) -> float:
    """Return the lowest of the scores that an operating point calls positive; infinite where it calls none.

    Args:
        point: The operating point.
        scores: (n,) scores of all images, among which it calls `point.called` positive.
    """
    if not point.called:
        return np.inf
    place = len(scores) - point.called
    return float(np.partition(scores, place)[place])


def decisions_at(
    point: OperatingPoint,
    cut: float,
    labels: Floats,
    score: Floats,
    bootstrap: PatientBootstrap,
    level: float,
) -> dict[str, Estimate]:
    """Sensitivity, specificity and predictive values of some images at the operating point of all.

    Args:
        point: The operating point.
        cut: Its threshold, see `threshold_of`.
        labels: (k,) of the images in question.
        score: (k,) their scores.
        bootstrap: Their patients.
        level: Nominal coverage.
    """
    shares: Shares = (
        decision_estimates(labels, score, cut, bootstrap, level=level)
        if point.chosen_on == "val"
        else decision_at(labels, score, cut)
    )
    return {name: _share(getattr(shares, name)) for name in registry.keys(Needs.DECISIONS)}


def _stated(threshold: float) -> float:
    """Round a threshold down to the 9 stored digits, so that it calls the same images positive."""
    return float(Context(prec=SIGNIFICANT_DIGITS, rounding=ROUND_FLOOR).create_decimal(Decimal(threshold)))


def _share(share: Estimate | float | None) -> Estimate:
    """Return an estimate; without interval where the threshold was chosen on the same images."""
    if isinstance(share, Estimate):
        return share
    return Estimate(share, reason="no row to take a share of" if share is None else CHOSEN_HERE)


def recalibration(
    labels: Floats, p: Floats, bootstrap: PatientBootstrap, val: Val, level: float
) -> Recalibration:
    """Calibration on test after the line that was fitted on val; ranks stay, if its slope is positive."""
    line = fit_line(val.labels == 1, logit(val.score)) if len(val.labels) else None
    if line is None:
        return Recalibration(
            slope=None,
            intercept=None,
            reason="no finite maximum-likelihood fit on val (constant predictions or complete separation)",
        )
    changed = registry.keys(Needs.PROBABILITIES)
    evaluation = evaluate(labels, recalibrated(p, line), bootstrap=bootstrap, level=level, metrics=changed)
    return Recalibration(
        slope=line.slope,
        intercept=line.intercept,
        metrics={name: evaluation[name] for name in changed},
    )
