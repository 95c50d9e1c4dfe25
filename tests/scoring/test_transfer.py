"""Thresholds and recalibration from val, subgroups' gaps, and the cv5 track, as they stand in a scorecard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from bench.choices import Track
from bench.errors import BenchError
from bench.files import round_significant, sha256_file
from bench.scoring.plan import make_plan
from bench.scoring.run import entry_replicates, make_plans, score_all
from bench.scoring.score import score
from bench.scoring.scorecard import read_scorecard
from tests.scoring.conftest import noisy, store_entry

HEADLINE = "composite_slvh_dlv"


def on_val(cohort, seed=4):
    """Too extreme probabilities for the val images."""
    rng = np.random.default_rng(seed)
    y = cohort.targets[HEADLINE][cohort.rows("val")]
    return {HEADLINE: expit(2 * (1.5 * y - 2 + rng.normal(size=len(y))))}


@pytest.fixture(scope="module")
def plan(cohort):
    return make_plan(cohort, replicates=200)


@pytest.fixture(scope="module")
def card(cohort, plan, predictions):
    val = on_val(cohort)
    return score(
        plan, "e", predictions, scores="probability", predictions_sha256="a", val=val, val_sha256="b"
    ).scorecard


def test_thresholds_are_chosen_on_val_and_used_on_test(cohort, card, predictions):
    y_val, p_val = cohort.targets[HEADLINE][cohort.rows("val")], on_val(cohort)[HEADLINE]
    y, p = cohort.targets[HEADLINE][cohort.rows("test")], predictions[HEADLINE]
    at_specificity, at_sensitivity = card.target(HEADLINE).operating_points
    assert at_specificity.chosen_on == at_sensitivity.chosen_on == "val"
    candidates = np.unique(p_val)
    kept = [t for t in candidates if np.mean(p_val[y_val == 0] < t) >= 0.9]
    best = min(kept, key=lambda t: (-np.mean(p_val[y_val == 1] >= t), -t))
    assert at_specificity.threshold == pytest.approx(best, rel=1e-8)
    kept = [t for t in candidates if np.mean(p_val[y_val == 1] >= t) >= 0.9]
    best = min(kept, key=lambda t: (-np.mean(p_val[y_val == 0] < t), t))
    assert at_sensitivity.threshold == pytest.approx(best, rel=1e-8)
    for point in (at_specificity, at_sensitivity):
        assert point.threshold == round_significant(point.threshold), "the stored threshold is the one used"
        assert np.mean(p_val[y_val == 1] >= at_sensitivity.threshold) >= 0.9
    for point in (at_specificity, at_sensitivity):
        called = p >= point.threshold
        assert (point.called, point.moved) == (called.sum(), 0), "the demo's labels are public"
        assert point.sensitivity.value == pytest.approx(called[y == 1].mean(), abs=1e-12)
        assert point.specificity.value == pytest.approx((~called)[y == 0].mean(), abs=1e-12)
        assert point.ppv.value == pytest.approx(y[called].mean(), abs=1e-12)
        assert point.npv.value == pytest.approx(1 - y[~called].mean(), abs=1e-12)
        assert point.ppv.low < point.ppv.value < point.ppv.high


def test_without_val_thresholds_are_marked_as_chosen_on_test(plan, predictions):
    scorecard = score(plan, "e", predictions, scores="probability", predictions_sha256="a").scorecard
    target = scorecard.target(HEADLINE)
    assert {point.chosen_on for point in target.operating_points} == {"test"}
    at_specificity, at_sensitivity = target.operating_points
    best = target.metrics["sensitivity_at_90_specificity"].value
    assert at_specificity.sensitivity.value == pytest.approx(best, abs=1e-12)
    best = target.metrics["specificity_at_90_sensitivity"].value
    assert at_sensitivity.specificity.value == pytest.approx(best, abs=1e-12)
    assert at_specificity.ppv.low is None
    assert "chosen on the same images" in at_specificity.ppv.reason
    assert target.recalibrated is None


def test_private_cuts_stay_ten_images_of_each_class_apart(private, predictions):
    scorecard = score(
        make_plan(private, replicates=100), "e", predictions, scores="probability", predictions_sha256="a"
    ).scorecard.target(HEADLINE)
    test = private.rows("test")
    order = np.argsort(-predictions[HEADLINE], kind="stable")
    hits = np.concatenate([[0], np.cumsum(private.targets[HEADLINE][test][order])])
    places = {round(p.x * (len(test) - hits[-1]) + p.y * hits[-1]) for p in scorecard.roc}
    assert {point.called for point in scorecard.operating_points} <= places


def test_recalibration_is_the_logistic_fit_on_val(cohort, card, predictions):
    y_val, p_val = cohort.targets[HEADLINE][cohort.rows("val")], on_val(cohort)[HEADLINE]
    fit = LogisticRegression(C=1e10, tol=1e-10, max_iter=1000).fit(logit(p_val)[:, None], y_val)
    recalibrated = card.target(HEADLINE).recalibrated
    assert recalibrated.slope == pytest.approx(fit.coef_[0, 0], rel=1e-4)
    assert recalibrated.intercept == pytest.approx(fit.intercept_[0], rel=1e-4)
    y, p = cohort.targets[HEADLINE][cohort.rows("test")], predictions[HEADLINE]
    moved = fit.predict_proba(logit(p)[:, None])[:, 1]
    assert recalibrated.metrics["brier"].value == pytest.approx(brier_score_loss(y, moved), abs=1e-6)
    assert "auroc" not in recalibrated.metrics, "an order that a positive slope does not change"


def test_targets_without_val_predictions_have_no_recalibration(card):
    assert card.target("slvh").recalibrated is None
    assert {point.chosen_on for point in card.target("slvh").operating_points} == {"test"}


def test_a_val_part_of_one_class_leaves_both_out(cohort, predictions):
    none = cohort.targets[HEADLINE].copy()
    none[cohort.rows("val")] = 0
    plan = make_plan(replace(cohort, targets={**cohort.targets, HEADLINE: none}), replicates=50)
    scorecard = score(
        plan, "e", predictions, scores="probability", predictions_sha256="a", val=on_val(cohort)
    ).scorecard.target(HEADLINE)
    assert scorecard.recalibrated.reason
    assert {point.chosen_on for point in scorecard.operating_points} == {"test"}


def test_gaps_are_differences_to_all_other_images(cohort):
    rng = np.random.default_rng(3)
    y = cohort.targets[HEADLINE]
    p = expit(y + rng.normal(size=len(y)))
    plan = make_plan(cohort, track=Track.CV5, replicates=50)
    card = score(plan, "e", {HEADLINE: p}, scores="probability", predictions_sha256="a").scorecard
    seen = 0
    for cell in (s for s in card.subgroups if not s.suppressed):
        division = next(d for d in cohort.subgroups if d.name == cell.division)
        inside = division.codes == division.levels.index(cell.level)
        gap = cell.gaps["auroc"]
        if gap.value is None:
            assert "the rest: fewer than 20" in gap.reason
            continue
        seen += 1
        expected = roc_auc_score(y[inside], p[inside]) - roc_auc_score(y[~inside], p[~inside])
        assert gap.value == pytest.approx(expected, abs=1e-12)
        assert gap.low < gap.value < gap.high
    assert seen >= 5


def test_uncalibrated_scores_have_gaps_of_order_only(plan, predictions):
    scorecard = score(plan, "e", predictions, scores="uncalibrated", predictions_sha256="a").scorecard
    assert {name for s in scorecard.subgroups for name in s.gaps} <= {"auroc", "auprc"}
    assert scorecard.target(HEADLINE).brier_parts is None


def test_brier_parts_add_up(card):
    target = card.target(HEADLINE)
    parts = target.brier_parts
    assert parts.miscalibration - parts.discrimination + parts.uncertainty == pytest.approx(
        target.metrics["brier"].value, abs=1e-12
    )


def test_the_cv5_track_ranks_the_fold_average(cohort):
    rng = np.random.default_rng(0)
    y, fold = cohort.targets[HEADLINE], cohort.split.folds
    scores = {HEADLINE: y + rng.normal(size=len(y)) + 5 * fold}
    scored = score(
        make_plan(cohort, track=Track.CV5, replicates=100),
        "e", scores, scores="uncalibrated", predictions_sha256="a",
    )  # fmt: skip
    target = scored.scorecard.target(HEADLINE)
    expected = np.mean([roc_auc_score(y[fold == f], scores[HEADLINE][fold == f]) for f in range(5)])
    assert target.ranked.value == target.estimands["fold_averaged"].value == pytest.approx(expected)
    assert target.metrics["auroc"].value < expected, "five scales do not pool"
    assert np.nanmean(scored.ranked[HEADLINE].replicates) == pytest.approx(expected, abs=0.02)


def test_replicates_of_both_tracks_come_back_without_the_cache(cohort, tmp_path):
    rng = np.random.default_rng(1)
    entries = [
        store_entry(cohort, tmp_path, "a", noisy(cohort, 1, 1)),
        store_entry(cohort, tmp_path, "b", {HEADLINE: rng.random(len(cohort))}, track="cv5"),
    ]
    plans = make_plans(cohort, entries, replicates=50, seed=0)
    score_all(plans, entries, tmp_path / "cache")
    for entry in entries:
        digest = sha256_file(entry.predictions)
        kept = entry_replicates(plans, entry, tmp_path / "cache", digest)
        again = entry_replicates(plans, entry, tmp_path / "empty", digest)
        assert kept.values[HEADLINE] == again.values[HEADLINE]
        stored = read_scorecard(entry).target(HEADLINE).ranked.value
        assert kept.values[HEADLINE] == pytest.approx(stored, rel=1e-8)
        assert np.array_equal(kept.replicates[HEADLINE], again.replicates[HEADLINE])
        assert np.array_equal(kept.influences[HEADLINE], again.influences[HEADLINE])


def test_a_scorecard_of_other_val_predictions_is_stale(cohort, tmp_path):
    entry = store_entry(cohort, tmp_path, "a", noisy(cohort, 1, 1))
    score_all(make_plans(cohort, [entry], replicates=50, seed=0), [entry], tmp_path / "cache")
    read_scorecard(entry)
    entry.val_predictions.write_bytes(b"other")
    with pytest.raises(BenchError, match="scorecard-stale"):
        read_scorecard(entry)
