"""Scorecards against scikit-learn and slow definitions on the same rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from bench.choices import Track
from bench.files import canonical_json
from bench.scoring.plan import FEWEST_PATIENTS, make_plan
from bench.scoring.score import score
from bench.scoring.scorecard import Scorecard

BINARY = ("composite_slvh_dlv", "slvh", "dlv")


@pytest.fixture(scope="module")
def plan(cohort):
    return make_plan(cohort, replicates=300, seed=3)


@pytest.fixture(scope="module")
def card(plan, predictions):
    return score(plan, "mine", predictions, scores="probability", predictions_sha256="ab").scorecard


@pytest.fixture(scope="module")
def frame(cohort, predictions):
    """The test images as anyone would have them: one row each, joined by hand."""
    table = pd.read_csv(cohort.folder / "metadata.csv").set_index("cxr_filename").sort_index()
    test = cohort.images[cohort.rows("test")]
    frame = table.loc[list(test)].copy()
    for target, values in predictions.items():
        frame[f"p_{target}"] = values
    return frame


@pytest.mark.parametrize("target", BINARY)
def test_values_equal_scikit_learn(card, frame, target):
    scored = card.target(target)
    y, p = frame[target], frame[f"p_{target}"]
    assert scored.metrics["auroc"].value == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert scored.metrics["auprc"].value == pytest.approx(average_precision_score(y, p), abs=1e-12)
    assert scored.metrics["brier"].value == pytest.approx(brier_score_loss(y, p), abs=1e-12)
    assert (scored.images, scored.positives) == (len(frame), int(y.sum()))
    assert scored.patients == frame.patient_id.nunique()
    assert scored.positive_patients == frame.patient_id[y == 1].nunique()
    assert scored.prevalence == pytest.approx(y.mean())


@pytest.mark.parametrize("target", BINARY)
def test_the_two_other_views(card, frame, target):
    estimands = card.target(target).estimands
    weight = 1 / frame.groupby("patient_id")[target].transform("size")
    expected = roc_auc_score(frame[target], frame[f"p_{target}"], sample_weight=weight)
    assert estimands["patient_weighted"].value == pytest.approx(expected, abs=1e-12)
    days = pd.to_timedelta(frame.cxr_time_offset)
    first = frame.loc[days.groupby(frame.patient_id).idxmin()]
    expected = roc_auc_score(first[target], first[f"p_{target}"])
    assert estimands["first_image"].value == pytest.approx(expected, abs=1e-12)


def test_macro_is_the_mean_of_slvh_and_dlv(card):
    parts = [card.target(t).metrics["auroc"].value for t in ("slvh", "dlv")]
    assert card.macro.value == pytest.approx(np.mean(parts), abs=1e-15)
    assert card.macro.low < card.macro.value < card.macro.high


@pytest.mark.parametrize("target", ["ivsd", "lvpwd", "lvidd"])
def test_measurements_leave_out_the_implausible(card, frame, cohort, target):
    measure = next(c for c in card.continuous if c.target == target)
    low, high = next(t.plausible for t in cohort.spec.continuous_targets if t.name == target)
    kept = frame[frame[target].between(low, high)]
    assert (measure.images, measure.excluded) == (len(kept), len(frame) - len(kept))
    error = kept[f"p_{target}"] - kept[target]
    assert measure.metrics["mae"].value == pytest.approx(error.abs().mean(), abs=1e-12)
    assert measure.metrics["bias"].value == pytest.approx(error.mean(), abs=1e-12)
    assert measure.metrics["pearson"].value == pytest.approx(
        np.corrcoef(kept[f"p_{target}"], kept[target])[0, 1], abs=1e-12
    )


def test_every_subgroup_is_shown_or_suppressed_for_the_right_reason(card, frame):
    groups = {
        ("sex", "Female"): frame.sex == "F",
        ("sex", "Male"): frame.sex == "M",
        ("age", "60–79 years"): frame.age.between(60, 79),
        ("age", "80+ years"): frame.age >= 80,
        ("heart_transplant", "Heart transplant"): frame.heart_transplant == 1,
        ("device", "No device"): frame.pacemaker_or_icd == 0,
    }
    shown = 0
    for target in BINARY:
        for (division, level), rows in groups.items():
            found = next(
                s for s in card.subgroups if (s.target, s.division, s.level) == (target, division, level)
            )
            part = frame[rows]
            fewest = min(part.patient_id[part[target] == label].nunique() for label in (0, 1))
            assert found.suppressed == (fewest < FEWEST_PATIENTS)
            if found.suppressed:
                assert found.reason
                assert found.images is None
                assert not found.metrics
            else:
                shown += 1
                expected = roc_auc_score(part[target], part[f"p_{target}"])
                assert found.metrics["auroc"].value == pytest.approx(expected, abs=1e-12)
                assert (found.images, found.positives) == (len(part), part[target].sum())
    assert 0 < shown < len(groups) * 3, "the cohort shows both cases"


def test_hidden_cells_cannot_be_computed_from_the_total(private):
    """The total minus the shown levels is either nothing or large enough to be shown itself."""
    seen = 0
    for target in make_plan(private, track=Track.CV5, replicates=100).targets:
        labels, patients = private.targets[target.target.name], private.patients
        for division in {cell.division for cell in target.cells}:
            cells = [cell for cell in target.cells if cell.division == division]
            shown = [target.rows[cell.inside] for cell in cells if not cell.reason]
            rest = np.setdiff1d(np.arange(len(private)), np.concatenate([np.empty(0, int), *shown]))
            if not shown or not len(rest):
                continue
            seen += 1
            for label in (0, 1):
                assert len(set(patients[rest][labels[rest] == label])) >= FEWEST_PATIENTS
    assert seen, "the cohort shows the case"


def test_one_class_is_null_with_a_reason(cohort, predictions):
    none = np.zeros(len(cohort))
    empty = replace(cohort, targets={**cohort.targets, "dlv": none, "composite_slvh_dlv": none})
    scored = score(
        make_plan(empty, replicates=100), "e", predictions, scores="probability", predictions_sha256=""
    ).scorecard
    dlv = scored.target("dlv")
    assert dlv.metrics["auroc"].value is None
    assert "positive" in dlv.metrics["auroc"].reason
    assert dlv.roc == ()
    assert scored.macro.value is None
    Scorecard.model_validate_json(canonical_json(scored.plain()))


def test_unlabelled_images_are_excluded_and_counted(cohort, predictions, frame):
    labels = cohort.targets["slvh"].copy()
    rows = cohort.rows("test")[::3]
    labels[rows] = np.nan
    partly = replace(cohort, targets={**cohort.targets, "slvh": labels})
    scored = score(
        make_plan(partly, replicates=100), "e", predictions, scores="probability", predictions_sha256=""
    ).scorecard.target("slvh")
    kept = np.ones(len(frame), bool)
    kept[::3] = False
    assert scored.excluded == len(rows)
    expected = roc_auc_score(frame.slvh[kept], frame.p_slvh[kept])
    assert scored.metrics["auroc"].value == pytest.approx(expected, abs=1e-12)


def test_uncalibrated_scores_have_no_calibration(plan, predictions):
    logits = {t: np.log(p / (1 - p)) if t in BINARY else p for t, p in predictions.items()}
    scorecard = score(plan, "u", logits, scores="uncalibrated", predictions_sha256="").scorecard
    target = scorecard.target("slvh")
    assert target.metrics["brier"].value is None
    assert "not probabilities" in target.metrics["brier"].reason
    assert target.reliability == ()
    assert target.decision == ()
    assert target.metrics["auroc"].value == pytest.approx(
        score(plan, "p", predictions, scores="probability", predictions_sha256="")
        .scorecard.target("slvh")
        .metrics["auroc"]
        .value,
        abs=1e-12,
    )


def test_flags(plan, predictions):
    flat = {t: np.full_like(p, 0.1) for t, p in predictions.items() if t in BINARY}
    scorecard = score(plan, "flat", flat, scores="probability", predictions_sha256="").scorecard
    assert {(f.code, f.target) for f in scorecard.flags} == {("constant-scores", t) for t in BINARY}


def test_no_identifier_in_a_scorecard(card, cohort):
    text = canonical_json(card.plain()).decode()
    for identifier in (*cohort.images, *set(cohort.patients)):
        assert identifier not in text
