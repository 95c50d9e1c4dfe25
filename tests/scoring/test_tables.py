"""Tables of a scorecard against counts on the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from bench.metrics.smooth_calibration import smooth_calibration
from bench.scoring.plan import make_plan
from bench.scoring.score import score
from bench.scoring.scorecard import OperatingPoint
from bench.scoring.tables import PREVALENCES, prevalence_shift
from bench.uncertainty.wilson import clustered_share

TARGET = "slvh"
COMMON = "composite_slvh_dlv"


@pytest.fixture(scope="module")
def plan(cohort):
    return make_plan(cohort, replicates=300, seed=3)


@pytest.fixture(scope="module")
def val(cohort):
    rng = np.random.default_rng(5)
    labels = {t: cohort.targets[t][cohort.rows("val")] for t in ("composite_slvh_dlv", "slvh", "dlv")}
    return {t: 1 / (1 + np.exp(-(1.5 * y - 2 + 1.4 * rng.normal(size=len(y))))) for t, y in labels.items()}


@pytest.fixture(scope="module")
def card(plan, predictions, val):
    return score(plan, "mine", predictions, scores="probability", predictions_sha256="ab", val=val).scorecard


@pytest.fixture(scope="module")
def rows(cohort, predictions):
    test = cohort.rows("test")
    return cohort.targets[TARGET][test], predictions[TARGET], cohort.patients[test]


def test_yield_counts_the_highest_scores(card, rows):
    y, p, _ = rows
    ranked = y[np.argsort(-p)]
    for point in card.target(TARGET).detection_yield:
        k = point.examined * len(y)
        whole, rest = int(k), k - int(k)
        hits = ranked[:whole].sum() + rest * (ranked[whole] if rest else 0)
        assert point.per_100 == pytest.approx(100 * hits / k)
        assert point.found == pytest.approx(hits / y.sum())


def test_operating_points_at_another_prevalence(card, rows):
    y, p, _ = rows
    scored = card.target(TARGET)
    assert [shift.prevalence for shift in scored.prevalence_shifts] == list(PREVALENCES)
    shift = scored.prevalence_shifts[2]
    here, there = y.mean(), 0.05
    assert shift.intercept == pytest.approx(np.log(there / (1 - there)) - np.log(here / (1 - here)))
    for point, shifted in zip(scored.operating_points, shift.points, strict=True):
        called = np.argsort(np.argsort(-p)) < point.called
        weight = np.where(y == 1, there / y.sum(), (1 - there) / (1 - y).sum())
        assert shifted.called == pytest.approx(weight[called].sum())
        assert shifted.ppv == pytest.approx(weight[called & (y == 1)].sum() / weight[called].sum())
        assert shifted.npv == pytest.approx(weight[~called & (y == 0)].sum() / weight[~called].sum())
        odds = point.threshold / (1 - point.threshold) * np.exp(shift.intercept)
        gain = weight[called & (y == 1)].sum() - odds * weight[called & (y == 0)].sum()
        assert shifted.net_benefit == pytest.approx(gain)


def test_a_prevalence_is_a_share(card):
    points: tuple[OperatingPoint, ...] = card.target(TARGET).operating_points
    with pytest.raises(ValueError, match="target must lie between 0 and 1"):
        prevalence_shift(0.1, points, 5, probabilities=True)
    assert prevalence_shift(0.1, points, 0.1, probabilities=False).points[0].net_benefit is None


def test_smooth_calibration_is_that_of_the_function(card, rows):
    y, p, _ = rows
    found, expected = card.target(TARGET).smooth_calibration, smooth_calibration(y, p, 50)
    assert (found.ici, found.e50, found.e90, found.emax) == (
        expected.ici,
        expected.e50,
        expected.e90,
        expected.emax,
    )
    assert [point.y for point in found.points] == pytest.approx(expected.observed)


def test_skill_is_against_the_prevalence_of_the_other_images(card, cohort, rows):
    y, p, _ = rows
    others = np.setdiff1d(np.arange(len(cohort.patients)), cohort.rows("test"))
    reference = np.full(len(y), cohort.targets[TARGET][others].mean())
    skill = card.target(TARGET).brier_skill
    assert skill.value == pytest.approx(1 - brier_score_loss(y, p) / brier_score_loss(y, reference))
    assert skill.low < skill.value < skill.high <= 1


def test_sliding_thresholds_come_from_the_label_rule(card, cohort, predictions):
    by_measurement = {(s.target, s.measurement): s for s in card.sliding}
    assert set(by_measurement) == {("slvh", "ivsd"), ("slvh", "lvpwd"), ("dlv", "lvidd")}
    septum = by_measurement["slvh", "ivsd"]
    assert (septum.points[0].threshold, septum.points[-1].threshold) == (1.2, 1.6)
    measured = cohort.targets["ivsd"][cohort.rows("test")]
    known = ~np.isnan(measured)
    for point in septum.points:
        label = measured[known] > point.threshold
        if point.positives is None:
            assert "fewer than 20 patients" in point.auroc.reason
            continue
        assert point.positives == label.sum()
        assert point.auroc.value == pytest.approx(roc_auc_score(label, predictions["slvh"][known]))
        assert point.auroc.low < point.auroc.value < point.auroc.high


def test_subgroups_are_shown_at_the_common_threshold(card, plan, cohort, predictions):
    test = cohort.rows("test")
    y, p, patient = cohort.targets[COMMON][test], predictions[COMMON], cohort.patients[test]
    point = card.target(COMMON).operating_points[0]
    called = np.argsort(np.argsort(-p)) < point.called
    cells = {(c.division, c.level): c for t in plan.targets if t.target.name == COMMON for c in t.cells}
    shown = [s for s in card.subgroups if s.target == COMMON and not s.suppressed]
    assert shown
    for subgroup in shown:
        inside = cells[subgroup.division, subgroup.level].inside
        positive = inside[y[inside] == 1]
        share = clustered_share(
            called[positive],
            np.ones(len(positive)),
            np.unique(patient[positive].astype(str), return_inverse=True)[1],
        )
        decision = subgroup.decisions["sensitivity"]
        assert (decision.value, decision.low, decision.high) == pytest.approx(
            (share.value, share.low, share.high)
        )


def test_thresholds_chosen_on_test_give_subgroups_no_interval(plan, predictions):
    card = score(plan, "mine", predictions, scores="probability", predictions_sha256="ab").scorecard
    shown = next(s for s in card.subgroups if s.target == COMMON and not s.suppressed)
    decision = shown.decisions["sensitivity"]
    assert decision.low is None
    assert "chosen on the same images" in decision.reason
