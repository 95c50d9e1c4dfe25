import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import bench
from bench.uncertainty.folds import fold_averaged_auroc


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(5)
    patient = np.sort(rng.integers(0, 240, 700))
    y = (rng.random(240) < 0.35)[patient].astype(int)
    fold = (np.arange(240) % 5)[patient]
    # Every fold's model has a scale of its own, so that scores of two folds cannot be compared.
    score = np.round(y + rng.normal(size=700), 1) * (1 + fold) + 10 * fold
    return y, score, fold, patient


def by_hand(y, score, fold):
    return np.mean([roc_auc_score(y[fold == f], score[fold == f]) for f in range(5)])


def test_value_and_replicates_are_means_over_folds(sample):
    y, score, fold, patient = sample
    boot = bench.PatientBootstrap(patient, 60, seed=2)
    average = fold_averaged_auroc(y, score, fold, boot)
    found, drawn = average.estimate, average.replicates
    assert found.value == pytest.approx(by_hand(y, score, fold), abs=1e-12)
    for b in range(60):
        rows = np.repeat(np.arange(len(y)), boot.counts[b][boot.patient_code])
        expected = by_hand(y[rows], score[rows], fold[rows])
        assert drawn[b] == pytest.approx(expected, abs=1e-12)


def test_the_interval_is_far_from_that_of_pooled_scores_on_several_scales(sample):
    y, score, fold, patient = sample
    average = fold_averaged_auroc(y, score, fold, bench.PatientBootstrap(patient, 500))
    found, drawn = average.estimate, average.replicates
    assert found.low < found.value < found.high
    smaller = min(len(set(patient[y == 1])), len(set(patient[y == 0])))
    assert found.se == pytest.approx(np.sqrt(smaller / (smaller - 1)) * np.std(drawn, ddof=1), rel=1e-12)
    assert roc_auc_score(y, score) < found.low


def test_one_fold_is_the_pooled_auroc(sample):
    y, score, _, patient = sample
    boot = bench.PatientBootstrap(patient, 300)
    average = fold_averaged_auroc(y, score, np.zeros(len(y), int), boot)
    found, drawn = average.estimate, average.replicates
    pooled = bench.evaluate(y, score, bootstrap=boot, probabilities=False)
    assert np.array_equal(drawn, pooled.auroc_replicates)
    assert (found.value, found.low, found.high) == pytest.approx(
        (pooled.auroc.value, pooled.auroc.low, pooled.auroc.high), rel=1e-12
    )


def test_a_fold_of_one_class_is_undefined_with_the_reason(sample):
    y, score, fold, patient = sample
    boot = bench.PatientBootstrap(patient, 20)
    average = fold_averaged_auroc(np.where(fold == 3, 0, y), score, fold, boot)
    assert average.estimate.value is None
    assert average.estimate.reason == "fold 3 holds one class only"
    assert np.isnan(average.replicates).all()
    assert average.influence.shape == (len(set(patient)),)
    assert np.isnan(average.influence).all()


def test_influences_are_derivatives_by_the_weight_of_a_patient(sample):
    y, score, fold, patient = sample
    influence = fold_averaged_auroc(y, score, fold, bench.PatientBootstrap(patient, 5)).influence
    step = 1e-5

    def weighted(weight):
        parts = [
            roc_auc_score(y[fold == f], score[fold == f], sample_weight=weight[fold == f]) for f in range(5)
        ]
        return np.mean(parts)

    order = sorted(set(patient), key=str)  # ids are sorted as text
    for place in (0, 7, 100, 200):
        mine = patient == order[place]
        slope = (weighted(1 + step * mine) - weighted(1 - step * mine)) / (2 * step)
        assert influence[place] == pytest.approx(slope, rel=1e-5, abs=1e-10)
    assert influence.sum() == pytest.approx(0, abs=1e-12)


def test_what_does_not_fit_is_refused(sample):
    y, score, fold, patient = sample
    with pytest.raises(ValueError, match="fold has shape"):
        fold_averaged_auroc(y, score, fold[1:], bench.PatientBootstrap(patient, 20))
