"""Decisions at a threshold: sensitivity, specificity, predictive values and net benefit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.metrics.validation import Bools, Floats, check_level, finite_vector, predicted, scored


@dataclass(frozen=True, slots=True)
class Decision:
    """Shares of correct decisions when rows with score >= threshold are called positive; None if undefined.

    Attributes:
        sensitivity: Share of the positive rows that are called.
        specificity: Share of the negative rows that are spared.
        ppv: Share of the called rows that are positive.
        npv: Share of the spared rows that are negative.
    """

    sensitivity: float | None
    specificity: float | None
    ppv: float | None
    npv: float | None


def decision_at(
    y: ArrayLike, score: ArrayLike, threshold: float, weight: ArrayLike | None = None
) -> Decision:
    """The four shares at a threshold chosen beforehand.

    Raises:
        ValueError: Lengths differ, NaN, labels other than 0/1, or negative weights.
    """
    positive, scores, row = scored(y, score, weight)
    called = scores >= threshold

    def total(chosen: Bools) -> float:
        return float(np.count_nonzero(chosen) if row is None else row[chosen].sum())

    def rate(part: Bools, whole: Bools) -> float | None:
        every = total(whole)
        return total(part & whole) / every if every > 0 else None

    return Decision(
        sensitivity=rate(called, positive),
        specificity=rate(~called, ~positive),
        ppv=rate(positive, called),
        npv=rate(~positive, ~called),
    )


@dataclass(frozen=True, slots=True)
class DecisionCurve:
    """Net benefit per patient, in units of true positives; treating nobody is worth 0 everywhere.

    Attributes:
        threshold: (k,) probability from which one would act.
        net_benefit: (k,) of acting on the predictions.
        treat_all: (k,) of acting on everybody.
    """

    threshold: Floats
    net_benefit: Floats
    treat_all: Floats


PERCENT_1_TO_50 = tuple(k / 100 for k in range(1, 51))


def decision_curve(
    y: ArrayLike,
    p: ArrayLike,
    thresholds: ArrayLike = PERCENT_1_TO_50,
    weight: ArrayLike | None = None,
) -> DecisionCurve | None:
    """Net benefit TP/n - FP/n · t/(1-t) of acting from each threshold t (Vickers & Elkin 2006).

    Args:
        y: (n,) 0/1 labels.
        p: (n,) probabilities; rows with p >= t are called positive.
        thresholds: (k,) probabilities from which one would act.
        weight: (n,) non-negative row weights.

    Returns:
        The curve, with the net benefit of treating everybody; None without rows.

    Raises:
        ValueError: As `decision_at`, probabilities outside [0, 1], or a threshold outside (0, 1).
    """
    positive, probability, row = predicted(y, p, weight)
    cut = finite_vector(thresholds, "thresholds")
    for value in cut:
        check_level(float(value), "threshold")
    if not len(positive):
        return None
    unit = np.ones(len(positive)) if row is None else row
    total = float(unit.sum())
    odds = cut / (1 - cut)
    called = [_weight_from(probability[side], unit[side], cut) / total for side in (positive, ~positive)]
    prevalence = float(unit[positive].sum()) / total
    return DecisionCurve(cut, called[0] - odds * called[1], prevalence - odds * (1 - prevalence))


def _weight_from(values: Floats, unit: Floats, cut: Floats) -> Floats:
    """(k,) weight of the values that are at least each cut."""
    order = np.argsort(values, kind="stable")
    below = np.append(0.0, np.cumsum(unit[order]))
    at_or_above: Floats = below[-1] - below[np.searchsorted(values[order], cut, side="left")]
    return at_or_above


def prior_shift(prevalence: float, target: float) -> float:
    """The change of all log odds that carries probabilities from one prevalence to another.

    Sensitivity and specificity at every score are taken to stay as they are, so that only the prior odds
    change (Elkan 2001, "The foundations of cost-sensitive learning"): logit(target) - logit(prevalence).

    Args:
        prevalence: Share of positives where the probabilities were made.
        target: Share of positives where they will be used.

    Raises:
        ValueError: A share that does not lie strictly between 0 and 1.
    """
    before, after = check_level(prevalence, "prevalence"), check_level(target, "target")
    return float(np.log(after / (1 - after)) - np.log(before / (1 - before)))


@dataclass(frozen=True, slots=True)
class ShiftedDecision:
    """Decisions at another prevalence; a value is None if no image is called positive, or none negative.

    Attributes:
        prevalence: Share of positives.
        called: Share of everybody that is called positive.
        ppv: Share of the called that are positive.
        npv: Share of the spared that are negative.
    """

    prevalence: float
    called: float
    ppv: float | None
    npv: float | None


def decision_at_prevalence(sensitivity: float, specificity: float, prevalence: float) -> ShiftedDecision:
    """Predictive values at a stated prevalence, from sensitivity and specificity by Bayes' rule.

    Raises:
        ValueError: A prevalence that does not lie strictly between 0 and 1.

    >>> round(decision_at_prevalence(0.8, 0.9, 0.05).ppv, 4)
    0.2963
    """
    check_level(prevalence, "prevalence")
    hits, alarms = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    called, spared = hits + alarms, 1 - hits - alarms
    return ShiftedDecision(
        prevalence,
        called,
        hits / called if called > 0 else None,
        specificity * (1 - prevalence) / spared if spared > 0 else None,
    )
