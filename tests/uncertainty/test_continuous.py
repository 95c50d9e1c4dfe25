import numpy as np
import pytest

import bench
from bench.metrics.regression import agreement


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(120), rng.integers(1, 6, 120))
    truth = rng.normal(4.6, 0.7, 120)[patient]
    return (
        truth,
        truth + 0.1 + 0.3 * rng.normal(size=120)[patient] + 0.2 * rng.normal(size=len(patient)),
        patient,
    )


def test_values_and_errors_are_those_of_the_replicates(sample):
    truth, guess, patient = sample
    boot = bench.PatientBootstrap(patient, 400)
    evaluation = bench.evaluate_continuous(truth, guess, bootstrap=boot)
    assert (evaluation.images, evaluation.patients) == (len(truth), 120)
    for name, estimate in evaluation.items():
        assert estimate.value == getattr(agreement(truth, guess), name)
        drawn = []
        for counts in boot.counts:
            rows = np.repeat(np.arange(len(truth)), counts[boot.patient_code])
            drawn.append(getattr(agreement(truth[rows], guess[rows]), name))
        error = np.sqrt(120 / 119) * np.std(drawn, ddof=1)
        assert estimate.low < estimate.value < estimate.high
        assert 1 <= estimate.df <= 119
        if estimate.method == "mover-t":  # by the jackknife, without replicates
            assert estimate.se == pytest.approx(error, rel=0.1)
            continue
        assert estimate.se == pytest.approx(error, rel=1e-6)
        limits = np.quantile(drawn, [0.025, 0.975])
        assert (estimate.percentile_low, estimate.percentile_high) == pytest.approx(tuple(limits), rel=1e-6)


def test_pearson_stays_below_one(sample):
    truth, _, patient = sample
    rng = np.random.default_rng(1)
    evaluation = bench.evaluate_continuous(
        truth, truth + 1e-3 * rng.normal(size=len(truth)), patient, replicates=300
    )
    assert evaluation.pearson.low < evaluation.pearson.value < evaluation.pearson.high <= 1
    assert evaluation.pearson.method == "fisher-z-t"


def test_undefined_figures_have_reasons():
    evaluation = bench.evaluate_continuous(
        [4.0] * 6, [4.0, 4.1, 4.2, 3.9, 4.0, 4.3], list("aabbcc"), replicates=100
    )
    assert evaluation.r2.value is None
    assert "constant" in evaluation.r2.reason
    assert evaluation.mae.low is not None
    with pytest.raises(ValueError, match="patient_id"):
        bench.evaluate_continuous([1.0], [1.0])
    with pytest.raises(ValueError, match="prediction holds 1"):
        bench.evaluate_continuous([1.0, 2.0], [1.0, np.nan], ["a", "b"])
    empty = bench.PatientBootstrap(["a"], 50).select(np.zeros(1, bool))
    assert bench.evaluate_continuous([], [], bootstrap=empty).mae.reason == "no images"
