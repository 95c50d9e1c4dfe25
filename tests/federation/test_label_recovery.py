"""Linear programming against the figures of an aggregate, by somebody who knows every prediction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq, linprog
from scipy.special import expit, logit
from scipy.stats import rankdata

import bench
from bench.federation.aggregate import CURVE_DIGITS, STEP, figure, most_entries
from bench.federation.model import FIGURES, ROC_PLACES

IMAGES, POSITIVES = 240, 80


def entries(labels: np.ndarray, number: int, informative: float) -> np.ndarray:
    """(number, n) probabilities; with no information they are as different from each other as can be."""
    random = np.random.default_rng(9)
    return expit(informative * labels + random.normal(size=(number, len(labels))) - 1)


def equations(p: np.ndarray, value: dict[str, float]) -> list[tuple[np.ndarray, float]]:
    """Linear equations in the labels, given their sum: (coefficients, right side)."""
    rank, x = rankdata(p), logit(p)
    negatives = IMAGES - POSITIVES
    area = value["auroc"] * POSITIVES * negatives + POSITIVES * (POSITIVES + 1) / 2
    slope = value["calibration_slope"]
    start = brentq(lambda a: expit(a + slope * x).sum() - POSITIVES, -50, 50)
    found = [(rank, area), (x, float(expit(start + slope * x) @ x))]
    for place in ROC_PLACES:  # the images called are known in number, and so in person
        hits = value[f"roc {place}"] * POSITIVES
        called = np.argsort(-p)[: round(hits + place * negatives)]
        found.append((np.bincount(called, minlength=IMAGES).astype(float), hits))
    return found


def recovered(predictions: np.ndarray, figures: list[dict[str, float]]) -> np.ndarray:
    """The labels that violate the equations least (L1), the largest `POSITIVES` of them called positive."""
    rows = [pair for p, value in zip(predictions, figures, strict=True) for pair in equations(p, value)]
    scale = np.array([coefficients.std() for coefficients, _ in rows])
    a = np.array([coefficients for coefficients, _ in rows]) / scale[:, None]
    b = np.array([right for _, right in rows]) / scale
    k = len(rows)
    cost = np.r_[np.zeros(IMAGES), np.ones(2 * k)]
    equal = np.block([[a, np.eye(k), -np.eye(k)], [np.ones((1, IMAGES)), np.zeros((1, 2 * k))]])
    bounds = [(0, 1)] * IMAGES + [(0, None)] * (2 * k)
    solution = linprog(cost, A_eq=equal, b_eq=np.r_[b, POSITIVES], bounds=bounds, method="highs").x[:IMAGES]
    guess = np.zeros(IMAGES)
    guess[np.argsort(-solution, kind="stable")[:POSITIVES]] = 1
    return guess


def figures_of(labels: np.ndarray, p: np.ndarray, rounded: bool) -> dict[str, float]:
    evaluation = bench.evaluate(labels, p, np.arange(IMAGES), replicates=100, metrics=FIGURES)
    descending = labels[np.argsort(-p)]
    hits, misses = np.cumsum(descending) / POSITIVES, np.cumsum(1 - descending) / (IMAGES - POSITIVES)
    curve = {
        f"roc {place}": float(np.interp(place, np.r_[0, misses], np.r_[0, hits])) for place in ROC_PLACES
    }
    if rounded:
        curve = {key: round(value, CURVE_DIGITS) for key, value in curve.items()}
        return {key: figure(evaluation[key]).value for key in FIGURES} | curve
    return {key: evaluation[key].value for key in FIGURES} | curve


def drawn_labels(seed: int) -> np.ndarray:
    found = np.zeros(IMAGES)
    found[np.random.default_rng(seed).permutation(IMAGES)[:POSITIVES]] = 1
    return found


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return drawn_labels(4)


def accuracy(labels: np.ndarray, number: int, *, rounded: bool) -> float:
    predictions = entries(labels, number, 0.0)
    guess = recovered(predictions, [figures_of(labels, p, rounded) for p in predictions])
    return float(np.mean(guess == labels))


def chance() -> float:
    """Share of right labels of a guess that knows the number of positives only."""
    share = POSITIVES / IMAGES
    return share**2 + (1 - share) ** 2


@pytest.mark.parametrize("rounded", [False, True])
def test_figures_of_many_entries_tell_every_label(labels: np.ndarray, rounded: bool) -> None:
    assert accuracy(labels, 40, rounded=rounded) > 0.99, "otherwise the attack would prove nothing"


def test_the_largest_aggregate_tells_no_more_than_the_base_rate() -> None:
    number = most_entries(POSITIVES)
    assert number == 4
    found = [accuracy(drawn_labels(seed), number, rounded=True) for seed in range(6)]
    assert max(found) < 1 - POSITIVES / IMAGES, "calling every image negative is right more often"
    assert chance() < np.mean(found) < 0.65, "docs/sites.md states 63%"


def test_figures_lie_within_the_stated_step_of_their_value(labels: np.ndarray) -> None:
    evaluation = bench.evaluate(
        labels, entries(labels, 1, 1.5)[0], np.arange(IMAGES), replicates=100, metrics=FIGURES
    )
    for key in FIGURES:
        published = figure(evaluation[key])
        assert abs(published.value - evaluation[key].value) <= STEP / 2 * evaluation[key].se * (1 + 1e-9)
        assert published.se == pytest.approx(evaluation[key].se, rel=0.05)
