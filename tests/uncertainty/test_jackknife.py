import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression

from bench.metrics.recalibration_line import fit_line, fit_shift, line_deletions, shift_deletions
from bench.metrics.regression import moments
from bench.uncertainty.jackknife import (
    agreement_limits,
    deletion_interval,
)
from tests.metrics import slow


@pytest.fixture(scope="module")
def sample():
    y, p, patient = slow.cohort(np.random.default_rng(0), 70, tied=False)
    return y == 1, logit(p), np.unique(patient, return_inverse=True)[1]


def refits(positive, x, patient):
    """The line without each patient, fitted anew."""
    lines = []
    for number in range(patient.max() + 1):
        rest = patient != number
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[rest, None], positive[rest])
        lines.append((model.coef_[0, 0], model.intercept_[0]))
    return np.array(lines).T


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_one_newton_step_is_close_to_the_refit(sample):
    positive, x, patient = sample
    line = fit_line(positive, x)
    exact = refits(positive, x, patient) - np.array(line)[:, None]
    deletions = line_deletions(positive, x, line, patient)
    assert np.abs(deletions - exact).max() < 0.06 * np.abs(exact).max()
    for which in (0, 1):
        assert (deletions[which] ** 2).sum() == pytest.approx((exact[which] ** 2).sum(), rel=0.05)


def test_deletions_scale_with_the_log_odds(sample):
    positive, x, patient = sample
    small = 1e-4 * x
    line = fit_line(positive, small)
    deletions = line_deletions(positive, small, line, patient)
    plain = line_deletions(positive, x, fit_line(positive, x), patient)
    assert 1e-4 * deletions[0] == pytest.approx(plain[0], rel=1e-6)
    assert deletions[1] == pytest.approx(plain[1], rel=1e-6, abs=1e-9)


def test_shift_is_close_to_the_refit_and_weights_repeat(sample):
    positive, x, patient = sample
    shift = fit_shift(positive, x)
    exact = [fit_shift(positive[patient != i], x[patient != i]) - shift for i in range(70)]
    deletions = shift_deletions(positive, x, shift, patient)
    assert deletions == pytest.approx(exact, rel=0.1, abs=1e-3)
    weight = np.random.default_rng(1).integers(1, 4, len(x)).astype(float)
    copies = np.repeat(np.arange(len(x)), weight.astype(int))
    line, heavy = fit_line(positive, x, weight), fit_shift(positive, x, weight)
    assert line_deletions(positive, x, line, patient, weight) == pytest.approx(
        line_deletions(positive[copies], x[copies], line, patient[copies]), rel=1e-9, abs=1e-12
    )
    assert shift_deletions(positive, x, heavy, patient, weight) == pytest.approx(
        shift_deletions(positive[copies], x[copies], heavy, patient[copies]), rel=1e-9
    )


def test_jackknife_of_a_mean_is_students_interval():
    values = np.random.default_rng(2).normal(size=25)
    changes = (values.sum() - values) / 24 - values.mean()
    estimate = deletion_interval(values.mean(), changes)
    assert estimate.se == pytest.approx(values.std(ddof=1) / 5)
    reach = student.ppf(0.975, estimate.df) * estimate.se
    assert estimate.high - estimate.low == pytest.approx(2 * reach)
    assert estimate.df <= 24


def test_a_figure_that_one_patient_decides_has_no_interval():
    lost = deletion_interval(1.0, np.array([0.1, np.nan, -0.2]))
    assert lost.reason == "undefined without one patient, for 1 patients"
    assert deletion_interval(1.0, np.zeros(9)).se == 0.0
    assert deletion_interval(1.0, np.zeros(1)).reason == "fewer than two patients"


def test_one_positive_patient_leaves_no_line_without_them():
    positive = np.array([True, True, False, False, False, False])
    x = np.array([0.3, -0.4, 0.1, -0.8, 0.5, -0.1])
    estimate = deletion_interval(
        1.0, line_deletions(positive, x, fit_line(positive, x), np.array([0, 0, 1, 2, 3, 3]))
    )
    assert estimate.low is None or estimate.high - estimate.low > 5


def bland_altman(truth, prediction, patient, level=0.95):
    """MOVER step by step, every patient left out in turn (Zou 2013)."""
    difference = prediction - truth
    z = student.ppf(0.975, 1e9)
    bias, spread = difference.mean(), difference.std(ddof=1)
    names = np.unique(patient)
    rest = [difference[patient != name] for name in names]
    changes = (
        np.array([d.mean() for d in rest]) - bias,
        np.array([np.log(d.std(ddof=1)) for d in rest]) - np.log(spread),
    )
    reaches = []
    for change in changes:
        estimate = deletion_interval(0.0, change, level)
        reaches.append(estimate.high)
    b, s = reaches
    low_sd, high_sd = spread * np.exp(-s), spread * np.exp(s)
    upper = bias + z * spread
    lower = bias - z * spread
    return (
        (
            lower - np.sqrt(b**2 + z**2 * (high_sd - spread) ** 2),
            lower + np.sqrt(b**2 + z**2 * (spread - low_sd) ** 2),
        ),
        (
            upper - np.sqrt(b**2 + z**2 * (spread - low_sd) ** 2),
            upper + np.sqrt(b**2 + z**2 * (high_sd - spread) ** 2),
        ),
    )


def test_limits_of_agreement_are_mover_step_by_step():
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(30), rng.integers(1, 5, 30))
    truth = rng.normal(1.1, 0.2, len(patient))
    prediction = truth + rng.normal(0.05, 0.1, 30)[patient] + rng.normal(0, 0.05, len(patient))
    columns = moments(truth, prediction)
    of_patient = np.stack([np.bincount(patient, column) for column in columns]).astype(float)
    low, high = agreement_limits(columns.sum(axis=1), of_patient)
    for found, expected in zip((low, high), bland_altman(truth, prediction, patient), strict=True):
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-6)
        assert found.low < found.value < found.high
        assert found.method == "mover-t"
    assert high.high - high.value > high.value - high.low  # a spread is more uncertain upwards


def test_limits_of_agreement_without_an_interval():
    columns = moments(np.array([1.0, 2.0]), np.array([1.5, 1.5]))
    low, high = agreement_limits(columns.sum(axis=1), columns)
    assert low.reason == high.reason == "fewer than three patients"
    columns = moments(np.arange(5.0), np.arange(5.0))
    assert agreement_limits(columns.sum(axis=1), columns)[0].reason == "all differences are equal"


def test_slope_interval_holds_the_truth_with_few_patients():
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        patient = np.repeat(np.arange(60), 3)
        x = 1.2 * rng.normal(size=60)[patient] + 0.3 * rng.normal(size=180) - 1
        y = rng.random(60)[patient] < expit(0.8 * x)
        line = fit_line(y, x)
        estimate = deletion_interval(line.slope, line_deletions(y, x, line, patient)[0])
        held += estimate.low <= 0.8 <= estimate.high
    assert 180 <= held <= 199  # 95% of 200, four standard errors down
