"""Every metric, declared once: its name, its meaning, and how it is estimated.

Whatever lists metrics (`bench.evaluate`, scorecards, comparisons, tables, pages, `bench explain`) reads this
registry. A metric is added by one declaration here, or by an entry point of the group ``bench.metrics`` in
another package. Importing this module imports no numerical library.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from math import inf
from typing import TYPE_CHECKING

from bench import metrics as functions  # its modules are imported on first use
from bench.metrics.metric import Direction, Engine, Interval, Metric, Needs, View
from bench.metrics.plugins import load_metrics
from bench.plugins import PluginError, plugin_points

if TYPE_CHECKING:
    from bench.metrics.prepared import LabelledScores
    from bench.metrics.validation import Ints

GROUP = "bench.metrics"
"""Entry points of this group name a `Metric`, or a list of them."""

BINARY = (Needs.RANKING, Needs.PROBABILITIES)
"""Needs of the metrics of a binary target that `bench.evaluate` gives."""

OPERATING_POINT = 0.9
"""Specificity at which the sensitivity is read, and the other way round."""

ECE_BINS = 15
"""Equal-width bins of the calibration error."""


def _sensitivity(scores: LabelledScores) -> float | None:
    point = functions.discrimination.point_at_specificity(scores.ranking, OPERATING_POINT)
    return None if point is None else point.sensitivity


def _specificity(scores: LabelledScores) -> float | None:
    point = functions.discrimination.point_at_sensitivity(scores.ranking, OPERATING_POINT)
    return None if point is None else point.specificity


NO_LINE = "no finite maximum-likelihood fit (constant predictions or complete separation)"
ALL_ZERO = "nothing is expected: all probabilities are 0"
CONSTANT = "constant values, or one image only"

BIASED = "no interval: the error is biased upwards, which the noise floor shows"
RARE = 0.035
"""Prevalence below which intervals of Brier scores scaled or compared cover too little."""
VERY_RARE = 0.02
"""Prevalence below which intervals of differences of net benefit or of slopes cover too little."""
FLAT = 0.05
"""Standard deviation of the log odds below which a calibration slope says little."""
FEW_LEVELS = 10
"""Fewer distinct scores make the sensitivity at a specificity jump from one threshold to the next."""
FEW_EFFECTIVE = 15
"""Effective number of patients with a positive image below which some intervals cover too little."""
HIGH_AREA = 0.97
"""AUROC above which intervals of differences cover too little."""


def _high_area(_: LabelledScores, larger: float) -> str:
    if larger <= HIGH_AREA:
        return ""
    return f"an AUROC above {HIGH_AREA:g}: in simulation intervals of differences covered 92 to 94%"


def rare_warning(prevalence: float, limit: float, coverage: str) -> str:
    """Warning of a low prevalence with the measured coverage; empty from `limit` on."""
    if prevalence >= limit:
        return ""
    return f"{100 * prevalence:.2g}% of the images are positive (fewer than {100 * limit:g}%): {coverage}"


def _prevalence(scores: LabelledScores) -> float:
    return scores.positives / max(len(scores), 1)


def _rare(scores: LabelledScores, _: Ints) -> str:
    coverage = "in simulation 87% coverage at a prevalence of 1%, 91 to 92% at 2 to 3%"
    return rare_warning(_prevalence(scores), RARE, coverage)


def _rare_difference(scores: LabelledScores, _: float) -> str:
    coverage = "in simulation 86 to 89% coverage at a prevalence of 1%, 91 to 94% at 2 to 3%"
    return rare_warning(_prevalence(scores), RARE, coverage)


def _very_rare_difference(scores: LabelledScores, _: float) -> str:
    coverage = "in simulation 93% coverage at a prevalence of 1%"
    return rare_warning(_prevalence(scores), VERY_RARE, coverage)


def _few_effective(scores: LabelledScores, patient: Ints) -> str:
    patients = functions.influence.effective_positive_patients(scores.positive, scores.unit, patient)
    if patients >= FEW_EFFECTIVE:
        return ""
    return (
        f"the effective number of patients with a positive image is {patients:.1f} (fewer than "
        f"{FEW_EFFECTIVE}): in simulation 91 to 98% coverage"
    )


def _few_levels(scores: LabelledScores, _: Ints) -> str:
    levels = len(scores.ranking.threshold)
    if levels >= FEW_LEVELS:
        return ""
    return f"only {levels} distinct scores: the threshold jumps between them; in simulation 84% coverage"


def _near_constant(scores: LabelledScores, _: Ints) -> str:
    spread = float(scores.log_odds.std())
    if spread >= FLAT:
        return ""
    return (
        f"predictions are nearly constant: their log odds have a standard deviation of {spread:.2g}, "
        "so that the slope says little"
    )


BUILT_IN = (
    Metric(
        key="auroc",
        label="AUROC",
        short_label="AUROC",
        definition="Probability that a positive image scores above a negative one, ties counting one half.",
        direction=Direction.HIGHER,
        needs=Needs.RANKING,
        value=lambda scores: functions.discrimination.area(scores.ranking),
        influence=lambda scores: scores.auroc_influence,
        replicates=Engine.PAIRS,
        scale="logit",
        margin=lambda scores: 0.5 / (scores.positives * scores.negatives),
        bounds=(0, 1),
        smaller_class=True,
        difference_caution=_high_area,
        clustered_se=lambda scores, patient: functions.influence.obuchowski_se(scores.ranking, patient),
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
        value=lambda scores: functions.discrimination.mean_precision(scores.ranking),
        influence=lambda scores: functions.influence.average_precision(scores.ranking),
        replicates=Engine.PRECISION,
        interval=Interval.T_OR_SANDWICH,
        scale="logit",
        margin=lambda scores: 0.5 / scores.positives,
        bounds=(0, 1),
        smaller_class=True,
        aliases=("average_precision",),
        comparable=True,
        subgroup_gap=True,
        summary=True,
    ),
    Metric(
        key="normalised_auprc",
        label="Prevalence-normalised AUPRC",
        short_label="AUPRC, normalised",
        definition="(AUPRC - prevalence) / (1 - prevalence): 0 without information, 1 at best; easier to "
        "compare between prevalences.",
        direction=Direction.HIGHER,
        needs=Needs.RANKING,
        value=lambda scores: functions.discrimination.normalised_mean_precision(scores.ranking),
        influence=lambda scores: functions.influence.normalised_average_precision(scores.ranking),
        replicates=Engine.PRECISION,
        interval=Interval.FISHER_Z,
        smaller_class=True,
        caution=_few_effective,
        comparable=True,
    ),
    Metric(
        key="sensitivity_at_90_specificity",
        label="Sensitivity at 90% specificity",
        short_label="Sens. at 90% spec.",
        definition="Highest sensitivity at a threshold with a specificity of at least 90%, attained and "
        "not interpolated.",
        direction=Direction.HIGHER,
        needs=Needs.RANKING,
        value=_sensitivity,
        influence=lambda scores: functions.influence.sensitivity_at_specificity(
            scores.ranking, OPERATING_POINT
        ),
        replicates=Engine.POINTS,
        interval=Interval.SHARE,
        bounds=(0, 1),
        smaller_class=True,
        caution=_few_levels,
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
        value=_specificity,
        influence=lambda scores: functions.influence.specificity_at_sensitivity(
            scores.ranking, OPERATING_POINT
        ),
        replicates=Engine.POINTS,
        # The threshold rests on the few lowest positive patients: in simulation the logit-t interval alone
        # covered as little as 91%, widened to the percentile limits 92 to 97%.
        interval=Interval.T_OR_PERCENTILE,
        scale="logit",
        margin=lambda scores: 0.5 / scores.negatives,
        bounds=(0, 1),
        smaller_class=True,
        caution=_few_effective,
        comparable=True,
    ),
    Metric(
        key="brier",
        label="Brier score",
        short_label="Brier",
        definition="Mean squared difference of probability and label.",
        direction=Direction.LOWER,
        needs=Needs.PROBABILITIES,
        value=lambda scores: functions.calibration.weighted_mean(scores.squared_errors, scores.weight),
        influence=lambda scores: functions.influence.mean(scores.squared_errors, scores.weight),
        both_classes=False,
        replicates=Engine.SUMS,
        scale="log",
        bounds=(0, 1),
        difference_caution=_rare_difference,
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
        value=lambda scores: functions.calibration.scaled_brier(*scores.arrays),
        influence=lambda scores: functions.influence.scaled_brier(*scores.arrays),
        replicates=Engine.SUMS,
        bounds=(-inf, 1),
        caution=_rare,
        difference_caution=_rare_difference,
        comparable=True,
    ),
    Metric(
        key="log_loss",
        label="Log loss",
        short_label="Log loss",
        definition="Mean of -log(probability given to the true label), in nats.",
        direction=Direction.LOWER,
        needs=Needs.PROBABILITIES,
        value=lambda scores: functions.calibration.log_loss(*scores.arrays),
        influence=lambda scores: functions.influence.log_loss(*scores.arrays),
        both_classes=False,
        replicates=Engine.SUMS,
        scale="log",
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
        value=lambda scores: functions.calibration.observed_expected(*scores.arrays),
        influence=lambda scores: functions.influence.observed_expected(*scores.arrays),
        undefined=ALL_ZERO,
        replicates=Engine.SUMS,
        scale="log",
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
        value=lambda scores: functions.calibration.calibration_error(
            scores.positive, scores.score, ECE_BINS, weight=scores.weight
        ),
        both_classes=False,
        replicates=Engine.SUMS,
        interval=Interval.NOISE_FLOOR,
        no_interval=BIASED,
        noise_floor=lambda scores, patient: functions.noise_floor.binned_floor(
            *scores.arrays, patient, ECE_BINS
        ),
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
        value=lambda scores: functions.calibration.smooth_calibration_error(*scores.arrays),
        both_classes=False,
        interval=Interval.NOISE_FLOOR,
        no_interval=BIASED,
        noise_floor=lambda scores, patient: functions.noise_floor.smooth_floor(*scores.arrays, patient),
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
        value=lambda scores: None if scores.line is None else scores.line.slope,
        influence=lambda scores: scores.line_influence[0],
        undefined=NO_LINE,
        replicates=Engine.REFIT,
        interval=Interval.JACKKNIFE,
        deletions=lambda scores, patient: scores.line_deletions(patient)[0],
        caution=_near_constant,
        difference_caution=_very_rare_difference,
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
        value=lambda scores: None if scores.line is None else scores.line.intercept,
        influence=lambda scores: scores.line_influence[1],
        undefined=NO_LINE,
        replicates=Engine.REFIT,
        interval=Interval.JACKKNIFE,
        deletions=lambda scores, patient: scores.line_deletions(patient)[1],
        comparable=True,
        digits=2,
    ),
    Metric(
        key="calibration_in_the_large",
        label="Calibration in the large",
        short_label="In the large",
        definition="Intercept of the logistic regression of the label on the logit of the probability with "
        "the slope fixed at 1; above 0 risks are underestimated.",
        direction=Direction.TARGET,
        needs=Needs.PROBABILITIES,
        target=0.0,
        value=lambda scores: scores.shift,
        influence=lambda scores: scores.shift_influence,
        replicates=Engine.REFIT,
        interval=Interval.JACKKNIFE,
        deletions=lambda scores, patient: scores.shift_deletions(patient),
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
        value=lambda pairs: pairs.agreement.mae,
        undefined=CONSTANT,
        replicates=Engine.MOMENTS,
        scale="log",
        summary=True,
    ),
    Metric(
        key="rmse",
        label="Root mean squared error",
        short_label="RMSE",
        definition="Square root of the mean squared difference, in the unit of the measurement.",
        direction=Direction.LOWER,
        needs=Needs.MEASUREMENTS,
        value=lambda pairs: pairs.agreement.rmse,
        undefined=CONSTANT,
        replicates=Engine.MOMENTS,
        scale="log",
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
        value=lambda pairs: pairs.agreement.bias,
        undefined=CONSTANT,
        replicates=Engine.MOMENTS,
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
        value=lambda pairs: pairs.agreement.loa_low,
        undefined=CONSTANT,
        replicates=Engine.MOMENTS,
        interval=Interval.MOVER,
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
        value=lambda pairs: pairs.agreement.loa_high,
        undefined=CONSTANT,
        replicates=Engine.MOMENTS,
        interval=Interval.MOVER,
        summary=True,
    ),
    Metric(
        key="pearson",
        label="Pearson r",
        short_label="r",
        definition="Pearson correlation of predicted and measured value.",
        direction=Direction.HIGHER,
        needs=Needs.MEASUREMENTS,
        value=lambda pairs: pairs.agreement.pearson,
        undefined=CONSTANT,
        replicates=Engine.MOMENTS,
        interval=Interval.FISHER_Z,
        summary=True,
    ),
    Metric(
        key="concordance",
        label="Concordance correlation",
        short_label="CCC",
        definition="Lin's concordance correlation coefficient: agreement with the line of equality, lowered "
        "by bias and by a wrong scale.",
        direction=Direction.HIGHER,
        needs=Needs.MEASUREMENTS,
        value=lambda pairs: pairs.agreement.concordance,
        undefined=CONSTANT,
        replicates=Engine.MOMENTS,
        interval=Interval.FISHER_Z,
    ),
    Metric(
        key="r2",
        label="R²",
        short_label="R²",
        definition="1 - mean squared error / variance of the measured values.",
        direction=Direction.HIGHER,
        needs=Needs.MEASUREMENTS,
        value=lambda pairs: pairs.agreement.r2,
        undefined=CONSTANT,
        replicates=Engine.MOMENTS,
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
        key="mean_of_runs",
        label="AUROC, mean of the runs",
        short_label="AUROC, runs",
        definition="Mean of the AUROC over the runs of an entry, such as training with several seeds.",
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
def _registered() -> tuple[dict[str, Metric], dict[str, str]]:
    """Metrics by key, and the metric that every alias means; those of plug-ins last."""
    by_key = {metric.key: metric for metric in BUILT_IN}
    names = (name for metric in BUILT_IN for name in (metric.key, *metric.aliases))
    origin = dict.fromkeys([*names, *views()], "this package")
    for point in plugin_points(GROUP):
        for metric in load_metrics(point):
            for name in (metric.key, *metric.aliases):
                if name in origin:
                    reason = f"declares the metric {name!r}, which {origin[name]} declares already"
                    raise PluginError(point, "metric", reason)
                origin[name] = f"the plug-in {point.name!r}"
            by_key[metric.key] = metric
    return by_key, {alias: key for key, metric in by_key.items() for alias in metric.aliases}


def metrics(*needs: Needs) -> dict[str, Metric]:
    """Metrics by key, in the order in which tables show them.

    Args:
        needs: What they are computed from; all metrics without any.

    Raises:
        PluginError: A plug-in cannot be used.
    """
    return dict(_needing(needs))


@cache
def _needing(needs: tuple[Needs, ...]) -> dict[str, Metric]:
    by_key = _registered()[0]
    return {key: metric for key, metric in by_key.items() if not needs or metric.needs in needs}


def keys(*needs: Needs) -> tuple[str, ...]:
    """Keys of `metrics`; arguments and errors are the same."""
    return tuple(metrics(*needs))


def metric(key: str, known: Iterable[str] | None = None) -> Metric:
    """The metric with this key or alias.

    Args:
        key: The key.
        known: Keys that are allowed; every metric without.

    Raises:
        TypeError: The key is not text.
        ValueError: There is none, naming those that are.
    """
    if not isinstance(key, str):
        raise TypeError(f"metric must be the key of a metric as text, not {key!r}")
    by_key, aliases = _registered()
    allowed = tuple(by_key if known is None else known)
    real = aliases.get(key, key)
    if real in allowed:
        return by_key[real]
    near = get_close_matches(key, allowed, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(allowed)}"
    raise ValueError(f"unknown metric {key!r}; {hint}")


@cache
def views() -> dict[str, View]:
    """Every other view of the AUROC by key."""
    return {view.key: view for view in VIEWS}


def described() -> dict[str, Metric | View]:
    """Every metric and every view by key."""
    return dict(_described())


@cache
def _described() -> dict[str, Metric | View]:
    return {**metrics(), **views()}


def label(key: str) -> str:
    """The name of a metric or view in tables; an unknown one keeps its words."""
    item = _described().get(key)
    return item.label if item else key.replace("_", " ")
