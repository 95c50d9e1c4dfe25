from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

import bench
from bench.metrics import calibration, discrimination, registry
from bench.metrics.kernels.scan import LANES
from bench.metrics.prepared import LabelledScores
from bench.metrics.recalibration_line import calibration_in_the_large
from bench.metrics.score_ranking import ScoreRanking
from bench.uncertainty.ranking import ranking_replicates
from bench.uncertainty.replicates import Replicates, replicate_together
from tests.metrics import slow

FIGURES = {
    "auroc": bench.auroc,
    "auprc": bench.average_precision,
    "normalised_auprc": discrimination.normalised_average_precision,
    "sensitivity_at_90_specificity": lambda y, s, w: bench.sensitivity_at_specificity(y, s, 0.9, w),
    "specificity_at_90_sensitivity": lambda y, s, w: bench.specificity_at_sensitivity(y, s, 0.9, w),
    "brier": bench.brier,
    "scaled_brier": calibration.scaled_brier,
    "log_loss": calibration.log_loss,
    "oe_ratio": calibration.observed_expected,
    "smooth_ece": calibration.smooth_calibration_error,
    "ece": lambda y, p, w: bench.calibration_error(y, p, weight=w),
    "calibration_slope": lambda y, p, w: _line(y, p, w, 0),
    "calibration_intercept": lambda y, p, w: _line(y, p, w, 1),
    "calibration_in_the_large": calibration_in_the_large,
}


def _line(y, p, weight, which):
    line = bench.calibration_line(y, p, weight)
    return None if line is None else line[which]


def rows_of(boot, replicate):
    """The rows of one replicate, repeated as often as their patient was drawn."""
    return np.repeat(np.arange(boot.images), boot.counts[replicate][boot.patient_code])


def test_every_metric_has_its_replicates():
    assert set(registry.keys(*registry.BINARY)) == set(FIGURES)


@pytest.mark.parametrize("metric", FIGURES)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_replicates_equal_the_metric_of_the_resampled_rows(metric, tied, weighted):
    rng = np.random.default_rng([tied, weighted])
    y, p, patient = slow.cohort(rng, 30, tied=tied)
    weight = rng.integers(0, 4, len(y)) / 7 if weighted else None
    boot = bench.PatientBootstrap(patient, replicates=300, seed=2)
    replicates = boot.replicates(y, p, metric, weight)
    assert replicates.shape == (300,)
    for b in range(0, 300, 7):
        rows = rows_of(boot, b)
        expected = FIGURES[metric](y[rows], p[rows], None if weight is None else weight[rows])
        assert replicates[b] == pytest.approx(np.nan if expected is None else expected, abs=1e-9, nan_ok=True)


def test_replicates_equal_scikit_learn_to_twelve_digits():
    y, p, patient = slow.cohort(np.random.default_rng(1), 200, tied=False)
    boot = bench.PatientBootstrap(patient, replicates=40)
    pairs = (("auroc", roc_auc_score), ("auprc", average_precision_score), ("brier", brier_score_loss))
    for metric, oracle in pairs:
        replicates = boot.replicates(y, p, metric)
        for b in range(40):
            rows = rows_of(boot, b)
            assert replicates[b] == pytest.approx(oracle(y[rows], p[rows]), abs=1e-12)


def test_undefined_replicates_are_nan():
    boot = bench.PatientBootstrap.from_counts(
        ["a", "b", "c"], [[1, 1, 1], [2, 0, 1], [0, 3, 0]], ["a", "b", "c"]
    )
    replicates = boot.replicates([0, 1, 0], [0.1, 0.9, 0.95])
    assert replicates[0] == 0.5
    assert np.isnan(replicates[1:]).all()


def test_one_ulp_is_not_a_tie_in_a_replicate():
    y, patient = [0, 1], ["a", "b"]
    boot = bench.PatientBootstrap.from_counts(patient, [[1, 1]], patient)
    assert boot.replicates(y, [0.3, np.nextafter(0.3, 1)])[0] == 1.0
    assert boot.replicates(y, [np.nextafter(0.3, 1), 0.3])[0] == 0.0
    assert boot.replicates(y, [0.3, 0.3])[0] == 0.5


def test_exact_enumeration_of_a_tiny_cohort():
    patient = np.array(["a", "a", "b", "c", "d"])
    y, p = np.array([0, 1, 1, 0, 0]), np.array([0.2, 0.6, 0.7, 0.6, 0.1])
    every = np.array(np.meshgrid(*[range(4)] * 4)).reshape(4, -1).T
    counts = np.stack([np.bincount(draw, minlength=4) for draw in every])
    boot = bench.PatientBootstrap.from_counts(patient, counts, ["a", "b", "c", "d"])
    replicates = boot.replicates(y, p)
    for b, draw in enumerate(every):
        rows = np.concatenate([np.flatnonzero(patient == "abcd"[k]) for k in draw])
        expected = slow.auroc(y[rows], p[rows])
        assert replicates[b] == pytest.approx(
            np.nan if expected is None else expected, abs=1e-15, nan_ok=True
        )
    assert 0 < np.isnan(replicates).sum() < len(replicates)
    result = bench.evaluate(y, p, bootstrap=boot)
    assert result.auroc.undefined == np.isnan(replicates).sum()
    assert result.auroc.low is None
    assert "undefined in" in result.auroc.reason


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans())
def test_rows_may_come_in_any_order(random, weighted):
    rng = np.random.default_rng(0)
    y, p, patient = slow.cohort(rng, 12)
    weight = rng.integers(0, 4, len(y)) / 7 if weighted else None
    rows = list(range(len(y)))
    random.shuffle(rows)
    here = bench.PatientBootstrap(patient, 50)
    there = bench.PatientBootstrap(patient[rows], 50)
    assert np.array_equal(here.counts, there.counts)
    moved = None if weight is None else weight[rows]
    for metric in ("auroc", "auprc", "sensitivity_at_90_specificity"):
        one, other = here.replicates(y, p, metric, weight), there.replicates(y[rows], p[rows], metric, moved)
        np.testing.assert_allclose(one, other, rtol=1e-14 if weighted else 0)
    np.testing.assert_allclose(
        here.replicates(y, p, "brier", weight), there.replicates(y[rows], p[rows], "brier", moved), rtol=1e-13
    )


def test_a_patient_drawn_twice_is_a_patient_given_twice():
    y, p, patient = slow.cohort(np.random.default_rng(3), 10)
    names = sorted(set(patient))
    twice = np.ones(len(names), int)
    twice[4] = 2
    boot = bench.PatientBootstrap.from_counts(patient, [twice], names)
    rows = np.concatenate([np.arange(len(y)), np.flatnonzero(patient == names[4])])
    assert boot.replicates(y, p)[0] == bench.auroc(y[rows], p[rows])


def test_draws_are_pinned():
    # The draws are part of what a scorecard promises: another stream must be another scoring version.
    counts = bench.PatientBootstrap([f"p{k}" for k in range(7)], replicates=3, seed=5).counts
    assert counts.tolist() == [[2, 1, 1, 2, 0, 0, 1], [1, 2, 0, 2, 1, 1, 0], [1, 1, 1, 2, 1, 1, 0]]


def test_draws_are_uniform_and_as_many_as_patients():
    counts = bench.PatientBootstrap(np.arange(50), replicates=4000, seed=9).counts.astype(float)
    assert (counts.sum(axis=1) == 50).all()
    expected, variance = 4000, 4000 * (1 - 1 / 50)
    chi = ((counts.sum(axis=0) - expected) ** 2 / variance).sum()
    assert 20 < chi < 90
    assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.02)
    correlation = np.corrcoef(counts.T) - np.eye(50)
    assert np.abs(correlation + 1 / 49 * (1 - np.eye(50))).max() < 0.08


def test_more_replicates_begin_with_the_same_ones():
    few, many = (bench.PatientBootstrap(np.arange(9), replicates=b) for b in (10, 600))
    assert np.array_equal(few.counts, many.counts[:10])
    assert not np.array_equal(many.counts, bench.PatientBootstrap(np.arange(9), 600, seed=1).counts)


def test_ids_are_compared_as_text():
    whole = bench.PatientBootstrap([10, 9, 10, 2], 20)
    text = bench.PatientBootstrap(np.array(["10", "9", "10", "2"], dtype=object), 20)
    assert whole.patients == text.patients == ("10", "2", "9")
    assert np.array_equal(whole.counts, text.counts)
    mixed = bench.PatientBootstrap([("a", 1), ("a", 1), ("b", 2)], 20)
    assert len(mixed.patients) == 2


@pytest.mark.parametrize("ids", [["a", None], [1.0, float("nan")], [], np.array([["a", "b"]])])
def test_ids_that_name_nobody_are_refused(ids):
    with pytest.raises(ValueError, match="patient_id"):
        bench.PatientBootstrap(ids)


@pytest.mark.parametrize(
    ("counts", "patients", "message"),
    [
        ([[1, 1, 1]], ["a", "b"], "counts must be"),
        ([[1, -1]], ["a", "b"], "whole numbers"),
        ([[1, 0.5]], ["a", "b"], "whole numbers"),
        ([[1, 70000]], ["a", "b"], "whole numbers"),
        ([[1, 1]], ["a", "a"], "repeats 1"),
        ([[1, 1]], ["a", "c"], "1 rows belong"),
    ],
)
def test_counts_that_do_not_fit_are_refused(counts, patients, message):
    with pytest.raises(ValueError, match=message):
        bench.PatientBootstrap.from_counts(["a", "b"], counts, patients)


def test_large_multiplicities_are_exact():
    patient, y, p = ["a", "b", "c", "d"], [0, 1, 0, 1], [0.3, 0.4, 0.5, 0.5]
    counts = np.array([[300, 1, 2, 40000], [0, 65535, 65535, 65535]])
    boot = bench.PatientBootstrap.from_counts(patient, counts, patient)
    replicates = boot.replicates(y, p)
    for b in range(2):
        assert replicates[b] == pytest.approx(slow.auroc(y, p, counts[b].astype(float)), abs=1e-15)


@pytest.mark.parametrize("largest", [9, 31, 32, 255])
def test_counting_in_32_bits_never_overflows(largest):
    rng = np.random.default_rng(largest)
    y = (rng.random(40_000) < 0.5).astype(int)
    score = rng.random(40_000) - 0.2 * y
    counts = np.array([[largest], [1]])
    boot = bench.PatientBootstrap.from_counts(["a"] * 40_000, counts, ["a"])
    assert boot.replicates(y, score).tolist() == [bench.auroc(y, score)] * 2


@pytest.mark.parametrize("largest", [9, 31, 32, 255])
@pytest.mark.parametrize("steps", [3, 40, None])
def test_the_joint_scan_counts_pairs_exactly_whatever_their_number(largest, steps):
    rng = np.random.default_rng(largest)
    y = rng.random(40_000) < 0.5
    score = rng.random(40_000) - 0.2 * y
    score = score if steps is None else np.round(score * steps)
    boot = bench.PatientBootstrap.from_counts(["a"] * 40_000, np.array([[largest], [1]]), ["a"])
    sample = boot.sample(y)
    replicates = ranking_replicates(sample, ScoreRanking.of(sample.positive, score))
    assert replicates.auroc.tolist() == [bench.auroc(y, score)] * 2


def test_selecting_rows_keeps_the_draws():
    y, p, patient = slow.cohort(np.random.default_rng(4), 30)
    boot = bench.PatientBootstrap(patient, 60)
    part = p > 0.35
    replicates = boot.select(part).replicates(y[part], p[part])
    for b in range(60):
        weight = boot.counts[b][boot.patient_code][part]
        expected = bench.auroc(y[part], p[part], weight)
        assert replicates[b] == pytest.approx(
            np.nan if expected is None else expected, abs=1e-15, nan_ok=True
        )
    same = boot.select(np.flatnonzero(part)).replicates(y[part], p[part])
    assert np.array_equal(replicates, same, equal_nan=True)
    with pytest.raises(ValueError, match="mask"):
        boot.select(part[:-1])


def test_threads_change_no_bit():
    y, p, patient = slow.cohort(np.random.default_rng(6), 300, tied=False)
    boot = bench.PatientBootstrap(patient, 600)
    jobs = [(metric, p**power) for metric in FIGURES for power in (0.5, 1, 2)]
    alone = [bench.PatientBootstrap(patient, 600).replicates(y, score, metric) for metric, score in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: boot.replicates(y, job[1], job[0]), jobs))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_samples_are_told_apart_by_labels_and_weights():
    y, p, patient = slow.cohort(np.random.default_rng(5), 30)
    boot = bench.PatientBootstrap(patient, 20)
    first = boot.replicates(y, p).copy()
    assert not np.array_equal(first, boot.replicates(1 - y, p), equal_nan=True)
    assert not np.array_equal(first, boot.replicates(y, p, weight=np.arange(len(y))), equal_nan=True)
    assert np.array_equal(first, boot.replicates(y.astype(bool), p), equal_nan=True)


def test_what_does_not_fit_is_refused():
    boot = bench.PatientBootstrap(["a", "b"], 10)
    with pytest.raises(ValueError, match="unknown metric"):
        boot.replicates([0, 1], [0.1, 0.2], "accuracy")
    with pytest.raises(ValueError, match="score has 3 rows"):
        boot.replicates([0, 1], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="y has 3 rows"):
        boot.replicates([0, 1, 1], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="NaN"):
        boot.replicates([0, 1], [0.1, np.nan])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        boot.replicates([0, 1], [0.1, 1.2], "brier")
    with pytest.raises(ValueError, match="at least 1"):
        bench.PatientBootstrap(["a"], 0)


@pytest.mark.parametrize("weighted", [False, True])
def test_replicates_of_several_subgroups_are_the_same_together_as_one_by_one(weighted):
    rng = np.random.default_rng(3)
    patient = rng.integers(0, 60, 300)
    y, p = rng.integers(0, 2, 300), rng.integers(0, 40, 300) / 40
    weight = rng.random(300) if weighted else None
    boot = bench.PatientBootstrap(patient, LANES + 100)
    metrics = [registry.metric(key) for key in ("auroc", "auprc", "brier", "log_loss")]

    def replicates(rows):
        sample = boot.select(rows).sample(y[rows], None if weight is None else weight[rows])
        return Replicates(sample, LabelledScores(sample.positive, p[rows], sample.weight), metrics)

    groups = (np.arange(200), np.arange(150, 300), patient < 30)
    alone, together = map(replicates, groups), list(map(replicates, groups))
    replicate_together(together, probabilities=True)
    for one, other in zip(alone, together, strict=True):
        assert all(np.array_equal(one.of(m), other.of(m), equal_nan=True) for m in metrics)
