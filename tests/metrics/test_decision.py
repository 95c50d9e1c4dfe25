import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics.decision import decision_at, decision_curve, net_benefit
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
    assert net_benefit([0, 1], [0.2, 0.3], 0.25) == 0.5
    assert net_benefit([], [], 0.25) is None
    with pytest.raises(ValueError, match="threshold"):
        net_benefit([0, 1], [0.2, 0.3], 1.0)
