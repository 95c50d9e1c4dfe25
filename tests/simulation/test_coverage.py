import math

import pytest

from tests.simulation.cohorts import SETTINGS
from tests.simulation.simulate import simulate


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cohorts"), [pytest.param("300 × 3, strong", 200, marks=pytest.mark.full_size), ("60 × 5", 100)]
)
def test_intervals_hold_the_truth_as_often_as_they_say(name, cohorts):
    (setting,) = (setting for setting in SETTINGS if setting.name == name)
    tally = simulate(setting, cohorts, replicates=400, seed=1)
    least = 95 - 3 * math.sqrt(95 * 5 / cohorts)
    for metric in (
        "auroc",
        "auprc",
        "sensitivity_at_90_specificity",
        "brier",
        "calibration_slope",
        "Δ auroc",
        "Δ brier",
    ):
        assert tally.coverage(metric) > least, metric
    assert tally.coverage("image bootstrap") < tally.coverage("auroc") - 3
