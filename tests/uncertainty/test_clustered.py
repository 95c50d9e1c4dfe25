import numpy as np
import pytest

import bench
from bench.metrics.influence import obuchowski_se
from bench.metrics.score_ranking import ScoreRanking
from tests.metrics import slow


def structural_components(y, score):
    """Placements pair by pair, as DeLong, DeLong & Clarke-Pearson 1988 define them."""
    kernel = lambda x, z: 1.0 if x > z else 0.5 if x == z else 0.0  # noqa: E731
    positives, negatives = score[y == 1], score[y == 0]
    v10 = np.array([np.mean([kernel(x, z) for z in negatives]) for x in positives])
    v01 = np.array([np.mean([kernel(x, z) for x in positives]) for z in negatives])
    return v10, v01


def test_one_image_per_patient_is_delong():
    rng = np.random.default_rng(0)
    y = rng.random(60) < 0.4
    score = np.round(y + rng.normal(size=60), 1)
    v10, v01 = structural_components(y, score)
    delong = np.sqrt(v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01))
    # With one image per patient nobody has both classes: Obuchowski's cross term is a sum over
    # patients of products with a zero factor, so it vanishes.
    assert obuchowski_se(ScoreRanking.of(y, score), np.arange(60)) == pytest.approx(delong, rel=1e-12)


def test_formula_of_obuchowski_cluster_by_cluster():
    y, score, patient = slow.cohort(np.random.default_rng(1), 25)
    code = np.unique(patient, return_inverse=True)[1]
    v10, v01 = structural_components(y, score)
    area = v10.mean()
    x_sum, y_sum, m, n = np.zeros((4, 25))
    for value, k in zip(v10, code[y == 1], strict=True):
        x_sum[k] += value
        m[k] += 1
    for value, k in zip(v01, code[y == 0], strict=True):
        y_sum[k] += value
        n[k] += 1
    i10, i01, i, M, N = (m > 0).sum(), (n > 0).sum(), 25, m.sum(), n.sum()
    s10 = i10 / ((i10 - 1) * M) * sum((x_sum[k] - m[k] * area) ** 2 for k in range(i))
    s01 = i01 / ((i01 - 1) * N) * sum((y_sum[k] - n[k] * area) ** 2 for k in range(i))
    s11 = i / (i - 1) * sum((x_sum[k] - m[k] * area) * (y_sum[k] - n[k] * area) for k in range(i))
    expected = np.sqrt(s10 / M + s01 / N + 2 * s11 / (M * N))
    assert obuchowski_se(ScoreRanking.of(y == 1, score), code) == pytest.approx(expected, rel=1e-12)


def test_it_agrees_with_the_bootstrap():
    y, score, patient = slow.cohort(np.random.default_rng(2), 1500, tied=False)
    auroc = bench.evaluate(y, score, patient, replicates=4000).auroc
    assert auroc.obuchowski_se == pytest.approx(auroc.se, rel=0.04)


def test_it_needs_two_patients_in_either_class():
    y = np.array([True, True, False, False])
    ranking = ScoreRanking.of(y, np.array([0.9, 0.8, 0.1, 0.2]))
    assert obuchowski_se(ranking, np.array([0, 0, 1, 2])) is None
    assert obuchowski_se(ranking, np.array([0, 3, 3, 3])) is None
