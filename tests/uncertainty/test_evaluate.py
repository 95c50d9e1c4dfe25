import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import t as student

import bench
from bench.metrics import calibration, discrimination, registry
from bench.metrics.metric import Needs
from bench.metrics.recalibration_line import calibration_in_the_large
from bench.metrics.registry import BINARY
from tests.metrics import slow

METRICS = registry.keys(*BINARY)


@pytest.fixture(scope="module")
def sample():
    return slow.cohort(np.random.default_rng(0), 150, tied=False)


@pytest.fixture(scope="module")
def result(sample):
    y, p, patient = sample
    return bench.evaluate(y, p, patient, replicates=500, seed=3)


def test_counts(sample, result):
    y, _, patient = sample
    assert (result.images, result.patients, result.positives) == (len(y), 150, y.sum())
    assert result.positive_patients == len(set(patient[y == 1]))
    assert result.negative_patients == len(set(patient[y == 0]))
    assert result.prevalence == pytest.approx(y.mean())


def test_values_are_those_of_the_pure_functions(sample, result):
    y, p, _ = sample
    line = bench.calibration_line(y, p)
    expected = {
        "auroc": bench.auroc(y, p),
        "auprc": bench.average_precision(y, p),
        "normalised_auprc": discrimination.normalised_average_precision(y, p),
        "sensitivity_at_90_specificity": bench.sensitivity_at_specificity(y, p, 0.9),
        "specificity_at_90_sensitivity": bench.specificity_at_sensitivity(y, p, 0.9),
        "brier": bench.brier(y, p),
        "scaled_brier": calibration.scaled_brier(y, p),
        "log_loss": calibration.log_loss(y, p),
        "oe_ratio": calibration.observed_expected(y, p),
        "ece": bench.calibration_error(y, p),
        "smooth_ece": calibration.smooth_calibration_error(y, p),
        "calibration_slope": line.slope,
        "calibration_intercept": line.intercept,
        "calibration_in_the_large": calibration_in_the_large(y, p),
    }
    assert {name: estimate.value for name, estimate in result.items()} == expected
    assert list(expected) == list(result)


def test_auroc_interval_is_the_formula_of_the_specification(sample, result):
    y, p, patient = sample
    m_total, n_total = y.sum(), (1 - y).sum()
    area = bench.auroc(y, p)
    parts = []
    for who in sorted(set(patient)):
        rows = patient == who
        x = sum(np.mean((s > p[y == 0]) + 0.5 * (s == p[y == 0])) for s in p[rows & (y == 1)])
        z = sum(np.mean((s < p[y == 1]) + 0.5 * (s == p[y == 1])) for s in p[rows & (y == 0)])
        m, n = (rows & (y == 1)).sum(), (rows & (y == 0)).sum()
        parts.append((x - m * area) / m_total + (z - n * area) / n_total)
    phi = np.array(parts)
    df = 2 * np.sum(phi**2) ** 2 / (np.sum(phi**4) - np.sum(phi**2) ** 2 / len(phi))
    smaller = min(len(set(patient[y == 1])), len(set(patient[y == 0])))
    df, factor = min(df, smaller - 1), np.sqrt(smaller / (smaller - 1))
    drawn = bench.PatientBootstrap(patient, 500, 3).replicates(y, p)
    assert np.array_equal(result.auroc_replicates, drawn)
    reach = student.ppf(0.975, df) * factor * np.std(logit(drawn), ddof=1)
    assert result.auroc.df == pytest.approx(df, rel=1e-9)
    assert result.auroc.low == pytest.approx(expit(logit(area) - reach), rel=1e-9)
    assert result.auroc.high == pytest.approx(expit(logit(area) + reach), rel=1e-9)


@pytest.mark.parametrize("name", [k for k in METRICS if not k.endswith("ece")])
def test_standard_errors_are_those_of_the_replicates(sample, name):
    y, p, patient = sample
    boot = bench.PatientBootstrap(patient, 500, 3)
    estimate = getattr(bench.evaluate(y, p, bootstrap=boot, refit_lines=True), name)
    drawn = boot.replicates(y, p, name)
    smaller = min(len(set(patient[y == 1])), len(set(patient[y == 0])))
    clusters = smaller if registry.metric(name).smaller_class and "sensitivity_at" not in name else 150
    error = np.sqrt(clusters / (clusters - 1)) * np.nanstd(drawn, ddof=1)
    if name in (
        "auprc",
        "normalised_auprc",
        "sensitivity_at_90_specificity",
    ):  # or the influences' error, where it is larger
        assert error <= estimate.se < 1.2 * error
    else:
        assert estimate.se == pytest.approx(error, rel=1e-9)
    assert (estimate.percentile_low, estimate.percentile_high) == pytest.approx(
        tuple(np.nanquantile(drawn, [0.025, 0.975])), rel=1e-9
    )
    assert estimate.low < estimate.value < estimate.high


def test_jackknife_and_refit_agree():
    y, p, patient = slow.cohort(np.random.default_rng(7), 2000, tied=False)
    boot = bench.PatientBootstrap(patient, 1000)
    jackknife, refit = (bench.evaluate(y, p, bootstrap=boot, refit_lines=flag) for flag in (False, True))
    for name in ("calibration_slope", "calibration_intercept", "calibration_in_the_large"):
        one, other = getattr(jackknife, name), getattr(refit, name)
        assert (one.method, other.method) == ("cr3-t", "t")
        assert one.se == pytest.approx(other.se, rel=0.07)
        assert one.df == pytest.approx(other.df, rel=0.02)


def test_bootstrap_and_patients_give_the_same(sample, result):
    y, p, patient = sample
    again = bench.evaluate(y, p, bootstrap=bench.PatientBootstrap(patient, 500, 3))
    arrays = {"auroc_replicates": 0, "auroc_influence": 0}
    assert dataclasses.asdict(again) | arrays == dataclasses.asdict(result) | arrays
    positional = bench.evaluate(y, p, patient, 500, 3, None)
    assert positional == result


def test_scores_that_are_no_probabilities_have_no_calibration(sample):
    y, p, patient = sample
    evaluation = bench.evaluate(y, 100 * p - 7, patient, replicates=500, seed=3, probabilities=False)
    direct = bench.evaluate(y, p, patient, replicates=500, seed=3)
    assert evaluation.auroc == direct.auroc
    assert evaluation.auprc == direct.auprc
    assert evaluation.sensitivity_at_90_specificity.value == direct.sensitivity_at_90_specificity.value
    for name in registry.keys(Needs.PROBABILITIES):
        assert getattr(evaluation, name) == bench.Estimate(None, reason="scores are not probabilities")
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        bench.evaluate(y, 100 * p, patient)


@pytest.mark.parametrize(("label", "reason"), [(0, "no positive image"), (1, "no negative image")])
def test_one_class_leaves_discrimination_undefined(label, reason):
    p = np.linspace(0.1, 0.6, 8)
    evaluation = bench.evaluate([label] * 8, p, list("aabbccdd"), replicates=100)
    for name in ("auroc", "auprc", "scaled_brier", "calibration_slope", "calibration_in_the_large"):
        estimate = getattr(evaluation, name)
        assert (estimate.value, estimate.low, estimate.reason) == (None, None, reason)
    assert evaluation.brier.value == pytest.approx(np.mean((p - label) ** 2))
    assert evaluation.brier.low is not None
    assert np.isnan(evaluation.auroc_replicates).all()
    assert np.isnan(evaluation.auroc_influence).all()


def test_no_rows():
    boot = bench.PatientBootstrap(["a", "b"], 50).select(np.zeros(2, bool))
    evaluation = bench.evaluate([], [], bootstrap=boot)
    assert (evaluation.images, evaluation.patients, evaluation.prevalence) == (0, 0, None)
    assert {estimate.reason for estimate in evaluation.values()} == {"no images"}
    assert {estimate.value for estimate in evaluation.values()} == {None}


def test_perfect_and_constant_scores():
    y, patient = [0, 0, 1, 1] * 20, np.arange(80)
    perfect = bench.evaluate(y, np.array(y, float), patient, replicates=200)
    assert perfect.auroc.value == 1.0
    assert perfect.auroc.low is None
    assert "equal" in perfect.auroc.reason
    assert perfect.calibration_slope.value is None
    assert "complete separation" in perfect.calibration_slope.reason
    constant = bench.evaluate(y, np.full(80, 0.5), patient, replicates=200)
    assert constant.auroc.value == 0.5
    assert constant.calibration_slope.value is None
    assert constant.calibration_in_the_large.value == pytest.approx(0, abs=1e-12)


def test_few_positive_patients_are_warned_about():
    rng = np.random.default_rng(0)
    y = np.zeros(300, int)
    y[:45] = 1
    evaluation = bench.evaluate(y, expit(y + rng.normal(size=300) - 1), np.arange(300) // 3, replicates=300)
    assert evaluation.positive_patients == 15
    assert "15 patients with a positive image (fewer than 20)" in evaluation.auroc.warnings


def test_weights_of_one_change_nothing_and_first_images_are_a_selection(sample):
    y, p, patient = sample
    boot = bench.PatientBootstrap(patient, 300)
    plain, ones = (
        bench.evaluate(y, p, bootstrap=boot),
        bench.evaluate(y, p, bootstrap=boot, weight=np.ones(len(y))),
    )
    assert ones.auroc.low == pytest.approx(plain.auroc.low, rel=1e-12)
    assert ones.brier.se == pytest.approx(plain.brier.se, rel=1e-12)
    first = np.r_[True, patient[1:] != patient[:-1]]
    weighted = bench.evaluate(y, p, bootstrap=boot, weight=first)
    chosen = bench.evaluate(y[first], p[first], bootstrap=boot.select(first))
    assert weighted.images == chosen.images == 150
    for name in METRICS:
        one, other = getattr(weighted, name), getattr(chosen, name)
        assert one.value == pytest.approx(other.value, rel=1e-12)
        assert one.low == (None if other.low is None else pytest.approx(other.low, rel=1e-9))


def test_patient_weights_are_those_of_a_patient_mean():
    # With the label constant in a patient, patient weights make AUROC the mean over pairs of patients.
    rng = np.random.default_rng(5)
    size = rng.integers(1, 6, 30)
    patient = np.repeat(np.arange(30), size)
    label = rng.random(30) < 0.5
    y, p = label[patient].astype(int), rng.random(len(patient))
    area = bench.evaluate(y, p, patient, replicates=50, weight=1 / size[patient]).auroc.value
    pairs = [
        np.mean(p[patient == i][:, None] > p[patient == j][None, :])
        for i in np.flatnonzero(label)
        for j in np.flatnonzero(~label)
    ]
    assert area == pytest.approx(np.mean(pairs), rel=1e-12)


def test_patients_must_be_named(sample):
    y, p, patient = sample
    with pytest.raises(ValueError, match="patient_id"):
        bench.evaluate(y, p)
    with pytest.raises(ValueError, match="level"):
        bench.evaluate(y, p, patient, replicates=10, level=95)


def test_ignoring_patients_makes_intervals_too_narrow():
    rng = np.random.default_rng(1)
    patient = np.repeat(np.arange(200), 5)
    y = (rng.random(200) < 0.3)[patient].astype(int)
    p = expit(y + rng.normal(size=200)[patient] + 0.3 * rng.normal(size=1000))
    honest = bench.evaluate(y, p, patient, replicates=500).auroc
    naive = bench.evaluate(y, p, np.arange(1000), replicates=500).auroc
    assert honest.high - honest.low > 1.5 * (naive.high - naive.low)


def test_metrics_not_asked_for_are_left_out(sample, result):
    y, p, patient = sample
    some = bench.evaluate(y, p, patient, replicates=500, seed=3, metrics=("auroc", "brier"))
    assert (some.auroc, some.brier) == (result.auroc, result.brier)
    assert np.array_equal(some.auroc_replicates, result.auroc_replicates)
    for name in set(METRICS) - {"auroc", "brier"}:
        assert getattr(some, name) == bench.Estimate(None, reason="not requested")
    with pytest.raises(ValueError, match="unknown metric"):
        bench.evaluate(y, p, patient, replicates=5, metrics=("accuracy",))


def test_calibration_errors_have_a_noise_floor_and_no_interval(sample, result):
    y, p, _ = sample
    for name in ("ece", "smooth_ece"):
        estimate = result[name]
        assert 0.02 < estimate.noise_floor < 0.1
        assert (estimate.low, estimate.percentile_low, estimate.percentile_high) == (None, None, None)
        assert "biased upwards" in estimate.reason
    shuffled = np.random.default_rng(0).permutation(len(y))
    again = bench.evaluate(y[shuffled], p[shuffled], sample[2][shuffled], replicates=50)
    assert again.ece.noise_floor == pytest.approx(result.ece.noise_floor, rel=1e-12)


def test_sensitivity_near_one_has_a_lower_limit():
    y, patient = np.repeat([1, 0], 150), np.arange(300) // 3
    p = np.where(y == 1, 0.8, 0.1) + 0.05 * np.random.default_rng(1).random(300)
    estimate = bench.evaluate(y, p, patient, replicates=200).sensitivity_at_90_specificity
    assert (estimate.value, estimate.high, estimate.method) == (1.0, 1.0, "wilson-t")
    # Kish: 50 patients of three images are worth 50 images, all of them called: z²/(n + z²) is below 1.
    z = student.ppf(0.975, 49)
    assert estimate.low == pytest.approx(50 / (50 + z**2))


def test_few_score_levels_are_warned_about(sample, result):
    y, p, patient = sample
    evaluation = bench.evaluate(y, np.round(4 * p) / 4, patient, replicates=100)
    warned = evaluation.sensitivity_at_90_specificity.warnings
    assert any("only 5 distinct scores" in warning for warning in warned)
    assert not any("distinct" in w for w in result.sensitivity_at_90_specificity.warnings)


def test_positive_images_of_few_patients_are_warned_about():
    """30 patients with a positive image, one with 41 of them: (41 + 29)² / (41² + 29) = 2.9."""
    patient = np.append(np.zeros(40, int), np.arange(400))
    y, score = (patient < 30).astype(int), np.random.default_rng(0).random(440)
    uneven = bench.evaluate(y, score, patient, replicates=100, probabilities=False)
    even = bench.evaluate(y[40:], score[40:], patient[40:], replicates=100, probabilities=False)
    for metric in ("normalised_auprc", "specificity_at_90_sensitivity"):
        assert any("positive image is 2.9 (fewer than 15)" in w for w in uneven[metric].warnings)
        assert not any("fewer than 15" in warning for warning in even[metric].warnings)


def test_nearly_constant_predictions_are_warned_about():
    y, _, patient = slow.cohort(np.random.default_rng(2), 150)
    p = 0.3 + 0.0005 * np.random.default_rng(3).normal(size=len(y))
    slope = bench.evaluate(y, p, patient, replicates=100).calibration_slope
    assert any("nearly constant" in warning for warning in slope.warnings)


def test_a_perfect_brier_score_has_a_reason():
    y = np.array([0, 1] * 40)
    brier = bench.evaluate(y, y.astype(float), np.arange(80), replicates=2000).brier
    assert (brier.value, brier.low) == (0.0, None)
    assert "all replicates are equal" in brier.reason


def test_what_was_passed_is_named_in_errors():
    with pytest.raises(ValueError, match="p has 364 rows, y has 365"):
        bench.evaluate(np.arange(365) % 2, np.zeros(364), np.arange(365))
    y, p = pd.Series([0, 1, 1, 0]), pd.Series([0.1, 0.9, 0.8, 0.2], index=[3, 2, 1, 0])
    with pytest.raises(ValueError, match="p and y have different pandas indexes"):
        bench.evaluate(y, p, list("abcd"), 20)
    with pytest.raises(ValueError, match=r"^p holds 1 whole numbers beyond"):
        bench.evaluate([0, 1], [2**53 + 1, 1], list("ab"), 20, probabilities=False)
    with pytest.raises(TypeError, match=r"level must be a number between 0 and 1, not '0.95'"):
        bench.evaluate([0, 1], [0.2, 0.7], list("ab"), 20, level="0.95")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="metrics must be a list of keys, not 'auroc'"):
        bench.evaluate([0, 1], [0.2, 0.7], list("ab"), 20, metrics="auroc")
    with pytest.raises(TypeError, match="metrics must be a list of keys, not 3"):
        bench.evaluate([0, 1], [0.2, 0.7], list("ab"), 20, metrics=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown metric 'aurok'; did you mean 'auroc'"):
        bench.evaluate([0, 1], [0.2, 0.7], list("ab"), 20, metrics=["aurok"])
    with pytest.raises(TypeError, match="metric must be the key of a metric as text, not None"):
        bench.compare([0, 1], [0.2, 0.7], [0.1, 0.7], list("ab"), metric=None)
    with pytest.raises(ValueError, match="prediction has 3 rows, truth has 4"):
        bench.evaluate_continuous([1, 2, 3, 4], [1, 2, 3], list("abcd"))


def test_an_alias_names_a_metric_as_in_compare():
    evaluation = bench.evaluate([0, 1], [0.2, 0.7], list("ab"), 20, metrics=["average_precision"])
    assert (evaluation.auprc.value, evaluation.auroc.reason) == (1.0, "not requested")


@pytest.mark.parametrize("word", ["", "  ", "nan", "NaN", "None", "<NA>", "NaT"])
def test_text_for_a_missing_value_is_no_patient(word):
    ids = [word, word, "b", "c"]
    with pytest.raises(ValueError, match="patient_id holds 2 ids that are blank or mean a missing value"):
        bench.evaluate([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.2], ids, 20)
    with pytest.raises(ValueError, match="patient_id holds 2 ids that are blank or mean a missing value"):
        bench.compare([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.2], [0.1, 0.9, 0.8, 0.2], ids, replicates=20)


def test_missing_ids_that_pandas_wrote_as_text_are_no_patient():
    ids = pd.Series(["a", None, "b", np.nan]).astype(str)
    with pytest.raises(ValueError, match=r"patient_id holds 2 (ids|missing)"):
        bench.evaluate([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.2], ids, 20)


def test_patients_and_bootstrap_that_disagree_are_refused():
    y, p, ids = [0, 1, 1, 0], [0.1, 0.9, 0.8, 0.2], list("aabc")
    boot = bench.PatientBootstrap(ids, 20)
    assert bench.evaluate(y, p, ids, bootstrap=boot) == bench.evaluate(y, p, bootstrap=boot)
    with pytest.raises(ValueError, match="name different patients in 1 of 4 rows"):
        bench.evaluate(y, p, list("aabb"), bootstrap=boot)
    with pytest.raises(ValueError, match="name different patients in 1 of 4 rows"):
        bench.compare(y, p, p, list("abbc"), bootstrap=boot)
    with pytest.raises(ValueError, match="name different patients in 4 of 4 rows"):
        bench.evaluate_continuous([1.0, 2, 3, 4], [1.0, 2, 3, 5], list("wxyz"), bootstrap=boot)
    with pytest.raises(TypeError, match="bootstrap must be a PatientBootstrap, not int"):
        bench.evaluate(y, p, ids, bootstrap=200)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["probabilities", "refit_lines"])
def test_a_word_is_no_answer_to_yes_or_no(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} must be True or False, not 'no'"):
        bench.evaluate([0, 1, 1], [0.2, 0.7, 0.4], list("abc"), 20, **{name: "no"})  # type: ignore[arg-type]
