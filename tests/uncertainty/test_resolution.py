import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

import bench
from bench.uncertainty.resolution import auroc_covariance, placement_covariance


def cohort(patients, seed=0):
    """CheXchoNet's sizes and clustering: 1 + negative binomial images, label constant in a patient."""
    rng = np.random.default_rng(seed)
    size = 1 + rng.negative_binomial(0.58, 0.58 / (0.58 + 1.9), patients)
    patient = np.repeat(np.arange(patients), size)
    return (rng.random(patients) < 0.138)[patient].astype(int), patient


@pytest.mark.parametrize("correlation", [-0.7, 0.0, 0.3, 1.0])
def test_placement_covariance_is_a_bivariate_normal_probability(correlation):
    h = 0.8416212335729143
    both = multivariate_normal.cdf([h, h], [0, 0], [[1, correlation / 2], [correlation / 2, 1]])
    assert placement_covariance(0.8, correlation) == pytest.approx(both - 0.64, abs=1e-7)


def test_variance_is_that_of_simulated_scores():
    rng = np.random.default_rng(1)
    patient = np.repeat(np.arange(80), rng.integers(1, 6, 80))
    y = rng.random(len(patient)) < 0.4
    m, n = (np.bincount(patient, side).astype(float) for side in (y, ~y))
    drawn = np.empty((2, 3000))
    for b in range(3000):
        common = rng.normal(size=80)[patient]
        own = np.sqrt(0.6) * common + np.sqrt(0.4) * rng.normal(size=len(patient))
        fresh = np.sqrt(0.6) * rng.normal(size=80)[patient] + np.sqrt(0.4) * rng.normal(size=len(patient))
        other = 0.7 * own + np.sqrt(1 - 0.49) * fresh
        drawn[:, b] = [bench.auroc(y, 1.19 * y + noise) for noise in (own, other)]
    area = float(norm.cdf(1.19 / np.sqrt(2)))
    expected = np.cov(drawn)
    assert auroc_covariance(m, n, area, 1.0, 0.6) == pytest.approx(expected[0, 0], rel=0.08)
    assert auroc_covariance(m, n, area, 0.7, 0.7 * 0.6) == pytest.approx(expected[0, 1], rel=0.1)


def test_split_of_twenty_percent_resolves_what_is_known_for_chexchonet():
    resolution = bench.split_resolution(*cohort(4938))
    assert resolution.half_width_low == pytest.approx(0.017, abs=0.002)
    assert resolution.half_width_high == pytest.approx(0.025, abs=0.002)
    assert resolution.paired_difference_low == pytest.approx(0.020, abs=0.002)
    assert resolution.paired_difference_high == pytest.approx(0.029, abs=0.002)
    everybody = bench.split_resolution(*cohort(24_689))
    assert resolution.half_width_high / everybody.half_width_high == pytest.approx(np.sqrt(5), rel=0.08)


def test_counts_and_undefined():
    resolution = bench.split_resolution([1, 0, 0, 1], ["a", "a", "b", "c"])
    assert (resolution.images, resolution.patients, resolution.positives) == (4, 3, 2)
    assert (resolution.positive_patients, resolution.negative_patients) == (2, 2)
    assert bench.split_resolution([0, 0], ["a", "b"]).half_width_low is None
    with pytest.raises(ValueError, match="patient_id has 1"):
        bench.split_resolution([0, 1], ["a"])
    with pytest.raises(ValueError, match="auroc"):
        bench.split_resolution([0, 1], ["a", "b"], auroc=1.0)
