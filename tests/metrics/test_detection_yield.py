import itertools

import numpy as np
import pytest

from bench.metrics.detection_yield import detection_yield


def test_cases_among_the_highest_scores_one_by_one():
    rng = np.random.default_rng(0)
    y, score = rng.random(200) < 0.2, rng.random(200)
    found = detection_yield(y, score, [0.05, 0.1, 1.0])
    for k, share in enumerate([0.05, 0.1, 1.0]):
        first = sorted(zip(-score, y, strict=True))[: round(share * 200)]
        hits = sum(label for _, label in first)
        assert found.per_100[k] == pytest.approx(100 * hits / len(first))
        assert found.found[k] == pytest.approx(hits / y.sum())
    assert found.random_per_100 == pytest.approx(100 * y.mean())
    assert found.per_100[-1] == pytest.approx(found.random_per_100)


def test_equal_scores_come_in_every_order_alike():
    y, score = [1, 0, 0, 1, 0], [0.9, 0.5, 0.5, 0.5, 0.1]
    orders = [(0, *middle, 4) for middle in itertools.permutations([1, 2, 3])]
    hits = np.mean([sum(y[i] for i in order[:2]) for order in orders])
    assert detection_yield(y, score, [0.4]).per_100[0] == pytest.approx(100 * hits / 2)


def test_scores_without_information_find_what_chance_finds():
    found = detection_yield([1, 0, 0, 0] * 5, np.zeros(20))
    assert found.per_100 == pytest.approx(np.full(len(found.examined), 25.0))
    assert found.found == pytest.approx(found.examined)


def test_weights_count_as_repeated_images():
    rng = np.random.default_rng(1)
    y, score, weight = rng.random(50) < 0.3, rng.random(50), rng.integers(1, 5, 50)
    copies = np.repeat(np.arange(50), weight)
    weighted, repeated = (
        detection_yield(y, score, weight=weight),
        detection_yield(y[copies], score[copies]),
    )
    assert weighted.per_100 == pytest.approx(repeated.per_100)


def test_shares_outside_the_range_and_one_class():
    for share in (0.0, 1.1, -0.2):
        with pytest.raises(ValueError, match="examined"):
            detection_yield([0, 1], [0.1, 0.2], [share])
    assert detection_yield([1, 1], [0.1, 0.2]) is None
