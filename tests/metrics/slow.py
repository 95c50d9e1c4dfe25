"""Definitions written to be read, not to be fast: the oracles of the tests."""

from __future__ import annotations

import math

import numpy as np


def auroc(y, score, weight=None):
    """Share of pairs in the right order, pair by pair."""
    weight = np.ones(len(y)) if weight is None else weight
    won = total = 0.0
    for i in range(len(y)):
        for j in range(len(y)):
            if y[i] == 1 and y[j] == 0:
                pair = weight[i] * weight[j]
                total += pair
                won += pair * (1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0)
    return won / total if total else None


def decisions(y, score, weight=None):
    """(sensitivity, specificity) of every threshold, "nobody" first."""
    weight = np.ones(len(y)) if weight is None else weight
    hits, misses = weight[y == 1].sum(), weight[y == 0].sum()
    for threshold in [math.inf, *sorted(set(score), reverse=True)]:
        called = score >= threshold
        yield weight[called & (y == 1)].sum() / hits, weight[~called & (y == 0)].sum() / misses


def sensitivity_at_specificity(y, score, specificity, weight=None):
    return max(se for se, sp in decisions(y, score, weight) if sp >= specificity - 1e-9)


def specificity_at_sensitivity(y, score, sensitivity, weight=None):
    return max(sp for se, sp in decisions(y, score, weight) if se >= sensitivity - 1e-9)


def calibration_error(y, p, bins, weight=None):
    weight = np.ones(len(y)) if weight is None else weight
    total = 0.0
    for k in range(bins):
        last = k == bins - 1
        inside = (p >= k / bins) & ((p <= 1) if last else (p < (k + 1) / bins))
        if weight[inside].sum() > 0:
            gap = np.average(p[inside], weights=weight[inside]) - np.average(
                y[inside], weights=weight[inside]
            )
            total += weight[inside].sum() * abs(gap)
    return total / weight.sum()


def cohort(rng, patients=40, images=3, tied=True, prevalence=0.4):
    """Labels, probabilities and patients with several images each and, if asked for, many ties."""
    size = rng.integers(1, 2 * images, patients)
    patient = np.repeat(np.arange(patients), size)
    mostly = rng.random(patients) < prevalence
    y = (np.where(rng.random(len(patient)) < 0.85, mostly[patient], ~mostly[patient])).astype(int)
    mood = rng.normal(size=patients)[patient]
    p = 1 / (1 + np.exp(-(1.2 * y - 1 + 0.7 * mood + rng.normal(size=len(y)))))
    return y, np.round(p, 1) if tied else p, np.array([f"p{k:03d}" for k in patient])
