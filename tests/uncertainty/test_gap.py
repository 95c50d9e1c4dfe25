import numpy as np
import pytest
from scipy.special import expit

import bench
from bench.uncertainty.estimates import Scored, gap_metrics, subgroup_gap
from bench.uncertainty.evaluate import prepare


def cohort(seed, patients=400):
    """Images of patients, and a mask that puts some patients' images on both sides."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), rng.geometric(0.4, patients))
    y = (rng.random(patients) < 0.3)[patient].astype(int)
    p = expit(1.5 * y - 1 + rng.normal(size=patients)[patient] + rng.normal(size=len(y)))
    member = (rng.random(patients) < 0.5)[patient] ^ (rng.random(len(y)) < 0.1)
    return y, p, patient, member


def sides(y, p, boot, member) -> tuple[Scored, Scored]:
    here, rest = (
        prepare(y[rows], p[rows], boot.select(rows), metrics=gap_metrics()) for rows in (member, ~member)
    )
    return here, rest


@pytest.mark.parametrize("metric", gap_metrics())
def test_a_gap_is_the_difference_with_the_error_of_the_bootstrap(metric):
    y, p, patient, member = cohort(1)
    boot = bench.PatientBootstrap(patient, 2000, seed=1)
    gap = subgroup_gap(*sides(y, p, boot, member), metric)
    inside, outside = boot.select(member), boot.select(~member)
    values = [
        getattr(bench.evaluate(y[rows], p[rows], bootstrap=part), metric).value
        for rows, part in ((member, inside), (~member, outside))
    ]
    assert gap.value == pytest.approx(values[0] - values[1], abs=1e-12)
    drawn = inside.replicates(y[member], p[member], metric) - outside.replicates(
        y[~member], p[~member], metric
    )
    assert gap.se == pytest.approx(np.std(drawn, ddof=1), rel=0.1)
    assert gap.low < gap.value < gap.high


def test_a_patient_with_many_images_is_warned_about():
    y, p, patient, member = cohort(3, 100)
    ordinary = subgroup_gap(*sides(y, p, bench.PatientBootstrap(patient, 50), member), "auroc")
    assert not any("one patient has" in warning for warning in ordinary.warnings)
    patient[: len(y) // 5] = patient[0]
    heavy = subgroup_gap(*sides(y, p, bench.PatientBootstrap(patient, 50), member), "auroc")
    assert any(warning.startswith("one patient has 20% of the images") for warning in heavy.warnings)


def test_sides_that_share_patients_are_not_taken_as_independent():
    """Every image doubled, one on either side: the subgroup_gap is zero and certain."""
    y, p, patient, _ = cohort(2, 60)
    twice = [np.repeat(a, 2) for a in (y, p, patient)]
    member = np.arange(len(twice[0])) % 2 == 0
    boot = bench.PatientBootstrap(twice[2], 50)
    gap = subgroup_gap(*sides(twice[0], twice[1], boot, member), "auroc")
    assert gap.value == 0
    assert gap.se == pytest.approx(0, abs=1e-12)


def test_an_undefined_side_has_a_reason():
    y, p, patient, member = cohort(3, 60)
    one_class = np.where(member, 0, y)
    boot = bench.PatientBootstrap(patient, 50)
    assert subgroup_gap(*sides(one_class, p, boot, member), "auroc").reason == "undefined here"
    assert subgroup_gap(*sides(one_class, p, boot, ~member), "auroc").reason == "undefined in the rest"


def test_an_unknown_metric_is_refused():
    y, p, patient, _ = cohort(4, 60)
    with pytest.raises(ValueError, match="unknown metric 'f1'"):
        subgroup_gap(*sides(y, p, bench.PatientBootstrap(patient, 50), y == y), "f1")


@pytest.mark.slow
def test_intervals_of_a_gap_hold_the_truth():
    """No gap in truth: the interval holds 0 in 95% of cohorts, within three standard errors."""
    held = 0
    for seed in range(300):
        y, p, patient, member = cohort(1000 + seed, 300)
        gap = subgroup_gap(*sides(y, p, bench.PatientBootstrap(patient, 300), member), "auroc")
        held += gap.low <= 0 <= gap.high
    assert 0.91 < held / 300 < 0.99
