import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from bench.metrics.regression import agreement


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e4]))
def test_agreement_equals_scikit_learn_and_numpy(seed, offset):
    rng = np.random.default_rng(seed)
    truth = offset + rng.normal(4.6, 0.7, 50)
    guess = truth + rng.normal(0.1, 0.4, 50)
    estimates = agreement(truth, guess)
    error = guess - truth
    assert estimates.mae == pytest.approx(mean_absolute_error(truth, guess), rel=1e-12)
    assert estimates.rmse == pytest.approx(root_mean_squared_error(truth, guess), rel=1e-9)
    assert estimates.bias == pytest.approx(error.mean(), abs=1e-12)
    assert estimates.pearson == pytest.approx(np.corrcoef(truth, guess)[0, 1], abs=1e-9)
    assert estimates.r2 == pytest.approx(r2_score(truth, guess), abs=1e-9)
    spread = 1.959963984540054 * error.std(ddof=1)
    assert (estimates.loa_low, estimates.loa_high) == pytest.approx(
        (error.mean() - spread, error.mean() + spread), rel=1e-9, abs=1e-9
    )


def test_undefined_figures_are_none():
    assert agreement([], []).mae is None
    one = agreement([4.0], [4.5])
    assert (one.mae, one.pearson, one.loa_low) == (0.5, None, None)
    flat = agreement([4.0, 4.0, 4.0], [4.5, 4.0, 3.0])
    assert flat.r2 is None
    assert flat.pearson is None
    with pytest.raises(ValueError, match="truth holds 1"):
        agreement([np.nan, 1], [1, 2])


def test_a_whole_weight_is_a_repetition():
    rng = np.random.default_rng(0)
    truth, guess = rng.normal(size=(2, 20))
    weight = rng.integers(0, 4, 20)
    rows = np.repeat(np.arange(20), weight)
    weighted, repeated = agreement(truth, guess, weight), agreement(truth[rows], guess[rows])
    for name in ("mae", "rmse", "bias", "loa_low", "pearson", "r2"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name), rel=1e-9)


def concordance(*arrays):
    return agreement(*arrays).concordance


def test_concordance_is_the_share_of_disagreement_that_pairing_removes():
    # 1 - mean squared difference of the pairs / that of every truth with every prediction (Lin 1989).
    rng = np.random.default_rng(3)
    truth = rng.normal(4.6, 0.7, 60)
    guess = 0.8 * truth + rng.normal(1.3, 0.4, 60)
    unpaired = np.mean((truth[:, None] - guess[None, :]) ** 2)
    expected = 1 - np.mean((truth - guess) ** 2) / unpaired
    assert concordance(truth, guess) == pytest.approx(expected, rel=1e-12)
    assert concordance(truth + 1e5, guess + 1e5) == pytest.approx(expected, rel=1e-6)
    assert concordance(truth, truth) == pytest.approx(1)
    assert abs(concordance(truth, guess + 5)) < 0.1 < agreement(truth, guess + 5).pearson


def test_concordance_of_constants_and_with_weights():
    assert concordance([], []) is None
    assert concordance([1.0, 1.0], [1.0, 1.0]) is None
    assert concordance([1.0, 1.0], [1.0, 2.0]) == 0
    rng = np.random.default_rng(4)
    truth, guess, weight = rng.normal(size=20), rng.normal(size=20), rng.integers(0, 4, 20)
    copies = np.repeat(np.arange(20), weight)
    assert concordance(truth, guess, weight) == pytest.approx(concordance(truth[copies], guess[copies]))
