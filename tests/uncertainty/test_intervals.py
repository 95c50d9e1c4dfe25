import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from bench.uncertainty.intervals import (
    clipped_to,
    percentile_limits,
    sandwich_interval,
    satterthwaite,
    t_interval,
    t_p_value,
    widened,
    with_warnings,
)

RNG = np.random.default_rng(0)


def test_degrees_of_freedom_of_equal_and_of_unequal_influences():
    assert satterthwaite(np.ones(40)) == 39
    phi = RNG.normal(size=200_000)
    # For a normal influence the kurtosis is 3, so that df = 2 P / (3 - 1) = P.
    assert satterthwaite(phi) == pytest.approx(len(phi), rel=0.02)
    few = np.append(np.zeros(1000), [5.0, -5.0])
    assert satterthwaite(few) == pytest.approx(2 * 50**2 / (2 * 625 - 2500 / 1002), rel=1e-12)
    assert satterthwaite(np.append(np.zeros(50), 1.0)) == pytest.approx(2 / (1 - 1 / 51), rel=1e-12)
    assert satterthwaite(np.zeros(10)) == 9


@pytest.mark.parametrize("patients", [2, 3, 4, 10])
def test_degrees_of_freedom_are_at_most_one_less_than_patients(patients):
    for _ in range(20):
        phi = RNG.normal(size=patients)
        assert 1 <= satterthwaite(phi - phi.mean()) <= patients - 1
        assert satterthwaite(phi - phi.mean()) == pytest.approx(satterthwaite((phi - phi.mean())[::-1]))
    # With two or three patients the formula is 1/0 or 12, whatever they are.
    assert satterthwaite(np.array([0.3, -0.3])) == 1
    assert satterthwaite(np.array([0.1, 0.2, -0.3])) == 2


@pytest.mark.parametrize("patients", [2, 3, 5, 20])
def test_interval_of_a_mean_of_patients_is_students(patients):
    values = RNG.normal(size=patients)
    # Every sample with replacement of P patients, each as often as it is drawn: no Monte-Carlo error.
    if patients <= 5:
        draws = np.array(list(np.ndindex(*[patients] * patients)))
    else:
        draws = RNG.integers(0, patients, (200_000, patients))
    estimate = t_interval(values.mean(), values[draws].mean(axis=1), 1e6, clusters=patients)
    expected = student.interval(0.95, patients - 1, values.mean(), values.std(ddof=1) / np.sqrt(patients))
    ddof = np.sqrt(len(draws) / (len(draws) - 1))  # the enumeration is a population, not a sample of one
    half = (expected[1] - expected[0]) / 2 * (ddof if patients <= 5 else 1)
    assert estimate.df == patients - 1
    assert estimate.high - estimate.value == pytest.approx(half, rel=1e-9 if patients <= 5 else 0.01)


def test_fewer_than_two_patients_give_no_interval():
    estimate = t_interval(0.5, RNG.random(50), 10, clusters=1)
    assert (estimate.low, estimate.value) == (None, 0.5)
    assert "fewer than two patients" in estimate.reason


def test_least_standard_error_counts_where_replicates_are_narrower():
    drawn = expit(1.4 + 0.2 * RNG.normal(size=1000))
    narrow = t_interval(0.8, drawn, 12.5, "logit", 1e-4, least_se=1e-6)
    assert narrow == t_interval(0.8, drawn, 12.5, "logit", 1e-4)
    wide = t_interval(0.8, drawn, 12.5, "logit", 1e-4, least_se=0.1, clusters=40)
    factor = np.sqrt(40 / 39)
    reach = student.ppf(0.975, 12.5) * factor * 0.1 / (0.8 * 0.2)
    assert (wide.low, wide.high) == pytest.approx(tuple(expit(logit(0.8) + np.array([-reach, reach]))))
    assert wide.se == pytest.approx(factor * 0.1)


def test_limits_stay_in_the_range_of_the_metric():
    drawn = 0.9 * np.exp(0.3 * RNG.normal(size=500))
    assert t_interval(0.9, drawn, 5, "log").high > 1
    estimate = t_interval(0.9, drawn, 5, "log", bounds=(0, 1))
    assert estimate.high == 1
    assert clipped_to(estimate, (0, 1)).percentile_high == 1
    assert sandwich_interval(0.1, RNG.normal(size=9), bounds=(0, np.inf)).low == 0


def test_perfect_scores_give_no_interval_on_any_scale():
    for scale in ("identity", "log", "logit"):
        estimate = t_interval(0.0, np.zeros(2000), 20, scale, 1e-300)
        assert (estimate.value, estimate.low, estimate.se) == (0.0, None, 0.0)
        assert "all replicates are equal" in estimate.reason
    assert "no patient differs" in sandwich_interval(0.0, np.zeros(12)).reason


def test_p_value_is_that_of_students_test():
    rng = np.random.default_rng(3)
    values = rng.normal(0.4, 1, 15)
    se = values.std(ddof=1) / np.sqrt(15)
    assert t_p_value(values.mean(), se, 14) == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert t_p_value([0.0, 3.0], [0.0, 1.0], [5, 1]) == pytest.approx([1.0, 2 * student.sf(3, 1)])


def test_logit_t_is_its_formula():
    drawn = expit(1.4 + 0.2 * RNG.normal(size=1000))
    estimate = t_interval(0.8, drawn, 12.5, "logit", 1e-4)
    spread = np.std(logit(drawn), ddof=1)
    reach = student.ppf(0.975, 12.5) * spread
    assert (estimate.low, estimate.high) == pytest.approx(
        tuple(expit(logit(0.8) + np.array([-reach, reach]))), rel=1e-12
    )
    assert estimate.se == pytest.approx(np.std(drawn, ddof=1))
    assert (estimate.percentile_low, estimate.percentile_high) == pytest.approx(
        tuple(np.quantile(drawn, [0.025, 0.975]))
    )
    assert (estimate.method, estimate.df, estimate.undefined) == ("logit-t", 12.5, 0)


def test_replicates_at_the_end_of_the_scale_are_moved_inwards():
    drawn = np.append(expit(3 + 0.3 * RNG.normal(size=999)), 1.0)
    near = 0.5 / 500
    estimate = t_interval(0.95, drawn, 30, "logit", near)
    spread = np.std(logit(np.clip(drawn, near, 1 - near)), ddof=1)
    assert estimate.high == pytest.approx(expit(logit(0.95) + student.ppf(0.975, 30) * spread))
    assert estimate.high < 1


def test_an_interval_holds_its_value():
    drawn = np.append(np.full(995, 1.0), [0.9] * 5)
    estimate = t_interval(1.0, drawn, 5, "logit", 0.01)
    assert estimate.low < estimate.high == 1.0


def test_scales_and_levels():
    drawn = np.exp(0.1 * RNG.normal(size=500))
    on_log = t_interval(1.0, drawn, 20, "log")
    assert on_log.low * on_log.high == pytest.approx(1.0)
    plain = t_interval(1.0, drawn, 20)
    assert plain.low + plain.high == pytest.approx(2.0)
    narrow = t_interval(1.0, drawn, 20, level=0.8)
    assert plain.low < narrow.low < narrow.high < plain.high


def test_undefined_replicates_are_counted_and_beyond_one_percent_refused():
    drawn = RNG.normal(size=1000)
    drawn[:10] = np.nan
    estimate = t_interval(0.0, drawn, 20)
    assert (estimate.undefined, estimate.method) == (10, "t")
    drawn[10] = np.nan
    refused = t_interval(0.0, drawn, 20)
    assert (refused.value, refused.low, refused.se, refused.percentile_low) == (0.0, None, None, None)
    assert refused.reason == "undefined in 11 of 1000 replicates (more than 1%)"


def test_equal_replicates_give_no_interval():
    estimate = t_interval(0.5, np.full(100, 0.5), 20)
    assert (estimate.low, estimate.se) == (None, 0.0)
    assert "equal" in estimate.reason
    assert t_interval(0.5, np.array([0.5]), 20).reason == "fewer than two replicates"


def test_percentiles_are_numpys():
    for size in (2, 3, 99, 2000):
        values = RNG.normal(size=size)
        for level in (0.5, 0.95):
            expected = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
            assert percentile_limits(values, level) == pytest.approx(tuple(expected), abs=1e-14)


def test_sandwich_of_a_mean_is_the_t_interval_of_a_mean():
    values = RNG.normal(3, 2, 80)
    estimate = sandwich_interval(values.mean(), (values - values.mean()) / 80)
    assert estimate.se == pytest.approx(values.std(ddof=1) / np.sqrt(80), rel=1e-12)
    assert estimate.method == "sandwich-t"
    assert sandwich_interval(1.0, np.zeros(1)).reason == "fewer than two patients"


def test_warnings_name_their_numbers():
    few = with_warnings(t_interval(0.0, RNG.normal(size=100), 4.2), 13)
    assert few.warnings == (
        "13 patients with a positive image (fewer than 20)",
        "4.2 degrees of freedom (fewer than 10)",
    )
    assert with_warnings(t_interval(0.0, RNG.normal(size=100), 30), 50).warnings == ()


def test_widening_takes_the_outer_limit():
    estimate = t_interval(0.5, np.clip(0.5 + 0.1 * RNG.standard_exponential(500), 0, 0.99), 60, "logit")
    wide = widened(estimate)
    assert wide.low == min(estimate.low, estimate.percentile_low)
    assert wide.high == max(estimate.high, estimate.percentile_high) > estimate.high
    assert wide.method == "logit-t or percentile"
    bare = sandwich_interval(1.0, RNG.normal(size=30))
    assert widened(bare) == bare
