import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from bench.metrics.smooth_calibration import (
    KNOT_SHARES,
    RIDGE,
    _quantiles,
    natural_spline,
    smooth_calibration,
)


def test_natural_spline_is_smooth_and_linear_outside_its_knots():
    knots = np.array([-1.0, 0.2, 0.7, 2.0])
    x = np.linspace(-4, 6, 200_001)
    basis = natural_spline(x, knots)
    assert basis.shape == (3, len(x))
    step = x[1] - x[0]
    bend = np.diff(basis, 2, axis=1) / step**2
    outside = (x[1:-1] < -1.001) | (x[1:-1] > 2.001)
    assert np.abs(bend[:, outside]).max() < 1e-3
    assert np.abs(bend[1:, ~outside]).max() > 0.3
    assert np.abs(np.diff(bend, axis=1)).max() < 0.01  # no jump in the curvature
    # The textbook's formula (Harrell 2015, 2.4.5) at one place inside.
    at, (a, _, c, d) = 0.5, knots
    cube = lambda t: max(t, 0.0) ** 3  # noqa: E731
    expected = (cube(at - a) - cube(at - c) * (d - a) / (d - c) + cube(at - d) * (c - a) / (d - c)) / (
        d - a
    ) ** 2
    assert natural_spline(np.array([at]), knots)[1, 0] == pytest.approx(expected)


def regression(y, p, weight):
    """The same curve by scikit-learn, from a design made with quantiles counted by hand."""
    x = logit(np.clip(p, 1e-6, 1 - 1e-6))
    rows = np.repeat(x, weight)
    ranked = np.sort(rows)
    knots = np.array(
        [ranked[max(0, int(np.ceil(q * len(ranked) - 1e-9)) - 1)] for q in (0.05, 0.35, 0.65, 0.95)]
    )
    basis = natural_spline(x, knots).T
    repeated = natural_spline(rows, knots).T
    basis = (basis - repeated.mean(axis=0)) / repeated.std(axis=0)
    scale = len(y) / weight.sum()
    model = LogisticRegression(C=1 / RIDGE, tol=1e-10, max_iter=10_000)
    model.fit(basis, y, sample_weight=weight * scale)
    return model.predict_proba(basis)[:, 1]


@pytest.mark.parametrize("heavy", [False, True])
def test_distances_are_those_of_scikit_learns_fit(heavy):
    rng = np.random.default_rng(0)
    p = rng.beta(1, 4, 500)
    y = rng.random(500) < expit(0.7 * logit(p) - 0.3)
    weight = rng.integers(1, 4, 500) if heavy else np.ones(500, int)
    smooth = smooth_calibration(y, p, weight=weight if heavy else None)
    distance = np.repeat(np.abs(regression(y, p, weight) - p), weight)
    assert smooth.ici == pytest.approx(distance.mean(), rel=1e-3)
    assert smooth.e50 == pytest.approx(np.median(distance), rel=0.01)
    assert smooth.e90 == pytest.approx(np.quantile(distance, 0.9), rel=0.01)
    assert smooth.emax == pytest.approx(distance.max(), rel=1e-3)


def test_a_curve_of_many_images_is_the_true_one():
    rng = np.random.default_rng(1)
    p = rng.beta(2, 5, 200_000)
    truth = lambda q: expit(0.8 * logit(q) - 0.2 + 0.1 * np.sin(logit(q)))  # noqa: E731
    smooth = smooth_calibration(rng.random(len(p)) < truth(p), p)
    middle = (smooth.predicted > np.quantile(p, 0.01)) & (smooth.predicted < np.quantile(p, 0.99))
    assert smooth.observed[middle] == pytest.approx(truth(smooth.predicted[middle]), abs=0.01)
    assert smooth.ici == pytest.approx(np.abs(truth(p) - p).mean(), rel=0.05)


def test_separated_and_constant_predictions_stay_finite():
    perfect = smooth_calibration([0, 0, 1, 1] * 10, [0.1, 0.2, 0.8, 0.9] * 10)
    assert 0 <= perfect.ici < 0.2
    assert np.isfinite(perfect.observed).all()
    constant = smooth_calibration([0, 1, 0, 0] * 10, np.full(40, 0.5))
    assert (constant.ici, constant.emax) == pytest.approx((0.25, 0.25))
    assert smooth_calibration([1, 1], [0.5, 0.6]) is None
    assert smooth_calibration([], []) is None


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 5, 40]), st.sampled_from([2, 3, 50]))
def test_distances_are_ordered_shares(seed, rows, levels):
    rng = np.random.default_rng(seed)
    p = np.round(rng.random(rows) * levels) / levels
    y = np.arange(rows) % 2
    smooth = smooth_calibration(y, p)
    assert 0 <= smooth.e50 <= smooth.e90 <= smooth.emax <= 1
    assert smooth.ici <= smooth.emax + 1e-12
    assert (np.diff(smooth.predicted) > 0).all()


@pytest.mark.parametrize("rows", [1, 2, 20, 999, 1000])
def test_quantiles_without_weights_are_those_of_equal_weights(rows):
    values = np.random.default_rng(rows).integers(0, rows, rows) / 7
    shares, unit = np.append(np.linspace(0, 1, 41), KNOT_SHARES), np.ones(rows)
    expected = np.quantile(values, shares, method="inverted_cdf", weights=unit)
    assert np.array_equal(_quantiles(values, shares, unit), expected)
