import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics.decision import (
    decision_at,
    decision_at_prevalence,
    decision_curve,
    prior_shift,
)
from bench.metrics.recalibration_line import calibration_in_the_large
from tests.metrics import slow


def test_four_shares_count_by_hand():
    found = decision_at([1, 1, 0, 0, 0], [0.9, 0.2, 0.5, 0.1, 0.3], 0.5)
    assert (found.sensitivity, found.specificity, found.ppv, found.npv) == (1 / 2, 2 / 3, 1 / 2, 2 / 3)
    nobody = decision_at([1, 0], [0.1, 0.2], 0.5)
    assert (nobody.ppv, nobody.npv) == (None, 0.5)
    assert decision_at([0, 0], [0.1, 0.2], 0.15).sensitivity is None


@given(st.integers(0, 2**32 - 1))
def test_net_benefit_is_its_definition(seed):
    rng = np.random.default_rng(seed)
    y, p, _ = slow.cohort(rng, 10)
    weight = rng.integers(0, 3, len(y)).astype(float)
    weight[0] = 1
    curve = decision_curve(y, p, weight=weight)
    for k, t in enumerate(curve.threshold):
        called = p >= t
        true, false = weight[called & (y == 1)].sum(), weight[called & (y == 0)].sum()
        assert curve.net_benefit[k] == pytest.approx((true - false * t / (1 - t)) / weight.sum(), abs=1e-13)
        everybody = (weight[y == 1].sum() - weight[y == 0].sum() * t / (1 - t)) / weight.sum()
        assert curve.treat_all[k] == pytest.approx(everybody, abs=1e-13)


def test_thresholds_run_from_one_to_fifty_percent():
    curve = decision_curve([0, 1], [0.2, 0.3])
    assert curve.threshold.tolist() == [k / 100 for k in range(1, 51)]
    assert decision_curve([0, 1], [0.2, 0.3], [0.25]).net_benefit.tolist() == [0.5]
    assert decision_curve([], [], [0.25]) is None
    with pytest.raises(ValueError, match="threshold"):
        decision_curve([0, 1], [0.2, 0.3], [1.0])


def repeated_to(y, p, prevalence):
    """The same images with the positives repeated, so that they make up the prevalence."""
    hits, misses = y.sum(), (1 - y).sum()
    times = round(prevalence / (1 - prevalence) * misses * 1000 / hits)
    return np.repeat(y, np.where(y == 1, times, 1000)), np.repeat(p, np.where(y == 1, times, 1000))


def test_predictive_values_at_another_prevalence_are_those_of_repeated_positives():
    y, p, _ = slow.cohort(np.random.default_rng(0), 30, tied=False)
    many, scores = repeated_to(y, p, 0.05)
    here, there = decision_at(y, p, 0.4), decision_at(many, scores, 0.4)
    found = decision_at_prevalence(here.sensitivity, here.specificity, many.mean())
    assert (found.ppv, found.npv) == pytest.approx((there.ppv, there.npv))
    assert found.called == pytest.approx((scores >= 0.4).mean())
    assert decision_at_prevalence(0.0, 1.0, 0.1).ppv is None
    assert decision_at_prevalence(1.0, 0.0, 0.1).npv is None
    with pytest.raises(ValueError, match="prevalence"):
        decision_at_prevalence(0.5, 0.5, 0.0)


def test_shifted_probabilities_are_calibrated_at_the_new_prevalence():
    rng = np.random.default_rng(1)
    score = np.append(rng.normal(0, 1, 40_000), rng.normal(1.5, 1, 10_000))
    y = np.append(np.zeros(40_000, int), np.ones(10_000, int))
    # Bayes: log odds of a binormal score at prevalence 20%.
    log_odds = np.log(0.25) + 1.5 * score - 1.5**2 / 2
    many, moved = repeated_to(y, log_odds, 0.05)
    shift = prior_shift(0.2, many.mean())
    assert shift == pytest.approx(np.log(0.05 / 0.95) - np.log(0.25), abs=5e-3)
    p = 1 / (1 + np.exp(-(moved[::200] + shift)))
    assert calibration_in_the_large(many[::200], p) == pytest.approx(0, abs=0.03)
