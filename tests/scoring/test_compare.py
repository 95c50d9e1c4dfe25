"""Two sides on the same images, metric by metric, against recomputed figures."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

import bench
from bench.choices import Track
from bench.errors import BenchError
from bench.scoring.compare import Side, compare_predictions
from tests.scoring.conftest import noisy

HEADLINE = "composite_slvh_dlv"


@pytest.fixture(scope="module")
def sides(cohort):
    return [Side(noisy(cohort, strength, seed), Track.HOLDOUT, True) for strength, seed in ((2, 1), (1, 2))]


def test_every_metric_is_that_of_both_sides(cohort, sides):
    compared = {c.target: c for c in compare_predictions(cohort, *sides, replicates=200)}[HEADLINE]
    y = cohort.targets[HEADLINE][cohort.rows("test")]
    p_a, p_b = (side.values[HEADLINE] for side in sides)
    area, brier = compared.metric("auroc"), compared.metric("brier")
    assert area.a.value == pytest.approx(roc_auc_score(y, p_a), abs=1e-12)
    assert area.difference == pytest.approx(roc_auc_score(y, p_a) - roc_auc_score(y, p_b), abs=1e-12)
    assert brier.difference == pytest.approx(brier_score_loss(y, p_a) - brier_score_loss(y, p_b), abs=1e-12)
    slopes = [bench.calibration_line(y, p)[0] for p in (p_a, p_b)]
    assert compared.metric("calibration_slope").difference == pytest.approx(slopes[0] - slopes[1], abs=1e-8)
    assert compared.metric("ece").difference is None, "a binned error is shown, never compared"


def test_calls_that_differ_are_counted_by_class(cohort, sides):
    disagreement = {c.target: c for c in compare_predictions(cohort, *sides, replicates=50)}[
        HEADLINE
    ].disagreement
    y = cohort.targets[HEADLINE][cohort.rows("test")]
    a, b = (side.values[HEADLINE] >= np.sort(side.values[HEADLINE])[-int(y.sum())] for side in sides)
    assert disagreement.positives_only_a == np.sum(a & ~b & (y == 1))
    assert disagreement.negatives_only_b == np.sum(b & ~a & (y == 0))
    assert disagreement.images == np.sum(a != b)


def test_calibration_is_compared_between_probabilities_only(cohort, sides):
    other = Side({HEADLINE: 3 * sides[1].values[HEADLINE] - 1}, Track.HOLDOUT, False)
    (found,) = compare_predictions(cohort, sides[0], other, replicates=50)
    assert found.metric("auroc").difference is not None
    assert found.metric("brier").difference is None
    assert found.metric("brier").a.reason == "scores are not probabilities"


def test_sides_of_two_tracks_are_refused(cohort, sides):
    with pytest.raises(BenchError, match="compare-impossible"):
        compare_predictions(cohort, sides[0], Side({}, Track.CV5, True))
    with pytest.raises(BenchError, match="share no target"):
        compare_predictions(cohort, sides[0], Side({}, Track.HOLDOUT, True))


def test_out_of_fold_scores_are_compared_by_their_fold_average(cohort):
    rng = np.random.default_rng(8)
    y, fold = cohort.targets[HEADLINE], cohort.split.folds
    scores = [{HEADLINE: y * k + rng.normal(size=len(y)) + 4 * fold} for k in (2.0, 1.0)]
    sides = [Side(values, Track.CV5, False) for values in scores]
    (found,) = compare_predictions(cohort, *sides, replicates=300)
    line = found.metric("fold_averaged")
    areas = [np.mean([roc_auc_score(y[fold == f], v[HEADLINE][fold == f]) for f in range(5)]) for v in scores]
    assert line.difference == pytest.approx(areas[0] - areas[1], abs=1e-12)
    assert 0 < line.low < line.difference < line.high
    assert line.p_value < 0.01
    assert found.metric("auroc").difference is None, "five scales do not pool"
    (comparison,) = compare_predictions(cohort, sides[0], sides[0], replicates=50)
    assert (comparison.metric("fold_averaged").difference, comparison.metric("fold_averaged").p_value) == (
        0,
        1,
    )


def test_net_benefit_is_compared_between_probabilities(cohort, sides):
    compared = {c.target: c for c in compare_predictions(cohort, *sides, replicates=50)}[HEADLINE]
    y = cohort.targets[HEADLINE][cohort.rows("test")]
    p_a, p_b = (side.values[HEADLINE] for side in sides)
    for point in compared.net_benefit:
        odds = point.threshold / (1 - point.threshold)
        worth = np.where(y == 1, 1.0, -odds)
        expected = np.mean(worth * (p_a >= point.threshold)) - np.mean(worth * (p_b >= point.threshold))
        assert point.difference == pytest.approx(expected)
        assert point.low < point.difference < point.high
    other = Side({HEADLINE: 3 * p_b - 1}, Track.HOLDOUT, False)
    assert compare_predictions(cohort, sides[0], other, replicates=50)[0].net_benefit == ()
