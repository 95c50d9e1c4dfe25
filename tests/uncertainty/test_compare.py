import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

import bench
from bench.metrics import influence
from bench.metrics.score_ranking import ScoreRanking
from bench.uncertainty.compare import comparable
from bench.uncertainty.family import compare_all_pairs
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
    comparison = bench.compare(y, a, b, patient, metric, replicates=400, seed=1)
    boot = bench.PatientBootstrap(patient, 400, 1)
    drawn = boot.replicates(y, a, metric) - boot.replicates(y, b, metric)
    assert comparison.difference == comparison.value_a - comparison.value_b
    # Recalibration lines have the jackknife's error, which is not that of the replicates to the last digit.
    exact = not metric.startswith("calibration")
    error = np.sqrt(150 / 149) * np.std(drawn, ddof=1)
    assert comparison.se == pytest.approx(error, rel=1e-9 if exact else 0.15)
    assert comparison.p == pytest.approx(
        2 * student.sf(abs(comparison.difference) / comparison.se, comparison.df), rel=1e-9
    )
    assert (comparison.p < 0.05) == (comparison.low > 0 or comparison.high < 0)
    reach = student.ppf(0.975, comparison.df) * comparison.se
    assert (comparison.low, comparison.high) == pytest.approx(
        (comparison.difference - reach, comparison.difference + reach)
    )
    swapped = bench.compare(y, b, a, patient, metric, replicates=400, seed=1)
    assert (swapped.difference, swapped.low, swapped.p) == pytest.approx(
        (-comparison.difference, -comparison.high, comparison.p)
    )


def test_values_are_those_of_evaluate(sample):
    y, a, b, patient = sample
    boot = bench.PatientBootstrap(patient, 100)
    first, second = (bench.evaluate(y, p, bootstrap=boot) for p in (a, b))
    for metric in comparable():
        comparison = bench.compare(y, a, b, metric=metric, bootstrap=boot)
        assert comparison.value_a == getattr(first, metric).value
        assert comparison.value_b == getattr(second, metric).value


def test_limits_stay_within_the_range_of_differences():
    """Two opposite scores of three patients: the t interval alone would reach below a difference of -1."""
    y, a, b, patient = [0, 1, 0, 1], [0.0, 1.0, 0.4, 0.7], [0.9, 0.1, 0.5, 0.6], [1, 1, 2, 3]
    comparison = bench.compare(y, a, b, patient, "brier", replicates=200)
    reach = student.ppf(0.975, comparison.df) * comparison.se
    assert comparison.difference - reach < -1
    assert comparison.low == -1
    assert comparison.high == pytest.approx(min(comparison.difference + reach, 1))
    losses = bench.compare(y, a, b, patient, "log_loss", replicates=200)
    assert losses.low == pytest.approx(losses.difference - student.ppf(0.975, losses.df) * losses.se)


def test_pairing_narrows_the_interval(sample):
    y, a, b, patient = sample
    paired = bench.compare(y, a, b, patient, replicates=500)
    first, second = (bench.evaluate(y, p, patient, replicates=500).auroc.se for p in (a, b))
    assert paired.se < 0.8 * np.hypot(first, second)


def test_identical_rankings_differ_by_exactly_zero(sample):
    y, a, _, patient = sample
    comparison = bench.compare(y, a, a**3, patient, replicates=100)
    assert (comparison.difference, comparison.low, comparison.high, comparison.p) == (0, 0, 0, 1.0)
    assert comparison.reason == "the difference is the same in every replicate"


def test_what_cannot_be_compared(sample):
    y, a, b, patient = sample
    assert bench.compare(np.zeros(len(y)), a, b, patient, replicates=50).reason == "one class only"
    with pytest.raises(ValueError, match="unknown metric 'ece'"):
        bench.compare(y, a, b, patient, "ece")
    with pytest.raises(ValueError, match="patient_id"):
        bench.compare(y, a, b)


def test_errors_name_the_argument_that_was_passed(sample):
    y, a, b, patient = sample
    for arguments, message in (
        ((y, a, b[1:], patient), f"p_b has {len(b) - 1} rows, y has {len(y)}"),
        ((y, a, b, patient[1:]), f"patient_id has {len(b) - 1} rows, y has {len(y)}"),
        ((y, np.stack([a, a], 1), b, patient), r"p_a must have one dimension.*p_a\[:, 1\]"),
        ((y, a, np.where(b == b[0], np.nan, b), patient), "p_b holds 1 values that are NaN"),
        ((y, pd.Series(a), pd.Series(b)[::-1], patient), "p_b and p_a have different pandas indexes"),
    ):
        with pytest.raises(ValueError, match=message):
            bench.compare(*arguments)
    with pytest.raises(ValueError, match=r"p_b must lie in \[0, 1\]"):
        bench.compare(y, a, 2 + b, patient, "brier")


def test_doubtful_differences_say_what_simulation_showed():
    rng = np.random.default_rng(1)
    y = np.arange(2000) < 30
    a, b = (np.clip(0.02 + 0.3 * y + 0.02 * rng.random(2000), 0, 1) for _ in range(2))
    a[:3], b[40:43] = 0.02, 0.4
    patient = np.arange(2000)
    brier = bench.compare(y, a, b, patient, "brier", replicates=300)
    assert any("1.5% of the images are positive" in warning for warning in brier.warnings)
    area = bench.compare(y, a, b, patient, replicates=300)
    assert any("AUROC above 0.97" in warning for warning in area.warnings)
    slope = bench.compare(y, a, b, patient, "calibration_slope", replicates=300)
    assert any("93% coverage at a prevalence of 1%" in warning for warning in slope.warnings)
    many = bench.compare(np.arange(2000) < 900, a, b, patient, "brier", replicates=300)
    assert many.warnings == ()


def test_a_pair_has_the_p_value_and_interval_of_a_board_unadjusted(sample):
    y, a, b, patient = sample
    boot = bench.PatientBootstrap(patient, 400)
    drawn = [boot.replicates(y, p) for p in (a, b)]
    rankings = [ScoreRanking.of(y == 1, p) for p in (a, b)]
    influences = [boot.sample(y).by_patient(influence.auroc(ranking)) for ranking in rankings]
    board = compare_all_pairs(drawn, [bench.auroc(y, p) for p in (a, b)], influences)
    comparison = bench.compare(y, a, b, bootstrap=boot)
    assert comparison.p == pytest.approx(board.p[0, 1], rel=1e-9)
    assert (comparison.se, comparison.df) == pytest.approx((board.se[0, 1], board.df[0, 1]), rel=1e-9)
    low, high = board.unadjusted_interval(1)
    assert (comparison.low, comparison.high) == pytest.approx((low[0], high[0]), rel=1e-9)
