import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

import bench
from bench.metrics import calibration
from bench.metrics.recalibration_line import (
    calibration_in_the_large,
    calibration_line,
    expit,
    recalibrated,
)
from tests.metrics import slow


@st.composite
def samples(draw):
    rows = draw(st.integers(2, 30))
    grid = st.sampled_from([0.0, 1 / 15, 0.2, 1 / 3, 7 / 15, 0.5, 0.7, 14 / 15, 1.0]) | st.floats(0, 1)
    p = np.array(draw(st.lists(grid, min_size=rows, max_size=rows)))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)))
    y[:2] = 0, 1
    weight = np.array(draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)), float)
    weight[:2] = np.maximum(weight[:2], 1)
    return y, p, weight


@given(samples())
def test_proper_scores_equal_scikit_learn(sample):
    y, p, weight = sample
    inside = np.clip(p, 1e-6, 1 - 1e-6)
    for row in (None, weight):
        assert bench.brier(y, p, row) == pytest.approx(brier_score_loss(y, p, sample_weight=row), abs=1e-14)
        assert calibration.log_loss(y, p, row) == pytest.approx(
            sklearn_log_loss(y, inside, sample_weight=row), rel=1e-12
        )


@given(samples(), st.sampled_from([1, 10, 15]))
def test_calibration_error_is_its_definition(sample, bins):
    y, p, weight = sample
    for row in (None, weight):
        assert bench.calibration_error(y, p, bins, weight=row) == pytest.approx(
            slow.calibration_error(y, p, bins, row), abs=1e-14
        )


def test_bins_are_closed_below_and_the_last_one_above():
    edges = calibration.bin_edges(np.empty(0), 15, "uniform")
    at_edges = np.arange(16) / 15
    assert calibration.bin_index(at_edges, edges).tolist() == [*range(15), 14]
    just_below = np.nextafter(at_edges[1:-1], 0)
    assert calibration.bin_index(just_below, edges).tolist() == list(range(14))


@given(samples())
def test_a_whole_weight_is_a_repetition(sample):
    y, p, weight = sample
    rows = np.repeat(np.arange(len(y)), weight.astype(int))
    for figure in (
        bench.brier,
        calibration.scaled_brier,
        calibration.log_loss,
        calibration.observed_expected,
        calibration.smooth_calibration_error,
        lambda y, p, weight=None: bench.calibration_error(y, p, 5, "quantile", weight),
    ):
        weighted, repeated = figure(y, p, weight=weight), figure(y[rows], p[rows])
        assert weighted == (None if repeated is None else pytest.approx(repeated, rel=1e-9, abs=1e-12))


def test_quantile_bins_hold_equal_shares():
    rng = np.random.default_rng(0)
    p = rng.random(1500) ** 3
    curve = calibration.reliability((rng.random(1500) < p).astype(int), p, 15, "quantile")
    assert curve.weight.min() >= 99
    assert curve.weight.max() <= 101
    assert curve.weight.sum() == 1500
    with pytest.raises(ValueError, match="strategy"):
        calibration.reliability([0, 1], [0.1, 0.2], 5, "equal")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        calibration.reliability([0, 1], [0.1, 0.2], 0)


def test_scaled_brier_of_the_prevalence_is_zero():
    y = np.array([0, 0, 0, 1])
    assert calibration.scaled_brier(y, np.full(4, 0.25)) == pytest.approx(0, abs=1e-15)
    assert calibration.scaled_brier(y, y.astype(float)) == 1.0
    assert calibration.scaled_brier([0, 0], [0.1, 0.2]) is None


def test_observed_over_expected():
    assert calibration.observed_expected([0, 1, 1], [0.2, 0.3, 0.5]) == 2.0
    assert calibration.observed_expected([0, 1], [0.0, 0.0]) is None


@given(samples())
def test_probabilities_outside_the_unit_interval_are_refused(sample):
    y, p, _ = sample
    p = p.copy()
    p[0] = 1.77
    for figure in (
        bench.brier,
        bench.calibration_error,
        calibration_line,
        calibration.smooth_calibration_error,
    ):
        with pytest.raises(ValueError, match=r"p must lie in \[0, 1\]; 1 value does not"):
            figure(y, p)


def loglik_line(y, p, weight=None):
    """The line by a general optimiser, then Newton in long double: an independent route."""
    x = np.log(np.clip(p, 1e-6, 1 - 1e-6) / (1 - np.clip(p, 1e-6, 1 - 1e-6)))
    w = np.ones(len(y)) if weight is None else weight
    start = minimize(
        lambda b: np.sum(w * (np.logaddexp(0, b[0] + b[1] * x) - y * (b[0] + b[1] * x))), [0, 1]
    ).x
    a, b = np.longdouble(start[0]), np.longdouble(start[1])
    x, w = x.astype(np.longdouble), w.astype(np.longdouble)
    for _ in range(20):
        q = 1 / (1 + np.exp(-(a + b * x)))
        g0, g1 = np.sum(w * (y - q)), np.sum(w * (y - q) * x)
        v = w * q * (1 - q)
        h00, h01, h11 = v.sum(), (v * x).sum(), (v * x * x).sum()
        det = h00 * h11 - h01**2
        a, b = a + (h11 * g0 - h01 * g1) / det, b + (h00 * g1 - h01 * g0) / det
    return float(b), float(a)


@pytest.mark.parametrize("seed", range(6))
def test_line_equals_a_converged_generalised_linear_model(seed):
    rng = np.random.default_rng(seed)
    y, p, _ = slow.cohort(rng, 120, tied=bool(seed % 2))
    p = p**1.7
    p[:3] = 0.0, 1.0, 1.0
    weight = rng.integers(0, 4, len(y)).astype(float)
    for row in (None, weight):
        slope, intercept = calibration_line(y, p, row)
        assert (slope, intercept) == pytest.approx(loglik_line(y, p, row), abs=1e-10)


def test_line_finds_what_was_put_in():
    rng = np.random.default_rng(1)
    x = rng.normal(-1, 1.5, 200_000)
    y = (rng.random(len(x)) < expit(0.3 + 0.8 * x)).astype(int)
    slope, intercept = calibration_line(y, expit(x))
    assert slope == pytest.approx(0.8, abs=0.02)
    assert intercept == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(
    ("y", "p"),
    [
        ([1, 1], [0.2, 0.4]),
        ([0, 1, 1], [0.3, 0.3, 0.3]),
        ([0, 0, 1, 1], [0.1, 0.2, 0.2, 0.9]),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.9]),
        ([], []),
    ],
)
def test_no_finite_line(y, p):
    assert calibration_line(y, p) is None


def test_calibration_in_the_large_makes_observed_equal_expected():
    y, p, _ = slow.cohort(np.random.default_rng(5), 80, tied=False)
    shift = calibration_in_the_large(y, p)
    moved = expit(shift + np.log(p / (1 - p)))
    assert moved.sum() == pytest.approx(y.sum(), rel=1e-12)
    assert calibration_in_the_large([0, 0], [0.1, 0.2]) is None


def test_recalibrating_with_the_own_line_gives_slope_one():
    y, p, _ = slow.cohort(np.random.default_rng(6), 80, tied=False)
    moved = recalibrated(p, calibration_line(y, p))
    assert calibration_line(y, moved) == pytest.approx((1, 0), abs=1e-9)


def kernel_smooth_error(y, p, sigma, mesh=20_001):
    """The smoothed residual by direct sums over images and reflections."""
    t = np.linspace(0, 1, mesh)
    density = np.zeros(mesh)
    for label, place in zip(y, p, strict=True):
        for image in (-2 + place, -place, place, 2 - place, 2 + place):
            density += (label - place) * np.exp(-0.5 * ((t - image) / sigma) ** 2)
    density /= sigma * np.sqrt(2 * np.pi) * len(y)
    return np.trapezoid(np.abs(density), t)


@pytest.mark.parametrize("power", [0.6, 1.0, 1.6])
def test_smooth_error_equals_direct_kernel_sums_at_its_own_bandwidth(power):
    rng = np.random.default_rng(7)
    p = rng.beta(1, 4, 400)
    y = (rng.random(400) < p).astype(int)
    error = calibration.smooth_calibration_error(y, p**power)
    # The error falls with the bandwidth, so there is one fixed point.
    assert kernel_smooth_error(y, p**power, error) == pytest.approx(error, rel=2e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("power", [0.6, 1.0, 1.6])
def test_smooth_error_agrees_with_relplot(power, monkeypatch):
    relplot = pytest.importorskip("relplot")
    monkeypatch.setattr(relplot.config, "smECE_mesh_pts", 5001)
    rng = np.random.default_rng(8)
    # Away from 0, because relplot counts the mass at the end of its grid once where reflection doubles it.
    p = 0.05 + 0.9 * rng.beta(1, 6, 5000)
    y = (rng.random(5000) < p).astype(int)
    ours = calibration.smooth_calibration_error(y, p**power)
    assert relplot.metrics.smECE_sigma(p**power, y, ours) == pytest.approx(ours, rel=2e-3)
    # Its own bandwidth is a multiple of 2**-10, the next one above.
    assert relplot.metrics.smECE(p**power, y) == pytest.approx(ours, abs=2**-10)


def test_smooth_error_of_a_perfect_and_of_a_wrong_prediction():
    assert calibration.smooth_calibration_error([0, 1], [0.0, 1.0]) == pytest.approx(0, abs=1e-6)
    assert calibration.smooth_calibration_error([0, 0], [1.0, 1.0]) == pytest.approx(1, abs=1e-3)
    assert calibration.smooth_calibration_error([], []) is None


@given(samples())
def test_brier_parts_add_up_and_equal_isotonic_regression(sample):
    y, p, weight = sample
    parts = calibration.brier_parts(y, p, weight)
    total = parts.miscalibration - parts.discrimination + parts.uncertainty
    assert total == pytest.approx(bench.brier(y, p, weight), abs=1e-12)
    # scikit-learn pools values that nearly agree, so ranks stand for the probabilities.
    rank = np.unique(p, return_inverse=True)[1]
    held = weight > 0
    fitted = IsotonicRegression().fit_transform(rank[held], y[held], sample_weight=weight[held])
    gained = (p - y)[held] ** 2 - (fitted - y[held]) ** 2
    assert parts.miscalibration == pytest.approx(np.average(gained, weights=weight[held]), abs=1e-9)
    assert parts.miscalibration >= -1e-12
    assert parts.discrimination >= -1e-12


def test_skill_is_the_gain_over_a_reference():
    y, p, _ = slow.cohort(np.random.default_rng(9), 60)
    weight = np.random.default_rng(9).integers(1, 4, len(y)).astype(float)
    other = np.clip(p + 0.2, 0, 1)
    expected = 1 - brier_score_loss(y, p, sample_weight=weight) / brier_score_loss(
        y, other, sample_weight=weight
    )
    assert calibration.brier_skill(y, p, other, weight) == pytest.approx(expected)
    assert calibration.brier_skill(y, p, y.mean()) == pytest.approx(calibration.scaled_brier(y, p))
    assert calibration.brier_skill(y, p, p) == 0
    assert calibration.brier_skill(y, p, y) is None
    with pytest.raises(ValueError, match=r"reference must lie in \[0, 1\]"):
        calibration.brier_skill(y, p, 1.5)


@pytest.mark.parametrize("bins", [1.5, "ten", True, None])
def test_a_number_of_bins_is_whole(bins):
    with pytest.raises(TypeError, match="bins must be a whole number"):
        bench.calibration_error([0, 1], [0.2, 0.7], bins)
