"""Wilson intervals of shares of images, at their effective sample size.

Images of one patient are alike, so n images tell less than n independent ones. The effective sample size is
the number of independent images with the same standard error. Score intervals with it keep their coverage
near 0 and 1, where bootstrap replicates are all equal. Wilson 1927; effective sizes and t quantiles after
Korn & Graubard 1998, "Confidence intervals for proportions with small expected number of positive counts
estimated from survey data".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.metrics.influence import kish_size
from bench.metrics.validation import Bools, Floats, Ints, inner
from bench.uncertainty.intervals import (
    FEW_CLUSTERS,
    Estimate,
    defined_replicates,
    percentile_limits,
    sandwich_se,
    satterthwaite,
    t_quantile,
)

WILSON = "wilson-t"


def wilson_limits(share: float, size: float, quantile: float) -> tuple[float, float]:
    """Compute the limits of Wilson's score interval.

    Args:
        share: Observed share.
        size: Number of trials, not necessarily whole.
        quantile: Two-sided quantile z, of the normal or of Student's distribution.
    """
    square = quantile**2
    middle = (share + square / (2 * size)) / (1 + square / size)
    half = quantile / (1 + square / size) * np.sqrt(share * (1 - share) / size + square / (4 * size**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def effective_size(share: float, se: float, of_patient: Floats, images: float) -> float:
    """Compute the number of independent images that give the same standard error.

    Args:
        share: Observed share v.
        se: Its clustered standard error; `v (1 - v) / se²` is the size, where v is neither 0 nor 1.
        of_patient: (k,) weight of the images of each patient, for Kish's size where v is 0 or 1.
        images: Number of images; the size is never larger.
    """
    inside = 0 < share < 1 and se > 0
    return min(share * (1 - share) / se**2 if inside else kish_size(of_patient), images)


def share_interval(
    share: float, se: float, df: float, of_patient: Floats, images: float, level: float = 0.95
) -> Estimate:
    """Estimate a share with Wilson's interval at its effective sample size and Student's quantile.

    Args:
        share: Observed share.
        se: Its clustered standard error.
        df: Degrees of freedom.
        of_patient: (k,) weight of the images of each patient that the share is taken of.
        images: Number of these images.
        level: Nominal coverage.
    """
    size = effective_size(share, se, of_patient, images)
    low, high = wilson_limits(share, size, t_quantile(level, df))
    return Estimate(share, low=min(low, share), high=max(high, share), se=se, df=df, method=WILSON)


def clustered_share(
    part: Bools, unit: Floats, patient: Ints, level: float = 0.95, clusters: int | None = None
) -> Estimate:
    """Estimate the share of images that have a property, from one row per image.

    Args:
        part: (n,) whether the image has the property.
        unit: (n,) row weights.
        patient: (n,) whole numbers from 0, the same for images of the same patient.
        level: Nominal coverage.
        clusters: Number of patients on which the error rests, where it is less than those with an image.

    Returns:
        The share, None without images; without interval where they are of one patient.
    """
    if not len(part):
        return Estimate(None, reason="no row to take a share of")
    total = float(unit.sum())
    share = inner(unit, part) / total
    of_patient = np.bincount(patient, unit).astype(np.float64)
    present = np.bincount(patient) > 0
    influence = np.bincount(patient, unit * (part - share))[present] / total
    most = len(influence) if clusters is None else min(clusters, len(influence))
    if most < 2:
        return Estimate(share, reason=FEW_CLUSTERS)
    df = min(satterthwaite(influence), most - 1.0)
    return share_interval(share, sandwich_se(influence), df, of_patient[present], kish_size(unit), level)


def sensitivity_interval(
    value: float,
    replicates: Floats,
    influence: Floats,
    of_patient: Floats,
    images: float,
    clusters: int,
    level: float = 0.95,
) -> Estimate:
    """Estimate a share whose threshold is estimated too, such as the sensitivity at 90% specificity.

    The standard error is the larger one of the bootstrap's and the influences'.

    Args:
        value: The share on all rows.
        replicates: (B,) the share in every replicate, nan where undefined.
        influence: (P,) patient influences, with the threshold's share.
        of_patient: (k,) weight of the images of each patient that the share is taken of.
        images: Number of these images.
        clusters: The smaller number of positive or negative patients; df is at most one less.
        level: Nominal coverage.

    Returns:
        The estimate, with percentile limits of the replicates, or the reason why it has no interval.
    """
    defined, nothing = defined_replicates(value, replicates)
    if nothing.reason:
        return nothing
    if clusters < 2:
        return replace(nothing, reason=FEW_CLUSTERS)
    patients = len(influence)
    resampled = float(np.std(defined, ddof=1) * np.sqrt(patients / (patients - 1)))
    se = max(resampled, sandwich_se(influence))
    df = min(satterthwaite(influence), clusters - 1.0)
    estimate = share_interval(value, se, df, of_patient, images, level)
    low, high = percentile_limits(defined, level)
    return replace(
        estimate,
        percentile_low=low,
        percentile_high=high,
        undefined=nothing.undefined,
    )
