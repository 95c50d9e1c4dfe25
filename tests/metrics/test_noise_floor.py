import numpy as np
import pytest

from bench.metrics.calibration import (
    calibration_error,
    mesh_shares,
    smooth_calibration_error,
    smooth_errors,
)
from bench.metrics.kernels.scan import LANES
from bench.metrics.noise_floor import binned_floor, sign_blocks, smooth_floor
from tests.metrics import slow


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    y, p, patient = slow.cohort(rng, 60, tied=False)
    return y, p, np.unique(patient, return_inverse=True)[1]


def test_signs_are_fair_independent_and_fixed():
    draws = LANES + 44
    blocks = sign_blocks(100, draws, seed=5)
    assert blocks.shape == (2, 100, LANES)
    signs = np.concatenate([block.T for block in blocks])[:draws]
    assert set(np.unique(signs)) == {0, 1}
    assert signs.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(draws * 100))
    assert abs(np.corrcoef(signs.T) - np.eye(100)).max() < 0.35
    assert np.array_equal(sign_blocks(100, 20, 5)[0], blocks[0, :, :20])
    assert not np.array_equal(sign_blocks(100, draws, 6), blocks)


def test_binned_floor_is_the_mean_error_over_signs_one_by_one(sample):
    y, p, patient = sample
    floor = binned_floor(y == 1, p, None, patient, 15, seed=3, draws=64)
    signs = 2.0 * np.concatenate([block.T for block in sign_blocks(60, 64, 3)])[:64] - 1
    inside = np.minimum((p * 15).astype(int), 14)
    errors = [
        sum(abs((sign[patient] * (y - p))[inside == b].sum()) for b in range(15)) / len(y) for sign in signs
    ]
    assert floor == pytest.approx(np.mean(errors), rel=1e-12)


def test_floor_of_a_calibrated_model_is_its_expected_error():
    # Predictions equal to the risk: the error is noise alone, so over many cohorts its mean is the floor's.
    rng = np.random.default_rng(1)
    binned, smooth = [], []
    for _ in range(60):
        risk = rng.beta(1, 4, 300)
        patient = np.repeat(np.arange(150), 2)
        y = rng.random(300) < risk
        binned.append((calibration_error(y, risk), binned_floor(y, risk, None, patient, 15)))
        smooth.append((smooth_calibration_error(y, risk), smooth_floor(y, risk, None, patient)))
    for pairs in (binned, smooth):
        error, floor = np.mean(pairs, axis=0)
        spread = np.std([e for e, _ in pairs]) / np.sqrt(60)
        assert error == pytest.approx(floor, abs=4 * spread)


def test_smooth_floor_is_the_mean_error_over_signs_one_by_one(sample):
    y, p, patient = sample
    floor = smooth_floor(y == 1, p, None, patient, seed=3, draws=12)
    signs = 2.0 * np.concatenate([block.T for block in sign_blocks(60, 12, 3)])[:12] - 1
    errors = [direct_smooth_error(p, sign[patient] * (y - p) / len(p)) for sign in signs]
    assert floor == pytest.approx(np.mean(errors), rel=0.02)


def direct_smooth_error(p, residual, mesh=1001):
    """Bandwidth at which the kernel sums' absolute integral equals it, by bisection."""
    t = np.linspace(0, 1, mesh)
    low, high = 1e-4, 1.0
    for _ in range(12):
        sigma = (low + high) / 2
        density = np.zeros(mesh)
        for image in (-p, p, 2 - p, p - 2, 2 + p):
            density += (residual[:, None] * np.exp(-0.5 * ((t - image[:, None]) / sigma) ** 2)).sum(axis=0)
        error = np.trapezoid(np.abs(density), t) / (sigma * np.sqrt(2 * np.pi))
        low, high = (low, sigma) if error < sigma else (sigma, high)
    return (low + high) / 2


def test_weights_count_as_repeated_images(sample):
    y, p, patient = sample
    weight = np.random.default_rng(2).integers(1, 4, len(y))
    copies = np.repeat(np.arange(len(y)), weight)
    repeated = (y[copies] == 1, p[copies], None, patient[copies])
    weighted = (y == 1, p, weight.astype(float), patient)
    assert binned_floor(*weighted, 15) == pytest.approx(binned_floor(*repeated, 15), rel=1e-9)
    assert smooth_floor(*weighted) == pytest.approx(smooth_floor(*repeated), rel=1e-6)


def test_a_perfect_model_has_no_floor():
    y, patient = np.array([False, True, True, False]), np.arange(4)
    assert binned_floor(y, y.astype(float), None, patient, 15) == 0
    assert smooth_floor(y, y.astype(float), None, patient) == 0


def test_smooth_errors_of_many_are_those_of_each():
    rng = np.random.default_rng(4)
    for concentration in (1, 30, 400):
        p = rng.beta(concentration, 4 * concentration, 300)
        y = rng.random(300) < p**0.8
        left, right = mesh_shares(p, 2000)
        residual = (y - p) / 300
        mass = np.bincount(left, residual * (1 - right), minlength=2001)
        mass += np.bincount(left + 1, residual * right, minlength=2001)
        both = smooth_errors(np.stack([mass, np.zeros(2001), 0.1 * mass]))
        assert both[0] == pytest.approx(smooth_calibration_error(y, p), rel=1e-3)
        assert both[1] == 0
        assert 0 < both[2] < both[0]
