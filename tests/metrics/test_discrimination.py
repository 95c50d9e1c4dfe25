import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

import bench
from bench.metrics.discrimination import (
    mean_rank,
    normalised_average_precision,
    operating_point,
)
from tests.metrics import slow

SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000000000000001, 0.75, 1.0])


@st.composite
def samples(draw, least=2):
    rows = draw(st.integers(least, 30))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)))
    y[:2] = 0, 1
    score = np.array(draw(st.lists(SCORES, min_size=rows, max_size=rows)))
    weight = np.array(draw(st.lists(st.integers(0, 4), min_size=rows, max_size=rows)), float)
    weight[:2] = np.maximum(weight[:2], 1)
    return y, score, weight


@given(samples())
def test_auroc_is_the_share_of_ordered_pairs(sample):
    y, score, weight = sample
    assert bench.auroc(y, score) == pytest.approx(slow.auroc(y, score), abs=1e-14)
    assert bench.auroc(y, score, weight) == pytest.approx(slow.auroc(y, score, weight), abs=1e-14)


@given(samples())
def test_auroc_and_average_precision_equal_scikit_learn(sample):
    y, score, weight = sample
    # scikit-learn drops ROC points by closeness, so scores one ulp apart are compared by rank.
    ranks = np.unique(score, return_inverse=True)[1]
    for row in (None, weight):
        assert bench.auroc(y, score, row) == pytest.approx(
            roc_auc_score(y, ranks, sample_weight=row), abs=1e-12
        )
        assert bench.average_precision(y, score, row) == pytest.approx(
            average_precision_score(y, ranks, sample_weight=row), abs=1e-12
        )


@given(samples(), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_operating_points_are_the_best_attainable_steps(sample, share):
    y, score, weight = sample
    for row in (None, weight):
        assert bench.sensitivity_at_specificity(y, score, share, row) == pytest.approx(
            slow.sensitivity_at_specificity(y, score, share, row), abs=1e-14
        )
        assert bench.specificity_at_sensitivity(y, score, share, row) == pytest.approx(
            slow.specificity_at_sensitivity(y, score, share, row), abs=1e-14
        )


def test_a_demanded_share_that_is_attained_exactly_counts():
    y = np.array([0] * 10 + [1] * 10)
    score = np.concatenate([np.arange(10), np.full(10, 8.5)])
    assert bench.sensitivity_at_specificity(y, score, 0.9) == 1.0
    assert bench.specificity_at_sensitivity(1 - y, -score, 0.9) == 1.0
    weight = np.full(20, 0.1)
    assert bench.sensitivity_at_specificity(y, score, 0.9, weight) == 1.0


def test_one_ulp_is_not_a_tie():
    below, above = 0.3, np.nextafter(0.3, 1)
    assert bench.auroc([0, 1], [below, above]) == 1.0
    assert bench.auroc([1, 0], [below, above]) == 0.0
    assert bench.auroc([0, 1], [below, below]) == 0.5


@pytest.mark.parametrize(
    ("ratings_normal", "ratings_abnormal", "area"),
    [
        # Hanley & McNeil 1982, table I: 109 CT images rated 1 to 5 by one reader; area 0.893.
        ([33, 6, 6, 11, 2], [3, 2, 2, 11, 33], 0.893),
    ],
)
def test_worked_example_of_hanley_and_mcneil(ratings_normal, ratings_abnormal, area):
    scale = np.arange(1, 6)
    score = np.concatenate([np.repeat(scale, ratings_normal), np.repeat(scale, ratings_abnormal)])
    y = np.repeat([0, 1], [sum(ratings_normal), sum(ratings_abnormal)])
    assert len(y) == 109
    assert bench.auroc(y, score) == pytest.approx(area, abs=5e-4)


@given(samples())
def test_monotone_maps_change_nothing(sample):
    y, score, weight = sample
    mapped = np.exp(3 * np.unique(score, return_inverse=True)[1])
    for figure in (bench.auroc, bench.average_precision):
        assert figure(y, score, weight) == figure(y, mapped, weight)
    assert bench.sensitivity_at_specificity(y, score, 0.9) == bench.sensitivity_at_specificity(y, mapped, 0.9)


@given(samples())
def test_flipping_labels_or_scores_mirrors_the_area(sample):
    y, score, weight = sample
    area = bench.auroc(y, score, weight)
    assert bench.auroc(1 - y, score, weight) == pytest.approx(1 - area, abs=1e-15)
    assert bench.auroc(y, -score, weight) == pytest.approx(1 - area, abs=1e-15)
    assert bench.auroc(1 - y, -score, weight) == pytest.approx(area, abs=1e-15)


@given(samples(), st.randoms(use_true_random=False))
def test_row_order_does_not_matter(sample, random):
    y, score, _ = sample
    rows = list(range(len(y)))
    random.shuffle(rows)
    assert bench.auroc(y[rows], score[rows]) == bench.auroc(y, score)
    assert bench.average_precision(y[rows], score[rows]) == bench.average_precision(y, score)


@given(samples())
def test_a_whole_weight_is_a_repetition(sample):
    y, score, weight = sample
    rows = np.repeat(np.arange(len(y)), weight.astype(int))
    assert bench.auroc(y, score, weight) == bench.auroc(y[rows], score[rows])
    assert bench.average_precision(y, score, weight) == pytest.approx(
        bench.average_precision(y[rows], score[rows]), abs=1e-15
    )


def test_rows_of_weight_zero_do_not_count():
    assert bench.auroc([0, 1, 1], [0.1, 0.9, 0.0], [1, 1, 0]) == 1.0
    assert bench.auroc([0, 1], [0.1, 0.9], [1, 0]) is None


@pytest.mark.parametrize("y", [[], [0, 0], [1, 1]])
def test_one_class_is_undefined(y):
    score = np.linspace(0, 1, len(y))
    assert bench.auroc(y, score) is None
    assert bench.average_precision(y, score) is None
    assert bench.sensitivity_at_specificity(y, score, 0.9) is None
    assert bench.specificity_at_sensitivity(y, score, 0.9) is None


@pytest.mark.parametrize(
    ("y", "score", "weight", "message"),
    [
        ([0, 1], [0.1, np.nan], None, "score holds 1 values that are NaN or infinite"),
        ([0, 1], [0.1, np.inf], None, "NaN or infinite"),
        ([0, 1, 1], [0.1, 0.2], None, "score has 2 rows, y has 3"),
        ([0, 2], [0.1, 0.2], None, "1 labels are something else"),
        ([0, -1], [0.1, 0.2], None, "0 and 1 only"),
        ([0, np.nan], [0.1, 0.2], None, "y holds 1 values"),
        ([0, 1], [0.1, 0.2], [1, -1], "1 negative"),
        ([0, 1], [0.1, 0.2], [1, np.nan], "weight holds 1"),
        ([0, 1], [0.1, 0.2], [1], "weight has 1 rows"),
        ([[0, 1]], [[0.1, 0.2]], None, "one dimension"),
        (["a", "b"], [0.1, 0.2], None, "numbers only"),
    ],
)
def test_unusable_arrays_are_refused(y, score, weight, message):
    with pytest.raises(ValueError, match=message):
        bench.auroc(y, score, weight)


def test_an_operating_point_is_what_its_threshold_does():
    y, score, _ = slow.cohort(np.random.default_rng(4), 60)
    point = operating_point(y, score, specificity=0.9)
    called = score >= point.threshold
    assert called[y == 1].mean() == point.sensitivity
    assert (~called)[y == 0].mean() == point.specificity
    with pytest.raises(ValueError, match="either"):
        operating_point(y, score)
    with pytest.raises(ValueError, match="between 0 and 1"):
        operating_point(y, score, sensitivity=1.0)


@settings(max_examples=30)
@given(samples(least=4))
def test_mean_rank_counts_from_the_highest(sample):
    _, score, _ = sample
    assert mean_rank(score) == pytest.approx(rankdata(-score))


@given(samples())
def test_normalised_average_precision_is_the_share_of_the_possible_gain(sample):
    y, score, weight = sample
    if not 0 < weight[y == 1].sum() < weight.sum():
        return
    value = normalised_average_precision(y, score, weight)
    prevalence = np.average(y, weights=weight)
    expected = average_precision_score(y, score, sample_weight=weight)
    assert value == pytest.approx((expected - prevalence) / (1 - prevalence), abs=1e-9)
    assert normalised_average_precision(y, y, weight) == pytest.approx(1)
    assert normalised_average_precision(y, np.zeros(len(y)), weight) == pytest.approx(0, abs=1e-12)
