import numpy as np
import pytest
from scipy.stats import t as student

import bench
from bench.metrics.decision import decision_at, decision_curve
from bench.uncertainty.curves import (
    benefit_intervals,
    bin_shares,
    decision_estimates,
    few_positives_warning,
    net_benefit_difference,
)
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
    df = 2 * (phi**2).sum() ** 2 / spread if spread > 0 else np.inf
    return mean, se, min(df, len(names) - 1)


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


@pytest.mark.parametrize("weighted", [False, True])
def test_weight_of_the_chosen_rows_of_each_patient(sample, weighted):
    y, p, boot = sample
    weight = np.random.default_rng(1).random(len(y)) if weighted else None
    labelled = boot.sample(y, weight)
    chosen = p >= 0.3
    expected = [
        sum(labelled.unit[chosen & (labelled.patient == place)]) for place in range(len(boot.patients))
    ]
    assert labelled.patient_weight(chosen) == pytest.approx(expected, rel=1e-12)


def test_a_bin_of_one_patient_has_no_limits_and_one_of_negatives_has_some(sample):
    y, _, boot = sample
    alone = np.arange(len(y)) == 0
    one, negative, empty = bin_shares(boot.sample(y), np.where(alone, 0, np.where(y == 0, 1, 3)), 3)
    assert one.low is None
    assert negative.value == negative.low == 0 < negative.high < 0.1
    assert empty.value is None


def wilson(share, se, df, patient):
    """Wilson's limits as roots of the equation that defines them."""
    images = np.bincount(patient)
    inside = 0 < share < 1
    size = share * (1 - share) / se**2 if inside else images.sum() ** 2 / (images**2).sum()
    size, z = min(size, len(patient)), student.ppf(0.975, df)
    coefficients = [1 + z**2 / size, -(2 * share + z**2 / size), share**2]
    return sorted(np.clip(np.real(np.roots(coefficients)), 0, 1))


def net_benefit_limits(y, called, cut, patient):
    """Limits of a net benefit by MOVER, step by step."""
    odds = cut / (1 - cut)
    parts = (called & (y == 1)).astype(float), (called & (y == 0)).astype(float)
    means = [clustered_mean(part, patient) for part in parts]
    limits = [wilson(share, se, df, patient) for share, se, df in means]
    sums = [np.bincount(patient, part - part.mean()) for part in parts]
    size = np.sqrt((sums[0] @ sums[0]) * (sums[1] @ sums[1]))
    r = sums[0] @ sums[1] / size if size > 0 else 0.0
    distances = np.abs(np.array(limits) - [[parts[0].mean()], [parts[1].mean()]])
    (hits_down, hits_up), (alarms_down, alarms_up) = distances * [[1], [odds]]
    value = parts[0].mean() - odds * parts[1].mean()
    down = np.sqrt(hits_down**2 + alarms_up**2 - 2 * r * hits_down * alarms_up)
    up = np.sqrt(hits_up**2 + alarms_down**2 - 2 * r * hits_up * alarms_down)
    return value - down, value + up


def test_net_benefit_has_limits_by_mover(sample):
    y, p, boot = sample
    cuts = np.array([0.3, 0.95])
    values = decision_curve(y, p, cuts).net_benefit
    estimates = benefit_intervals(boot.sample(y), np.searchsorted(cuts, p, side="right"), cuts, values)
    for cut, value, estimate in zip(cuts, values, estimates, strict=True):
        expected = net_benefit_limits(y, p >= cut, cut, boot.patient_code)
        assert (estimate.low, estimate.high) == pytest.approx(expected, rel=1e-7)
        assert estimate.low < value < estimate.high


def test_net_benefit_of_few_positive_patients_is_warned_about():
    patient = np.arange(200) // 2
    y, p = (patient < 3).astype(int), np.linspace(0.9, 0.1, 200)
    boot = bench.PatientBootstrap(patient, 20)
    warning = few_positives_warning(boot.sample(y))
    assert warning.startswith("3 patients with a positive image (fewer than 20)")
    assert few_positives_warning(boot.sample(patient < 20)) == ""
    rare = (np.arange(200) < 3).astype(int)
    (warning,) = net_benefit_difference(rare, p, p[::-1], boot, [0.2])[0].warnings
    assert warning.startswith("1.5% of the images are positive (fewer than 2%)")
    assert net_benefit_difference(y, p, p[::-1], boot, [0.2])[0].warnings == ()


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
    estimates = decision_estimates(y, p, 0.4, boot)
    value = decision_at(y, p, 0.4)
    whole = {"sensitivity": y == 1, "specificity": y == 0, "ppv": p >= 0.4, "npv": p < 0.4}
    part = {"sensitivity": p >= 0.4, "specificity": p < 0.4, "ppv": y == 1, "npv": y == 0}
    for name, rows in whole.items():
        estimate = getattr(estimates, name)
        mean, se, df = clustered_mean(part[name][rows].astype(float), boot.patient_code[rows])
        assert estimate.value == pytest.approx(getattr(value, name)) == pytest.approx(mean)
        assert (estimate.se, estimate.df) == pytest.approx((se, df))
        assert 0 < estimate.low < estimate.value < estimate.high < 1
        assert estimate.method == "wilson-t"
    nobody = decision_estimates(y, p, 2.0, boot)
    assert nobody.ppv.reason == "no row to take a share of"
    assert nobody.sensitivity.value == nobody.sensitivity.low == 0.0
    assert 0 < nobody.sensitivity.high < 0.2
