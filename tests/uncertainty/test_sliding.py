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
