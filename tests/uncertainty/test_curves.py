import numpy as np
import pytest

import bench
from bench.metrics.decision import decision_at, net_benefit
from bench.uncertainty.curves import decision_band, decision_estimates, reliability_band
from tests.metrics import slow


@pytest.fixture(scope="module")
def sample():
    y, p, patient = slow.cohort(np.random.default_rng(0), 120, tied=False)
    return y, p, bench.PatientBootstrap(patient, 300)


def resampled(boot, y, p):
    for counts in boot.counts:
        rows = np.repeat(np.arange(len(y)), counts[boot.patient_code])
        yield y[rows], p[rows]


def test_reliability_band_is_that_of_resampled_bins(sample):
    y, p, boot = sample
    curve, band = reliability_band(y, p, boot, bins=5)
    drawn = []
    for label, guess in resampled(boot, y, p):
        inside = (guess >= 0.2) & (guess < 0.4)
        drawn.append(label[inside].mean())
    assert (band.low[1], band.high[1]) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-12)
    held = np.isfinite(band.low)
    assert (band.low[held] <= curve.observed[held]).all()
    assert (curve.observed[held] <= band.high[held]).all()


def test_bins_that_are_often_empty_have_no_limits(sample):
    y, p, boot = sample
    p = p.copy()
    p[0] = 1.0
    p[1:] *= 0.7
    _, band = reliability_band(y, p, boot, bins=10)
    assert np.isnan(band.low[-1])
    assert np.isnan(band.low[-2])
    assert reliability_band([], [], boot.select(np.zeros(len(y), bool))) is None


def test_decision_band_is_that_of_resampled_rows(sample):
    y, p, boot = sample
    curve, band = decision_band(y, p, boot)
    drawn = [net_benefit(label, guess, 0.3) for label, guess in resampled(boot, y, p)]
    k = curve.threshold.tolist().index(0.3)
    assert (band.low[k], band.high[k]) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-12)
    assert curve.net_benefit[k] == pytest.approx(net_benefit(y, p, 0.3))


def test_decisions_at_a_threshold(sample):
    y, p, boot = sample
    found = decision_estimates(y, p, 0.4, boot)
    value = decision_at(y, p, 0.4)
    for name in ("sensitivity", "specificity", "ppv", "npv"):
        estimate = getattr(found, name)
        assert estimate.value == getattr(value, name)
        drawn = [getattr(decision_at(label, guess, 0.4), name) for label, guess in resampled(boot, y, p)]
        assert estimate.se == pytest.approx(np.std(drawn, ddof=1), rel=1e-9)
        assert 0 < estimate.low < estimate.value < estimate.high < 1
        assert estimate.method == "logit-t"
    nobody = decision_estimates(y, p, 2.0, boot)
    assert nobody.ppv.reason == "no row to take a share of"
    assert nobody.sensitivity.value == 0.0
    assert nobody.sensitivity.low is None
