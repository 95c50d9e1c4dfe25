import numpy as np
import pytest
from scipy.stats import t as student

import bench
from bench.metrics.decision import decision_at
from bench.uncertainty.curves import bin_shares, decision_estimates, net_benefit_difference
from tests.metrics import slow


@pytest.fixture(scope="module")
def sample():
    y, p, patient = slow.cohort(np.random.default_rng(0), 120, tied=False)
    return y, p, bench.PatientBootstrap(patient, 300)


def clustered_mean(values, patient):
    """Mean, standard error over patients and Satterthwaite's df, patient by patient."""
    names = sorted(set(patient))
    mean = values.mean()
    phi = np.array([sum(values[patient == name] - mean) for name in names]) / len(values)
    se = np.sqrt(len(names) / (len(names) - 1) * (phi**2).sum())
    spread = (phi**4).sum() - (phi**2).sum() ** 2 / len(names)
    return mean, se, min(2 * (phi**2).sum() ** 2 / spread, len(names) - 1)


def test_share_of_a_bin_has_wilsons_interval(sample):
    y, p, boot = sample
    inside = (p >= 0.2) & (p < 0.4)
    (found,) = bin_shares(boot.sample(y), np.where(inside, 0, 1), 1)
    share, se, df = clustered_mean(y[inside].astype(float), boot.patient_code[inside])
    size, z = share * (1 - share) / se**2, student.ppf(0.975, df)
    assert size < inside.sum()
    # Wilson: the shares whose own standard error reaches exactly to the observed one.
    for limit in (found.low, found.high):
        assert abs(share - limit) == pytest.approx(z * np.sqrt(limit * (1 - limit) / size), rel=1e-9)
    assert found.low < found.value < found.high


def test_a_bin_of_one_patient_has_no_limits_and_one_of_negatives_has_some(sample):
    y, _, boot = sample
    alone = np.arange(len(y)) == 0
    one, negative, empty = bin_shares(boot.sample(y), np.where(alone, 0, np.where(y == 0, 1, 3)), 3)
    assert one.low is None
    assert negative.value == negative.low == 0 < negative.high < 0.1
    assert empty.value is None


def test_difference_of_net_benefit_is_paired(sample):
    y, p, boot = sample
    other = np.clip(p + 0.1 * np.random.default_rng(1).normal(size=len(p)), 0, 1)
    for cut, found in zip([0.2, 0.4], net_benefit_difference(y, p, other, boot, [0.2, 0.4]), strict=True):
        gain = ((p >= cut).astype(float) - (other >= cut)) * np.where(y == 1, 1.0, -cut / (1 - cut))
        mean, se, df = clustered_mean(gain, boot.patient_code)
        reach = student.ppf(0.975, df) * se
        assert found.value == pytest.approx(mean)
        assert (found.low, found.high) == pytest.approx((mean - reach, mean + reach))
    (same,) = net_benefit_difference(y, p, p, boot, [0.2])
    assert (same.value, same.low) == (0.0, None)
    assert net_benefit_difference([], [], [], boot.select(np.zeros(len(y), bool))) == []
    with pytest.raises(ValueError, match="p_b has"):
        net_benefit_difference(y, p, p[1:], boot)


def test_decisions_at_a_threshold(sample):
    y, p, boot = sample
    found = decision_estimates(y, p, 0.4, boot)
    value = decision_at(y, p, 0.4)
    whole = {"sensitivity": y == 1, "specificity": y == 0, "ppv": p >= 0.4, "npv": p < 0.4}
    part = {"sensitivity": p >= 0.4, "specificity": p < 0.4, "ppv": y == 1, "npv": y == 0}
    for name, rows in whole.items():
        estimate = getattr(found, name)
        mean, se, df = clustered_mean(part[name][rows].astype(float), boot.patient_code[rows])
        assert estimate.value == pytest.approx(getattr(value, name)) == pytest.approx(mean)
        assert (estimate.se, estimate.df) == pytest.approx((se, df))
        assert 0 < estimate.low < estimate.value < estimate.high < 1
        assert estimate.method == "wilson-t"
    nobody = decision_estimates(y, p, 2.0, boot)
    assert nobody.ppv.reason == "no row to take a share of"
    assert nobody.sensitivity.value == nobody.sensitivity.low == 0.0
    assert 0 < nobody.sensitivity.high < 0.2
