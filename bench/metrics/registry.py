"""Every metric, declared once: its name, its meaning, and how it is estimated.

Whatever lists metrics (`bench.evaluate`, scorecards, comparisons, tables, pages, `bench explain`) reads this
registry. A metric is added by one declaration here, or by an entry point of the group ``bench.metrics`` in
another package. Importing this module imports no numerical library.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache


class Needs(StrEnum):
    """What a metric is computed from."""

    RANKING = "ranking"
    """Any finite scores: only their order counts."""
    PROBABILITIES = "probabilities"
    """Probabilities of label 1."""
    DECISIONS = "decisions"
    """Images called positive or negative at a threshold that was chosen beforehand."""
    MEASUREMENTS = "measurements"
    """Predicted and measured values of a continuous target."""


class Direction(StrEnum):
    """Which values are better."""

    HIGHER = "higher"
    LOWER = "lower"
    TARGET = "target"
    """The nearer to `Metric.target`, the better."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        key: Name in the Python API, in files and in schemas.
        label: Name in tables and on pages.
        short_label: Name where room is scarce.
        definition: One line for the methods page, tooltips and `bench explain`.
        direction: Which values are better.
        needs: What it is computed from.
        target: The ideal value where `direction` is ``target``.
        comparable: Whether `bench.compare` knows it.
        subgroup_gap: Whether scorecards give its difference between a subgroup and the other images.
        summary: Whether it stands in short tables, not only in those of every metric.
        digits: Decimals shown.
    """

    key: str
    label: str
    short_label: str
    definition: str
    direction: Direction
    needs: Needs
    target: float | None = None
    comparable: bool = False
    subgroup_gap: bool = False
    summary: bool = False
    digits: int = 3


@dataclass(frozen=True, slots=True)
class View:
    """Another view of the AUROC, stored beside the metrics of a target.

    Attributes:
        key: Name in files.
        label: Name in tables and on pages.
        short_label: Name where room is scarce.
        definition: One line for the methods page, tooltips and `bench explain`.
    """

    key: str
    label: str
    short_label: str
    definition: str


BUILT_IN = (
    Metric(
        key="auroc",
        label="AUROC",
        short_label="AUROC",
        definition="Probability that a positive image scores above a negative one, ties counting one half.",
        direction=Direction.HIGHER,
        needs=Needs.RANKING,
        comparable=True,
        subgroup_gap=True,
        summary=True,
    ),
    Metric(
        key="auprc",
        label="AUPRC",
        short_label="AUPRC",
        definition="Average precision as a step sum; compare it with the prevalence, which a score without "
        "information reaches.",
        direction=Direction.HIGHER,
        needs=Needs.RANKING,
        comparable=True,
        subgroup_gap=True,
        summary=True,
    ),
    Metric(
        key="sensitivity_at_90_specificity",
        label="Sensitivity at 90% specificity",
        short_label="Sens. at 90% spec.",
        definition="Highest sensitivity at a threshold with a specificity of at least 90%, attained and "
        "not interpolated.",
        direction=Direction.HIGHER,
        needs=Needs.RANKING,
        comparable=True,
        summary=True,
    ),
    Metric(
        key="specificity_at_90_sensitivity",
        label="Specificity at 90% sensitivity",
        short_label="Spec. at 90% sens.",
        definition="Highest specificity at a threshold with a sensitivity of at least 90%, attained and "
        "not interpolated.",
        direction=Direction.HIGHER,
        needs=Needs.RANKING,
        comparable=True,
    ),
    Metric(
        key="brier",
        label="Brier score",
        short_label="Brier",
        definition="Mean squared difference of probability and label.",
        direction=Direction.LOWER,
        needs=Needs.PROBABILITIES,
        comparable=True,
        subgroup_gap=True,
        summary=True,
    ),
    Metric(
        key="scaled_brier",
        label="Scaled Brier score",
        short_label="Scaled Brier",
        definition="1 - Brier / (π(1 - π)) with the prevalence π: 0 for a constant prediction of the "
        "prevalence, 1 at best.",
        direction=Direction.HIGHER,
        needs=Needs.PROBABILITIES,
        comparable=True,
    ),
    Metric(
        key="log_loss",
        label="Log loss",
        short_label="Log loss",
        definition="Mean of -log(probability given to the true label), in nats.",
        direction=Direction.LOWER,
        needs=Needs.PROBABILITIES,
        comparable=True,
    ),
    Metric(
        key="oe_ratio",
        label="Observed / expected",
        short_label="O/E",
        definition="Number of positive images divided by the sum of the probabilities; above 1 risks are "
        "underestimated.",
        direction=Direction.TARGET,
        needs=Needs.PROBABILITIES,
        target=1.0,
        comparable=True,
        digits=2,
    ),
    Metric(
        key="ece",
        label="ECE",
        short_label="ECE",
        definition="Expected calibration error over 15 bins of equal width; it depends on the bins and never "
        "ranks entries.",
        direction=Direction.LOWER,
        needs=Needs.PROBABILITIES,
        summary=True,
    ),
    Metric(
        key="smooth_ece",
        label="Smooth ECE",
        short_label="Smooth ECE",
        definition="Calibration error after kernel smoothing of the residuals, with a bandwidth equal to the "
        "error itself.",
        direction=Direction.LOWER,
        needs=Needs.PROBABILITIES,
    ),
    Metric(
        key="calibration_slope",
        label="Calibration slope",
        short_label="Slope",
        definition="Slope of the logistic regression of the label on the logit of the probability; below 1 "
        "predictions are too extreme.",
        direction=Direction.TARGET,
        needs=Needs.PROBABILITIES,
        target=1.0,
        comparable=True,
        subgroup_gap=True,
        summary=True,
        digits=2,
    ),
    Metric(
        key="calibration_intercept",
        label="Calibration intercept",
        short_label="Intercept",
        definition="Intercept of the logistic regression of the label on the logit of the probability.",
        direction=Direction.TARGET,
        needs=Needs.PROBABILITIES,
        target=0.0,
        comparable=True,
        digits=2,
    ),
    Metric(
        key="calibration_in_the_large",
        label="Calibration in the large",
        short_label="In the large",
        definition="Intercept of the same regression with the slope fixed at 1; above 0 risks are "
        "underestimated.",
        direction=Direction.TARGET,
        needs=Needs.PROBABILITIES,
        target=0.0,
        comparable=True,
        subgroup_gap=True,
        summary=True,
        digits=2,
    ),
    Metric(
        key="sensitivity",
        label="Sensitivity",
        short_label="Sensitivity",
        definition="Share of the positive images that are called positive at a threshold.",
        direction=Direction.HIGHER,
        needs=Needs.DECISIONS,
    ),
    Metric(
        key="specificity",
        label="Specificity",
        short_label="Specificity",
        definition="Share of the negative images that are called negative at a threshold.",
        direction=Direction.HIGHER,
        needs=Needs.DECISIONS,
    ),
    Metric(
        key="ppv",
        label="Positive predictive value",
        short_label="PPV",
        definition="Share of the images called positive that are positive.",
        direction=Direction.HIGHER,
        needs=Needs.DECISIONS,
    ),
    Metric(
        key="npv",
        label="Negative predictive value",
        short_label="NPV",
        definition="Share of the images called negative that are negative.",
        direction=Direction.HIGHER,
        needs=Needs.DECISIONS,
    ),
    Metric(
        key="mae",
        label="Mean absolute error",
        short_label="MAE",
        definition="Mean absolute difference of predicted and measured value, in its unit.",
        direction=Direction.LOWER,
        needs=Needs.MEASUREMENTS,
        summary=True,
    ),
    Metric(
        key="rmse",
        label="Root mean squared error",
        short_label="RMSE",
        definition="Square root of the mean squared difference, in the unit of the measurement.",
        direction=Direction.LOWER,
        needs=Needs.MEASUREMENTS,
        summary=True,
    ),
    Metric(
        key="bias",
        label="Bias",
        short_label="Bias",
        definition="Mean of predicted minus measured value, in the unit of the measurement.",
        direction=Direction.TARGET,
        needs=Needs.MEASUREMENTS,
        target=0.0,
        summary=True,
    ),
    Metric(
        key="loa_low",
        label="Limits of agreement, lower",
        short_label="LoA low",
        definition="Bias - 1.96 standard deviations of the differences (Bland & Altman 1986).",
        direction=Direction.TARGET,
        needs=Needs.MEASUREMENTS,
        target=0.0,
        summary=True,
    ),
    Metric(
        key="loa_high",
        label="Limits of agreement, upper",
        short_label="LoA high",
        definition="Bias + 1.96 standard deviations of the differences (Bland & Altman 1986).",
        direction=Direction.TARGET,
        needs=Needs.MEASUREMENTS,
        target=0.0,
        summary=True,
    ),
    Metric(
        key="pearson",
        label="Pearson r",
        short_label="r",
        definition="Pearson correlation of predicted and measured value.",
        direction=Direction.HIGHER,
        needs=Needs.MEASUREMENTS,
        summary=True,
    ),
    Metric(
        key="r2",
        label="R²",
        short_label="R²",
        definition="1 - mean squared error / variance of the measured values.",
        direction=Direction.HIGHER,
        needs=Needs.MEASUREMENTS,
        summary=True,
    ),
)
"""The metrics of this package, in the order in which tables show them."""

VIEWS = (
    View(
        key="patient_weighted",
        label="AUROC, every patient weighted alike",
        short_label="AUROC, patients",
        definition="AUROC in which an image weighs 1 / (images of its patient).",
    ),
    View(
        key="first_image",
        label="AUROC, first image of each patient",
        short_label="AUROC, first image",
        definition="AUROC over the first image of each patient.",
    ),
    View(
        key="fold_averaged",
        label="AUROC, averaged over folds",
        short_label="AUROC, folds",
        definition="Mean of the AUROC within each fold; scores of the models of different folds share no "
        "scale.",
    ),
    View(
        key="macro",
        label="Macro AUROC",
        short_label="Macro AUROC",
        definition="Mean of the AUROC over the targets that the cohort names for it.",
    ),
)
"""Other views of the AUROC, in the order in which tables show them."""


@cache
def metrics() -> dict[str, Metric]:
    """Every metric by key, in the order in which tables show them."""
    return {metric.key: metric for metric in BUILT_IN}


@cache
def views() -> dict[str, View]:
    """Every other view of the AUROC by key."""
    return {view.key: view for view in VIEWS}


def keys(*needs: Needs) -> tuple[str, ...]:
    """Keys of the metrics that are computed from one of these, in order; of all without arguments."""
    return tuple(key for key, metric in metrics().items() if not needs or metric.needs in needs)


def label(key: str) -> str:
    """The name of a metric or view in tables; an unknown one keeps its words."""
    found = metrics().get(key) or views().get(key)
    return found.label if found else key.replace("_", " ")
