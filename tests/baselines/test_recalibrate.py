"""Recalibration against slow definitions, and its way to the board."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from baselines.recalibrate import recalibrated, temperature
from baselines.run import RunConfig, run_baseline
from bench.choices import Recalibration, Track
from bench.cohort.cohort import Cohort
from bench.submission.accept import accept_predictions
from bench.submission.check_predictions import load_predictions
from bench.submission.store import read_manifest


def _overconfident(count: int, seed: int, factor: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose logits are `factor` times too large, and labels."""
    random = np.random.default_rng(seed)
    logits = random.normal(-0.5, 1.0, count)
    labels = (random.random(count) < 1 / (1 + np.exp(-logits))).astype(float)
    return 1 / (1 + np.exp(-factor * logits)), labels


def test_the_temperature_is_that_of_a_logistic_fit_without_intercept():
    p, labels = _overconfident(3000, 0)
    logits = np.log(p / (1 - p))[:, None]
    slope = LogisticRegression(C=1e10, fit_intercept=False, tol=1e-10).fit(logits, labels).coef_[0, 0]
    assert temperature(p, labels) == pytest.approx(1 / slope, rel=1e-3)
    assert temperature(p, labels) == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize("method", tuple(Recalibration))
def test_overconfidence_is_mended_and_the_ranking_kept(method: Recalibration):
    val, known = _overconfident(4000, 1)
    test, labels = _overconfident(4000, 2)
    calibrated = recalibrated(method, val, known, test)
    honest = 1 / (1 + (1 / test - 1) ** (1 / 3))
    assert log_loss(labels, calibrated) < log_loss(labels, test) - 0.1
    assert log_loss(labels, calibrated) == pytest.approx(log_loss(labels, honest), abs=0.01)
    order = np.argsort(test)
    assert (np.diff(calibrated[order]) >= 0).all()
    assert roc_auc_score(labels, calibrated) == pytest.approx(roc_auc_score(labels, test), abs=0.01)
    assert ((calibrated > 0) & (calibrated < 1)).all()


def _pooled(labels: np.ndarray) -> np.ndarray:
    """Isotonic regression by its minimax formula, labels in the order of the scores."""
    n = len(labels)
    mean = lambda a, b: labels[a : b + 1].mean()  # noqa: E731
    return np.array([max(min(mean(a, b) for b in range(i, n)) for a in range(i + 1)) for i in range(n)])


def test_isotonic_steps_are_the_pooled_shares():
    random = np.random.default_rng(4)
    val = np.sort(random.random(25))
    labels = (random.random(25) < val).astype(float)
    expected = np.clip(_pooled(labels), 1 / 27, 26 / 27)
    np.testing.assert_allclose(recalibrated(Recalibration.ISOTONIC, val, labels, val), expected, atol=1e-12)
    ends = recalibrated(Recalibration.ISOTONIC, val, labels, np.array([0.0, 1.0]))
    np.testing.assert_allclose(ends, expected[[0, -1]])


@pytest.mark.parametrize("method", tuple(Recalibration))
def test_excluded_labels_do_not_count(method: Recalibration):
    val, labels = _overconfident(300, 5)
    more = np.concatenate([labels, np.full(50, np.nan)])
    test = np.linspace(0.01, 0.99, 7)
    expected = recalibrated(method, val, labels, test)
    calibrated = recalibrated(method, np.concatenate([val, np.full(50, 0.9)]), more, test)
    np.testing.assert_array_equal(calibrated, expected)


@pytest.mark.parametrize("method", tuple(Recalibration))
@pytest.mark.parametrize("labels", [np.zeros(5), np.ones(5), np.full(5, np.nan), np.empty(0)])
def test_without_both_classes_nothing_changes(method: Recalibration, labels: np.ndarray):
    test = np.array([0.0, 0.3, 1.0])
    np.testing.assert_array_equal(recalibrated(method, np.full(len(labels), 0.5), labels, test), test)


@pytest.mark.parametrize("method", tuple(Recalibration))
def test_probabilities_of_0_and_1_and_a_constant_are_borne(method: Recalibration):
    labels = np.array([0.0, 1.0, 0.0, 1.0])
    for val in (np.array([0.0, 1.0, 1.0, 0.0]), np.full(4, 0.5)):
        calibrated = recalibrated(method, val, labels, np.array([0.0, 0.5, 1.0]))
        assert np.isfinite(calibrated).all()
        assert ((calibrated >= 0) & (calibrated <= 1)).all()


@pytest.mark.parametrize("track", ["holdout", "cv5"])
def test_a_run_gives_an_entry_of_its_own_for_each_method(track: str, tiny: Cohort, tmp_path: Path):
    how = RunConfig(track=track, recalibrate=tuple(Recalibration))  # type: ignore[arg-type]
    run = run_baseline("demographics", tiny, tmp_path / "a", how)
    plain = run_baseline("demographics", tiny, tmp_path / "b", RunConfig(track=track))  # type: ignore[arg-type]
    assert run.predictions.read_bytes() == plain.predictions.read_bytes()
    assert run.manifest.read_bytes() == plain.manifest.read_bytes()
    stem = "demographics-cv5" if track == "cv5" else "demographics"
    assert [run.slug, *(r.slug for r in run.recalibrated)] == [
        stem,
        *(f"{stem}-{m}" for m in tuple(Recalibration)),
    ]
    before = load_predictions(run.predictions, tiny, covered=track).values  # type: ignore[arg-type]
    for method, other in zip(tuple(Recalibration), run.recalibrated, strict=True):
        manifest = read_manifest(other.manifest)
        assert (manifest.recalibration, manifest.track, manifest.model) == (method, track, None)
        assert method in manifest.name.replace(" scaling", "").replace(" regression", "")
        values = accept_predictions(other.predictions, tiny, manifest).values
        assert not np.array_equal(values["large"], before["large"])


def test_a_holdout_is_recalibrated_on_val_alone(tiny: Cohort, tmp_path: Path):
    """By hand: the same model's predictions of val, from a run whose test images they are."""
    run = run_baseline("demographics", tiny, tmp_path, RunConfig(recalibrate=(Recalibration.TEMPERATURE,)))
    from baselines.methods.demographics import run as train
    from baselines.registry import find_baseline
    from baselines.views import make_task

    task = make_task(
        tiny, find_baseline("demographics"), seed=0, quick=False, folder=tmp_path, predict_val=True
    )
    both = train(task).predictions["large"]
    rows = np.concatenate([tiny.rows("test"), tiny.rows("val")])
    assert list(task.test.images) == list(tiny.images[rows])
    test, val = np.split(both, [len(tiny.rows("test"))])
    expected = recalibrated(Recalibration.TEMPERATURE, val, tiny.targets["large"][tiny.rows("val")], test)
    values = load_predictions(run.recalibrated[0].predictions, tiny).values["large"]
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_val_is_submitted_whole_but_fitted_without_copies(tiny: Cohort, tmp_path: Path):
    val, test = tiny.rows("val"), tiny.rows("test")
    copies = ((int(val[0]), int(test[0])),)
    plain = run_baseline(
        "demographics", tiny, tmp_path / "a", RunConfig(recalibrate=(Recalibration.ISOTONIC,))
    )
    apart = run_baseline(
        "demographics", tiny, tmp_path / "b", RunConfig(recalibrate=(Recalibration.ISOTONIC,), copies=copies)
    )
    for run in (plain, *plain.recalibrated, apart, *apart.recalibrated):
        assert run.val is not None
        assert len(load_predictions(run.val, tiny, covered="val").values["large"]) == len(val)
    (other,) = apart.recalibrated
    p = load_predictions(apart.val, tiny, covered="val").values["large"]
    expected = recalibrated(Recalibration.ISOTONIC, p[1:], tiny.targets["large"][val[1:]], p)
    values = load_predictions(other.val, tiny, covered="val").values["large"]
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    cv5 = run_baseline("demographics", tiny, tmp_path / "c", RunConfig(track=Track.CV5))
    assert cv5.val is None
