import numpy as np
import pytest

import bench
from bench.uncertainty.sliding import sliding_auroc


def test_each_point_is_the_auroc_of_its_own_label():
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(150), 2)
    septum = 1.05 + 0.2 * rng.normal(size=150)[patient] + 0.05 * rng.normal(size=300)
    score = septum + 0.2 * rng.normal(size=300)
    boot = bench.PatientBootstrap(patient, 300)
    points = sliding_auroc(septum, score, [1.0, 1.2, 1.3, 9.0], boot)
    for point, cut in zip(points[:3], [1.0, 1.2, 1.3], strict=True):
        assert point.threshold == cut
        assert point.positives == (septum > cut).sum()
        assert point.positive_patients == len(set(patient[septum > cut]))
        pairs = score[septum > cut][:, None] > score[septum < cut][None, :]
        assert point.auroc.value == pytest.approx(pairs.mean())
        assert point.auroc.low < point.auroc.value < point.auroc.high
    assert points[3].auroc.reason == "no positive image"


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("levels", [5, 60, 10**6])
def test_all_thresholds_together_equal_each_one_alone(levels, weighted):
    """Tied scores, thresholds in any order, patients drawn so often that the 32-bit sums are emptied."""
    rng = np.random.default_rng(levels)
    patient = np.repeat(np.arange(150), 2)
    septum = rng.normal(size=300)
    score = np.round((septum + rng.normal(size=300)) * levels) / levels
    counts = rng.integers(0, 200, (260, 150))
    boot = bench.PatientBootstrap.from_counts(patient, counts, np.arange(150))
    weight = rng.integers(0, 3, 300) if weighted else None
    cuts = [0.5, -1.0, 0.0, 2.0, -9.0]
    for cut, point in zip(cuts, sliding_auroc(septum, score, cuts, boot, weight=weight), strict=True):
        alone = bench.evaluate(septum > cut, score, bootstrap=boot, weight=weight, probabilities=False)
        assert point.threshold == cut
        assert point.auroc == alone.auroc
        assert (point.positives, point.positive_patients) == (alone.positives, alone.positive_patients)
    assert sliding_auroc(septum, score, [], boot) == ()


def test_label_noise_near_the_threshold_costs_area():
    # The score is the true thickness; labels are cut from a noisy measurement. The wrong labels lie near the
    # threshold, where the score is near it too: away from the bulk of the patients there are fewer of them.
    rng = np.random.default_rng(1)
    truth = rng.normal(1.0, 0.2, 4000)
    measured = truth + rng.normal(0, 0.1, 4000)
    points = sliding_auroc(measured, truth, [1.0, 1.2, 1.4], bench.PatientBootstrap(np.arange(4000), 50))
    areas = [point.auroc.value for point in points]
    assert areas == sorted(areas)
    assert areas[0] < 0.97
