import pytest

from tests.simulation.cohorts import SETTINGS
from tests.simulation.simulate import simulate


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("300 × 3, strong", marks=pytest.mark.full_size), "60 × 5"])
def test_intervals_hold_the_truth_as_often_as_they_say(name):
    (setting,) = (setting for setting in SETTINGS if setting.name == name)
    tally = simulate(setting, cohorts=200, replicates=400, seed=1)
    # Three standard errors of a share of 0.95 among 200 are 4.6 points.
    for metric in (
        "auroc",
        "auprc",
        "sensitivity_at_90_specificity",
        "brier",
        "calibration_slope",
        "Δ auroc",
        "Δ brier",
    ):
        assert tally.coverage(metric) > 90, metric
    assert tally.coverage("image bootstrap") < tally.coverage("auroc") - 3
