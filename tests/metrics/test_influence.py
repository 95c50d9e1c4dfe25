import numpy as np
import pytest

from bench.metrics import calibration, discrimination, influence
from bench.metrics.recalibration_line import calibration_in_the_large, calibration_line
from bench.metrics.score_ranking import ScoreRanking
from tests.metrics import slow


def derivative(figure, weight, step=1e-4):
    """Central difference of a figure by every row weight, times the weight."""
    found = []
    for k in range(len(weight)):
        up, down = weight.copy(), weight.copy()
        up[k] *= 1 + step
        down[k] *= 1 - step
        found.append((figure(up) - figure(down)) / (2 * step))
    return np.array(found)


@pytest.fixture(params=[(0, True), (1, False)], ids=["ties", "no ties"])
def sample(request):
    seed, tied = request.param
    rng = np.random.default_rng(seed)
    y, p, _ = slow.cohort(rng, 25, tied=tied)
    return y == 1, np.clip(p, 0.02, 0.98), rng.uniform(0.5, 2, len(y))


def check(found, figure, weight, tolerance=1e-7):
    np.testing.assert_allclose(found, derivative(figure, weight), atol=tolerance)
    assert found.sum() == pytest.approx(0, abs=1e-9)


def test_influence_is_the_derivative_by_the_weight(sample):
    y, p, weight = sample
    ranking = ScoreRanking.of(y, p, weight)
    check(influence.auroc(ranking), lambda w: discrimination.auroc(y, p, w), weight)
    check(influence.average_precision(ranking), lambda w: discrimination.average_precision(y, p, w), weight)
    normalised = influence.normalised_average_precision(ranking)
    check(normalised, lambda w: discrimination.normalised_average_precision(y, p, w), weight)
    skill = influence.brier_skill(y, p, np.full(len(p), 0.3), weight)
    check(skill, lambda w: calibration.brier_skill(y, p, 0.3, w), weight)
    for name in ("brier", "log_loss", "scaled_brier", "observed_expected"):
        figure = getattr(calibration, name)
        check(getattr(influence, name)(y, p, weight), lambda w, f=figure: f(y, p, weight=w), weight)


def test_influence_on_the_line_is_the_derivative_by_the_weight(sample):
    y, p, weight = sample
    line = calibration_line(y, p, weight)
    slope, intercept = influence.line(y, p, line, weight)
    check(slope, lambda w: calibration_line(y, p, w).slope, weight, 1e-6)
    check(intercept, lambda w: calibration_line(y, p, w).intercept, weight, 1e-6)
    shift = calibration_in_the_large(y, p, weight)
    check(influence.shift(y, p, shift, weight), lambda w: calibration_in_the_large(y, p, w), weight, 1e-6)


def test_influence_on_the_operating_point_has_the_variance_of_the_bootstrap():
    rng = np.random.default_rng(2)
    y = rng.random(4000) < 0.3
    score = y + rng.normal(size=4000)
    ranking = ScoreRanking.of(y, score)
    for figure, influences in (
        (discrimination.point_at_specificity, influence.sensitivity_at_specificity),
        (discrimination.point_at_sensitivity, influence.specificity_at_sensitivity),
    ):
        name = "sensitivity" if figure is discrimination.point_at_specificity else "specificity"
        drawn = []
        for _ in range(300):
            rows = rng.integers(0, 4000, 4000)
            drawn.append(getattr(figure(ScoreRanking.of(y[rows], score[rows]), 0.9), name))
        se = np.sqrt(np.sum(influences(ranking, 0.9) ** 2))
        assert se == pytest.approx(np.std(drawn), rel=0.15)
        assert influences(ranking, 0.9).sum() == pytest.approx(0, abs=1e-9)
