"""Each metric of one score on one target as an estimate: value, replicates and influence put together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bench.metrics import calibration, discrimination, influence
from bench.metrics.calibration import brier, smooth_calibration_error
from bench.metrics.kernels.scan import PAIRS
from bench.metrics.recalibration_line import IDEAL, Line, fit_line, fit_shift
from bench.metrics.score_ranking import ScoreRanking
from bench.metrics.validation import Bools, Floats, Ints, inner
from bench.uncertainty import replicates as engine
from bench.uncertainty.intervals import (
    Estimate,
    Scale,
    bias_corrected,
    sandwich_interval,
    satterthwaite,
    t_interval,
    widened,
    with_warnings,
)
from bench.uncertainty.sample import SENSITIVITY, SPECIFICITY, Sample


class Scored:
    """One score on a labelled sample; what several metrics share is worked out once, when first needed.

    Args:
        sample: Labels and draws.
        score: (n,) scores of the rows that count.
        level: Nominal coverage.
        refit_lines: Whether the errors of the calibration line come from a refit in every replicate.
        depth: Which metrics of order will be asked for: see `bench.metrics.kernels.scan.PAIRS`.
        start: Where the fit of the calibration line begins.
    """

    def __init__(
        self, sample: Sample, score: Floats, level: float, refit_lines: bool, depth: int, start: Line = IDEAL
    ) -> None:
        self.sample, self.score, self.level = sample, score, level
        self.refit_lines, self.depth, self.start = refit_lines, depth, start
        self.args = sample.positive, score, sample.weight
        self.positives = int(np.count_nonzero(sample.positive))
        self.negatives = len(score) - self.positives

    @cached_property
    def order(self) -> ScoreRanking:
        """The images by score."""
        return ScoreRanking.of(*self.args)

    @cached_property
    def ranking(self) -> engine.Ranking:
        """Replicates of every metric of order."""
        return engine.ranking_replicates(self.sample, self.order, self.depth)

    @cached_property
    def auroc_replicates(self) -> Floats:
        """(B,) AUROC in every replicate."""
        if self.depth == PAIRS:
            return engine.auroc_replicates(self.sample, self.order)
        return self.ranking.auroc

    @cached_property
    def image_auroc_influence(self) -> Floats:
        """(n,) influence of every image on the AUROC, where it is defined."""
        return influence.auroc(self.order)

    @cached_property
    def auroc_influence(self) -> Floats:
        """(patients with rows,) influence of every patient on the AUROC; nan where it is undefined."""
        if self.missing:
            return np.full(int(np.count_nonzero(self.sample.present)), np.nan)
        return self.patient_influence(self.image_auroc_influence)

    @cached_property
    def fit(self) -> engine.Fit:
        """Replicates of the metrics of probabilities."""
        return engine.Fit(self.sample, self.score)

    @cached_property
    def log_odds(self) -> Floats:
        """(n,) logit of the probabilities."""
        return calibration.logit(self.score)

    @cached_property
    def line(self) -> Line | None:
        """The calibration line."""
        return fit_line(self.sample.positive, self.log_odds, self.sample.weight, self.start)

    @cached_property
    def shift(self) -> float | None:
        """The calibration in the large."""
        return fit_shift(self.sample.positive, self.log_odds, self.sample.weight)

    @cached_property
    def line_influence(self) -> tuple[Floats, Floats]:
        """Influences on slope and intercept, where there is a line."""
        assert self.line is not None
        return influence.line(self.sample.positive, self.score, self.line, self.sample.weight)

    @cached_property
    def shift_influence(self) -> Floats:
        """Influence on the calibration in the large, where it is defined."""
        assert self.shift is not None
        return influence.shift(self.sample.positive, self.score, self.shift, self.sample.weight)

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
        return self.sample.by_patient(image_influence)[self.sample.present]

    def interval(
        self, value: float, replicates: Floats, influences: Floats, scale: Scale, margin: float = 1e-300
    ) -> Estimate:
        """The estimate of one metric from its replicates, with the degrees of freedom of its influence."""
        df = satterthwaite(self.patient_influence(influences))
        found = t_interval(value, replicates, df, scale, margin, self.level)
        return with_warnings(found, self.sample.positive_patients)

    def coefficient(self, name: str, value: float, influences: Floats) -> Estimate:
        """The estimate of a coefficient of the calibration line."""
        if self.refit_lines:
            return self.interval(
                value, engine.replicate(self.sample, self.score, name), influences, "identity"
            )
        found = sandwich_interval(value, self.patient_influence(influences), self.level)
        return with_warnings(found, self.sample.positive_patients)


def auroc(scored: Scored) -> Estimate:
    """Area under the ROC curve, with Obuchowski's standard error beside it."""
    value = discrimination.area(scored.order)
    if value is None:
        return Estimate(None, reason=scored.missing)
    near = 0.5 / (scored.positives * scored.negatives)
    found = scored.interval(value, scored.auroc_replicates, scored.image_auroc_influence, "logit", near)
    if scored.sample.weight is not None:
        return found
    return replace(found, obuchowski_se=obuchowski_se(scored.order, scored.sample.patient))


def auprc(scored: Scored) -> Estimate:
    """Average precision."""
    value = discrimination.mean_precision(scored.order)
    if value is None:
        return Estimate(None, reason=scored.missing)
    influences = influence.average_precision(scored.order)
    return scored.interval(value, scored.ranking.auprc, influences, "logit", 0.5 / scored.positives)


def sensitivity_at_90_specificity(scored: Scored) -> Estimate:
    """Best attainable step, threshold chosen on these rows."""
    point = discrimination.point_at_specificity(scored.order, SPECIFICITY)
    if point is None:
        return Estimate(None, reason=scored.missing)
    influences = influence.sensitivity_at_specificity(scored.order, SPECIFICITY)
    drawn = scored.ranking.sensitivity_at_90_specificity
    return scored.interval(point.sensitivity, drawn, influences, "logit", 0.5 / scored.positives)


def specificity_at_90_sensitivity(scored: Scored) -> Estimate:
    """The same with the classes exchanged.

    Its threshold rests on the few lowest positive patients: in simulation the logit-t interval alone lay too
    high (coverage down to 91%); widened to the percentile limits it covered 92 to 97%.
    """
    point = discrimination.point_at_sensitivity(scored.order, SENSITIVITY)
    if point is None:
        return Estimate(None, reason=scored.missing)
    influences = influence.specificity_at_sensitivity(scored.order, SENSITIVITY)
    drawn = scored.ranking.specificity_at_90_sensitivity
    return widened(scored.interval(point.specificity, drawn, influences, "logit", 0.5 / scored.negatives))


Value = Callable[[Bools, Floats, Floats | None], float | None]
Pull = Callable[[Bools, Floats, Floats | None], Floats]


def _of_probabilities(
    name: str, value: Value, influences: Pull, scale: Scale, both: bool
) -> Callable[[Scored], Estimate]:
    """An estimate of a metric of probabilities; `both` if it needs both classes."""

    def estimate(scored: Scored) -> Estimate:
        if not len(scored.score) or (both and scored.missing):
            return Estimate(None, reason=scored.missing)
        point = value(*scored.args)
        if point is None:
            return Estimate(None, reason="nothing is expected: all probabilities are 0")
        return scored.interval(point, getattr(scored.fit, name), influences(*scored.args), scale)

    return estimate


def ece(scored: Scored) -> Estimate:
    """Calibration error over 15 equal-width bins."""
    value = calibration.calibration_error(*scored.args[:2], engine.ECE_BINS, weight=scored.sample.weight)
    if value is None:
        return Estimate(None, reason=scored.missing)
    drawn = scored.fit.ece
    influences = influence.calibration_error(*scored.args, engine.ECE_BINS)
    return bias_corrected(scored.interval(value, drawn, influences, "identity"), drawn, scored.level)


def smooth_ece(scored: Scored) -> Estimate:
    """Smooth calibration error, value only."""
    value = smooth_calibration_error(*scored.args)
    reason = "no images" if value is None else "no interval: its bandwidth is chosen from the same data"
    return Estimate(value, reason=reason)


def _of_line(which: int, name: str) -> Callable[[Scored], Estimate]:
    """Slope (0) or intercept (1) of the calibration line."""

    def estimate(scored: Scored) -> Estimate:
        if scored.missing:
            return Estimate(None, reason=scored.missing)
        if scored.line is None:
            return Estimate(None, reason="no finite line is the best: constant, or parted by a threshold")
        return scored.coefficient(name, scored.line[which], scored.line_influence[which])

    return estimate


def calibration_in_the_large(scored: Scored) -> Estimate:
    """Intercept with the slope fixed at 1."""
    if scored.shift is None:
        return Estimate(None, reason=scored.missing)
    return scored.coefficient("calibration_in_the_large", scored.shift, scored.shift_influence)


ESTIMATES: dict[str, Callable[[Scored], Estimate]] = {
    "auroc": auroc,
    "auprc": auprc,
    "sensitivity_at_90_specificity": sensitivity_at_90_specificity,
    "specificity_at_90_sensitivity": specificity_at_90_sensitivity,
    "brier": _of_probabilities("brier", calibration.brier, influence.brier, "log", False),
    "scaled_brier": _of_probabilities(
        "scaled_brier", calibration.scaled_brier, influence.scaled_brier, "identity", True
    ),
    "log_loss": _of_probabilities("log_loss", calibration.log_loss, influence.log_loss, "log", False),
    "oe_ratio": _of_probabilities(
        "oe_ratio", calibration.observed_expected, influence.observed_expected, "log", True
    ),
    "ece": ece,
    "smooth_ece": smooth_ece,
    "calibration_slope": _of_line(0, "calibration_slope"),
    "calibration_intercept": _of_line(1, "calibration_intercept"),
    "calibration_in_the_large": calibration_in_the_large,
}
"""How every metric of `bench.evaluate` is estimated, by name."""

ORDER = ("auroc", "auprc", "sensitivity_at_90_specificity", "specificity_at_90_sensitivity")
"""Those that ask for an order only, not for probabilities."""


GAPS = ("auroc", "auprc", "brier", "calibration_slope", "calibration_in_the_large")
"""Metrics whose subgroup_gap is known."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a subgroup_gap.

    Attributes:
        influences_of: Metric → its value, and the influence (P,) of every patient of the bootstrap on it;
            metrics that are undefined here are missing.
        present: (P,) patients with an image on this side.
        positive_patients: Those with a positive image.
    """

    influences_of: Mapping[str, tuple[float, Floats]]
    present: Bools
    positive_patients: int


def side(scored: Scored, metrics: Collection[str] = GAPS) -> Side:
    """Values and influences of the images of one side, both needed to compare it with another."""
    sample = scored.sample
    found: dict[str, tuple[float, Floats]] = {}
    if not scored.missing:
        for name in metrics:
            value, influences = _figure(scored, name)
            if value is not None:
                found[name] = value, sample.by_patient(influences)
    return Side(found, sample.present, sample.positive_patients)


def _figure(scored: Scored, name: str) -> tuple[float | None, Floats]:
    if name == "auroc":
        value = discrimination.area(scored.order)
        return value, scored.score if value is None else scored.image_auroc_influence
    if name == "auprc":
        return discrimination.mean_precision(scored.order), influence.average_precision(scored.order)
    if name == "brier":
        return brier(*scored.args), influence.brier(*scored.args)
    if name == "calibration_slope":
        line = scored.line
        return (None, scored.score) if line is None else (line.slope, scored.line_influence[0])
    if name == "calibration_in_the_large":
        shift = scored.shift
        return (None, scored.score) if shift is None else (shift, scored.shift_influence)
    raise ValueError(f"unknown metric {name!r}; one of {', '.join(GAPS)}")


def subgroup_gap(inside: Side, outside: Side, metric: str, level: float = 0.95) -> Estimate:
    """The metric inside minus the metric outside, with a cluster-robust interval.

    A patient may have images on both sides (age bands, a device implanted between two X-rays); the patient's
    two influences then count together.

    Args:
        inside: The subgroup.
        outside: The rest, on the same bootstrap.
        metric: A name of `GAPS`.
        level: Nominal coverage.
    """
    if metric not in inside.influences_of or metric not in outside.influences_of:
        side_name = "here" if metric not in inside.influences_of else "in the rest"
        return Estimate(None, reason=f"undefined {side_name}")
    (here, influences), (there, other) = inside.influences_of[metric], outside.influences_of[metric]
    phi = (influences - other)[inside.present | outside.present]
    found = sandwich_interval(here - there, phi, level)
    return with_warnings(found, min(inside.positive_patients, outside.positive_patients))


def obuchowski_se(order: ScoreRanking, patient: Ints) -> float | None:
    """Standard error of the AUROC with patients as clusters, all images counting the same.

    Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data". With one image per patient it is
    the error of DeLong, DeLong & Clarke-Pearson 1988.

    Args:
        order: The images by score.
        patient: (n,) whole numbers from 0, the same for images of the same patient.

    Returns:
        The standard error, or None with fewer than two patients in either class.
    """
    hit = order.positive
    m, n = np.bincount(patient, hit), np.bincount(patient, ~hit)
    patients, holding, sparing = (int(np.count_nonzero(images)) for images in (m + n, m, n))
    if holding < 2 or sparing < 2:
        return None
    M, N = float(m.sum()), float(n.sum())
    area = float(order.placement[hit].sum()) / M
    x = np.bincount(patient, order.placement * hit) - m * area
    y = np.bincount(patient, order.placement * ~hit) - n * area
    s10 = holding / ((holding - 1) * M) * inner(x, x)
    s01 = sparing / ((sparing - 1) * N) * inner(y, y)
    s11 = patients / (patients - 1) * inner(x, y)
    return float(np.sqrt(max(s10 / M + s01 / N + 2 * s11 / (M * N), 0.0)))
