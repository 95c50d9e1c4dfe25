"""Mean AUROC of several runs: the parts of its variance, and the coverage where all components are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.evaluate import evaluate
from bench.uncertainty.runs import evaluate_runs

SEPARATION, SEED_SPREAD = 1.2, 0.25
SHARED, OWN = 0.8, 0.6  # of a patient's score in all runs, and in one
TRUE_MEAN = float(
    np.mean(norm.cdf((SEPARATION + SEED_SPREAD * norm.ppf((np.arange(2000) + 0.5) / 2000)) / 2**0.5))
)


def simulated(random: np.random.Generator, patients: int, runs: int, spread: float = SEED_SPREAD):
    """Labels, and scores of each run; a run's own separation is normal around `SEPARATION`."""
    y = (random.random(patients) < 0.4).astype(float)
    shared = SHARED * random.normal(size=patients)
    separations = SEPARATION + spread * random.normal(size=runs)
    return y, [d * y + shared + OWN * random.normal(size=patients) for d in separations]


def coverage(samples: int, patients: int, runs: int, replicates: int) -> float:
    """Share of samples whose interval holds the mean AUROC over all patients and seeds."""
    random = np.random.default_rng(runs)
    held = 0
    for sample in range(samples):
        y, scores = simulated(random, patients, runs)
        bootstrap = PatientBootstrap(np.arange(patients), replicates, sample)
        estimate = evaluate_runs(y, scores, bootstrap).estimate
        held += estimate.low <= TRUE_MEAN <= estimate.high
    return held / samples


def test_the_headline_is_the_mean_of_the_runs_and_one_run_is_as_ever() -> None:
    y, scores = simulated(np.random.default_rng(1), 300, 4)
    bootstrap = PatientBootstrap(np.arange(300), 300, 0)
    runs = evaluate_runs(y, scores, bootstrap)
    assert runs.estimate.value == pytest.approx(np.mean([roc_auc_score(y, p) for p in scores]), abs=1e-12)
    assert (
        evaluate_runs(y, scores[:1], bootstrap).estimate
        == evaluate(y, scores[0], bootstrap=bootstrap, probabilities=False, metrics=("auroc",)).auroc
    )
    with pytest.raises(ValueError, match="at least one"):
        evaluate_runs(y, [], bootstrap)


def test_equal_runs_have_no_variance_between_them_and_the_interval_of_one() -> None:
    y, scores = simulated(np.random.default_rng(2), 300, 1)
    bootstrap = PatientBootstrap(np.arange(300), 300, 0)
    found, alone = evaluate_runs(y, scores * 3, bootstrap), evaluate_runs(y, scores, bootstrap)
    assert found.run_variance == 0
    limits = (alone.estimate.low, alone.estimate.high)
    assert (found.estimate.low, found.estimate.high) == pytest.approx(limits, abs=1e-12)


def test_the_parts_of_the_variance_are_those_of_the_simulation() -> None:
    random = np.random.default_rng(3)
    true_runs = norm.cdf((SEPARATION + SEED_SPREAD * random.normal(size=100_000)) / 2**0.5).var()
    for spread, expected in ((SEED_SPREAD, true_runs), (0.0, 0.0)):
        means, patients, between = [], [], []
        for sample in range(60):
            y, scores = simulated(random, 400, 5, spread)
            runs = evaluate_runs(y, scores, PatientBootstrap(np.arange(400), 100, sample))
            means.append(runs.estimate.value)
            patients.append(runs.patient_variance)
            between.append(runs.run_variance)
        error = 3 * np.std(between) / 60**0.5
        assert np.mean(between) == pytest.approx(expected, abs=error + 2e-5)
        assert np.mean(patients) + np.mean(between) / 5 == pytest.approx(np.var(means), rel=0.5)


def test_coverage_in_a_small_simulation() -> None:
    assert 0.905 <= coverage(200, 200, 3, 100) <= 0.99  # three binomial errors around 95%
