"""Reuse of a test set: the bound on its gain against simulation, and an attacker against the ladder."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.evaluate import evaluate
from bench.uncertainty.reuse import expected_maximum, expected_optimism, ladder

IMAGES = 300
ROUNDS = 60


def test_the_expected_maximum_is_that_of_tables() -> None:
    # Harter 1961, expected values of normal order statistics.
    for count, value in ((1, 0.0), (2, 0.56419), (5, 1.16296), (10, 1.53875), (100, 2.50759)):
        assert expected_maximum(count) == pytest.approx(value, abs=1e-5)


def test_the_best_of_correlated_entries_gains_what_a_simulation_says() -> None:
    random = np.random.default_rng(0)
    shared, own = 0.02, 0.01
    replicates = shared * random.normal(size=4000) + own * random.normal(size=(30, 4000))
    optimism = expected_optimism(replicates, 20)
    draws = shared * random.normal(size=(20_000, 1)) + own * random.normal(size=(20_000, 20))
    assert optimism.best_of == pytest.approx(draws.max(axis=1).mean(), rel=0.05)
    assert optimism.adaptive > optimism.best_of
    assert expected_optimism(replicates, 1).best_of == pytest.approx(0, abs=1e-9)


class HillClimber:
    """Attacker that keeps a random change of its predictions where the published score improved."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.labels = np.repeat([0.0, 1.0], [IMAGES - 60, 60])
        self.bootstrap = PatientBootstrap(np.arange(IMAGES), replicates=100, seed=seed)

    def score(self, predicted: np.ndarray) -> tuple[float, np.ndarray]:
        evaluation = evaluate(
            self.labels,
            predicted,
            bootstrap=self.bootstrap,
            probabilities=False,
            level=0.95,
            metrics=("auroc",),
        )
        assert evaluation.auroc.value == pytest.approx(roc_auc_score(self.labels, predicted))
        return evaluation.auroc.value, evaluation.auroc_replicates

    def climb(self, *, guarded: bool) -> tuple[float, np.ndarray]:
        """The published gain over the true AUROC of 0.5, and the replicates of all attempts."""
        best = self.random.normal(size=IMAGES)
        values: list[float] = []
        replicates: list[np.ndarray] = []
        published = 0.5
        for _ in range(ROUNDS):
            tried = best + self.random.normal(size=IMAGES) if values else best
            value, drawn = self.score(tried)
            values.append(value)
            replicates.append(drawn)
            if ladder(values, replicates)[-1] if guarded else value > published:
                best, published = tried, value
        return published - 0.5, np.array(replicates)


def test_a_hill_climber_gains_at_most_the_bound_with_the_ladder_and_more_without() -> None:
    guarded, free, best_of = [], [], []
    for seed in range(4):
        gain, replicates = HillClimber(seed).climb(guarded=True)
        guarded.append(gain)
        best_of.append(expected_optimism(replicates, ROUNDS).best_of)
        gain, replicates = HillClimber(seed).climb(guarded=False)
        free.append(gain)
        assert gain <= expected_optimism(replicates, ROUNDS).adaptive
    assert np.mean(guarded) <= np.mean(best_of)
    assert np.mean(free) > 1.5 * np.mean(guarded)
    assert np.mean(free) > np.mean(best_of)


def test_a_real_improvement_is_published() -> None:
    random = np.random.default_rng(1)
    replicates = np.array([[0.70], [0.71], [0.80]]) + 0.01 * random.normal(size=(3, 500))
    assert ladder([0.70, 0.71, 0.80], replicates).tolist() == [True, False, True]
