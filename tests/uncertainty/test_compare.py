import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

import bench
from bench.uncertainty.compare import comparable
from tests.metrics import slow


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    y, p, patient = slow.cohort(rng, 150, tied=False)
    other = np.clip(p + 0.15 * rng.normal(size=len(p)), 0.001, 0.999)
    return y, p, other, patient


@pytest.mark.parametrize("metric", [*comparable(), "average_precision"])
def test_difference_replicate_by_replicate(sample, metric):
    y, a, b, patient = sample
    found = bench.compare(y, a, b, patient, metric, replicates=400, seed=1)
    boot = bench.PatientBootstrap(patient, 400, 1)
    drawn = boot.replicates(y, a, metric) - boot.replicates(y, b, metric)
    assert found.difference == found.value_a - found.value_b
    assert found.se == pytest.approx(np.std(drawn, ddof=1), rel=1e-9)
    assert found.p == pytest.approx(2 * norm.sf(abs(found.difference) / found.se), rel=1e-9)
    reach = student.ppf(0.975, found.df) * found.se
    assert (found.low, found.high) == pytest.approx((found.difference - reach, found.difference + reach))
    swapped = bench.compare(y, b, a, patient, metric, replicates=400, seed=1)
    assert (swapped.difference, swapped.low, swapped.p) == pytest.approx(
        (-found.difference, -found.high, found.p)
    )


def test_values_are_those_of_evaluate(sample):
    y, a, b, patient = sample
    boot = bench.PatientBootstrap(patient, 100)
    first, second = (bench.evaluate(y, p, bootstrap=boot) for p in (a, b))
    for metric in comparable():
        found = bench.compare(y, a, b, metric=metric, bootstrap=boot)
        assert found.value_a == getattr(first, metric).value
        assert found.value_b == getattr(second, metric).value


def test_pairing_narrows_the_interval(sample):
    y, a, b, patient = sample
    paired = bench.compare(y, a, b, patient, replicates=500)
    first, second = (bench.evaluate(y, p, patient, replicates=500).auroc.se for p in (a, b))
    assert paired.se < 0.8 * np.hypot(first, second)


def test_twins_are_told_as_such(sample):
    y, a, _, patient = sample
    found = bench.compare(y, a, a**3, patient, replicates=100)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1.0)
    assert found.reason == "the difference is the same in every replicate"


def test_what_cannot_be_compared(sample):
    y, a, b, patient = sample
    assert bench.compare(np.zeros(len(y)), a, b, patient, replicates=50).reason == "one class only"
    with pytest.raises(ValueError, match="unknown metric 'ece'"):
        bench.compare(y, a, b, patient, "ece")
    with pytest.raises(ValueError, match="patient_id"):
        bench.compare(y, a, b)
