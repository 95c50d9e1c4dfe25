"""Comparison of means over hospitals against a simulation of the hospitals themselves."""

from __future__ import annotations

import numpy as np
import pytest

from bench.uncertainty.site_means import compare_site_means


def draw(random: np.random.Generator, truth: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    return np.stack([random.multivariate_normal(truth, c) for c in covariances])


def errors(covariances: np.ndarray) -> np.ndarray:
    own = np.diagonal(covariances, axis1=1, axis2=2)
    return np.sqrt(np.maximum(own[:, :, None] + own[:, None, :] - 2 * covariances, 0))


@pytest.fixture(scope="module")
def covariances() -> np.ndarray:
    random = np.random.default_rng(3)
    factors = 0.02 * random.normal(size=(4, 6, 6)) + 0.03  # entries on the same patients are correlated
    return factors @ factors.transpose(0, 2, 1)


def test_equal_entries_are_rarely_separated(covariances: np.ndarray) -> None:
    random = np.random.default_rng(1)
    many = np.full((4, 6), 1e6)
    wrong = sum(
        compare_site_means(
            draw(random, np.full(6, 0.8), covariances), errors(covariances), many
        ).separated.any()
        for _ in range(200)
    )
    assert wrong / 200 < 0.09, "5% of the boards, and twice the error of 200 of them"


def test_mean_and_error_are_those_of_independent_hospitals(covariances: np.ndarray) -> None:
    truth = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    values = draw(np.random.default_rng(2), truth, covariances)
    means = compare_site_means(values, errors(covariances), np.full((4, 6), 50.0))
    total = covariances.sum(axis=0) / 16
    expected = np.sqrt(total[0, 0] + total[3, 3] - 2 * total[0, 3])
    assert means.se[0, 3] == pytest.approx(expected, rel=1e-9)
    assert means.means == pytest.approx(values.mean(axis=0))
    assert means.rank.tolist() == (1 + np.argsort(np.argsort(-means.means))).tolist()
    assert (means.rank_low <= means.rank).all()
    assert (means.rank <= means.rank_high).all()


def test_identical_entries_share_their_rank() -> None:
    values, zero = np.full((3, 2), 0.8), np.zeros((3, 2, 2))
    means = compare_site_means(values, zero, np.full((3, 2), 10.0))
    assert means.rank.tolist() == [1, 1]
    assert not means.separated.any()
    with pytest.raises(ValueError, match="same hospitals"):
        compare_site_means(values, zero[:2], np.full((3, 2), 10.0))
