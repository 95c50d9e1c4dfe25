import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student

from bench.metrics import influence
from bench.metrics.influence import kish_size
from bench.metrics.score_ranking import ScoreRanking
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.wilson import (
    clustered_share,
    effective_size,
    sensitivity_interval,
    wilson_limits,
)
from tests.metrics import slow


@pytest.mark.parametrize(("hits", "trials"), [(0, 12), (3, 40), (20, 40), (12, 12)])
def test_limits_with_a_normal_quantile_are_scipys(hits, trials):
    limits = wilson_limits(hits / trials, trials, 1.959963984540054)
    expected = binomtest(hits, trials).proportion_ci(method="wilson")
    assert limits == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_kish_size_of_equal_and_of_one_heavy_cluster():
    assert kish_size(np.full(7, 3.0)) == pytest.approx(7)
    assert kish_size(np.array([98.0, 1.0, 1.0])) == pytest.approx(100**2 / (98**2 + 2))


def test_effective_size_of_independent_images_is_their_number():
    assert effective_size(0.3, np.sqrt(0.3 * 0.7 / 50), np.ones(50), 50) == pytest.approx(50)
    assert effective_size(0.3, 2 * np.sqrt(0.3 * 0.7 / 50), np.ones(50), 50) == pytest.approx(12.5)
    assert effective_size(0.3, 1e-9, np.ones(50), 50) == 50
    assert effective_size(1.0, 0.0, np.array([3.0, 1.0]), 4) == pytest.approx(16 / 10)


def test_copies_of_an_image_add_nothing():
    rng = np.random.default_rng(0)
    part, patient = rng.random(60) < 0.7, np.arange(60)
    once = clustered_share(part, np.ones(60), patient)
    thrice = clustered_share(np.repeat(part, 3), np.ones(180), np.repeat(patient, 3))
    assert (thrice.low, thrice.high, thrice.df) == pytest.approx((once.low, once.high, once.df))
    size = part.mean() * (1 - part.mean()) / once.se**2
    assert once.se == pytest.approx(part.std(ddof=1) / np.sqrt(60))
    assert (once.low, once.high) == pytest.approx(
        wilson_limits(part.mean(), size, student.ppf(0.975, once.df)), rel=1e-12
    )


def test_a_share_of_everybody_has_a_lower_limit():
    estimate = clustered_share(np.ones(30, bool), np.ones(30), np.arange(30) // 3)
    assert (estimate.value, estimate.high, estimate.df) == (1.0, 1.0, 9)
    # Kish: ten patients of three images are worth ten images.
    assert estimate.low == pytest.approx(wilson_limits(1.0, 10, student.ppf(0.975, 9))[0])


def test_shares_without_interval():
    assert clustered_share(np.ones(0, bool), np.ones(0), np.ones(0, int)).value is None
    single = clustered_share(np.array([True, False]), np.ones(2), np.zeros(2, int))
    assert (single.value, single.low) == (0.5, None)
    assert "fewer than two patients" in single.reason


def test_sensitivity_takes_the_larger_error_and_few_degrees_of_freedom():
    y, p, patient = slow.cohort(np.random.default_rng(1), 80, tied=False)
    boot = PatientBootstrap(patient, 400)
    sample = boot.sample(y)
    ranking = ScoreRanking.of(sample.positive, p)
    drawn = boot.replicates(y, p, "sensitivity_at_90_specificity")
    phi = sample.by_patient(influence.sensitivity_at_specificity(ranking, 0.9))
    value = slow.sensitivity_at_specificity(y, p, 0.9)
    of_patient = np.bincount(sample.patient, y).astype(float)
    images = y.sum()
    estimate = sensitivity_interval(value, drawn, phi, of_patient[of_patient > 0], images, 12)
    factor = np.sqrt(80 / 79)
    se = factor * max(drawn.std(ddof=1), np.sqrt((phi**2).sum()))
    size = min(value * (1 - value) / se**2, images)
    assert estimate.se == pytest.approx(se)
    assert estimate.df == 11
    assert (estimate.low, estimate.high) == pytest.approx(wilson_limits(value, size, student.ppf(0.975, 11)))
    assert (estimate.percentile_low, estimate.percentile_high) == pytest.approx(
        tuple(np.quantile(drawn, [0.025, 0.975]))
    )


def test_sensitivity_of_one_has_an_interval():
    estimate = sensitivity_interval(1.0, np.ones(200), np.zeros(40), np.array([3.0, 1.0, 1.0]), 5, 3)
    assert estimate.high == 1.0
    assert estimate.low == pytest.approx(wilson_limits(1.0, 25 / 11, student.ppf(0.975, 2))[0])


def test_sensitivity_that_is_often_undefined_has_none():
    drawn = np.append(np.full(3, np.nan), np.full(97, 0.8))
    estimate = sensitivity_interval(0.8, drawn, np.ones(9), np.ones(9), 9, 9)
    assert (estimate.low, estimate.undefined) == (None, 3)
    assert estimate.reason == "undefined in 3 of 100 replicates (more than 1%)"
    assert "fewer than two" in sensitivity_interval(0.8, drawn[3:], np.ones(9), np.ones(9), 9, 1).reason
