"""Every metric of the registry with its interval, from its formula: scikit-learn, numpy and scipy alone.

Only the draws (`PatientBootstrap.counts`) come from the package. Replicates are computed on rows repeated as
often as their patient was drawn, influences by differences of the patients' weights.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score, roc_curve

import bench
from bench.metrics import registry
from bench.metrics.metric import Needs

STEP = 1e-4
LIMIT = norm.ppf(0.975)


def cohort(seed):
    """Labels, probabilities, patients, measurements, predictions; clusters of different size."""
    rng = np.random.default_rng([seed, 12])
    patients = (70, 110, 90)[seed]
    patient = rng.permutation(np.repeat(np.arange(patients), rng.geometric((0.5, 0.35, 0.8)[seed], patients)))
    y = rng.random(len(patient)) < expit(rng.normal(-0.7, 2.0, patients))[patient]
    p = expit(1.3 * y - 1.2 + 0.8 * rng.normal(size=patients)[patient] + 0.8 * rng.normal(size=len(y)))
    truth = 4 + 0.5 * rng.normal(size=patients)[patient] + 0.3 * rng.normal(size=len(y))
    guess = truth + 0.1 + 0.3 * rng.normal(size=patients)[patient] + 0.2 * rng.normal(size=len(y))
    return y.astype(int), p, patient, truth, guess


def precision(y, p, w):
    return average_precision_score(y, p, sample_weight=w)


def normalised_precision(y, p, w):
    share = np.average(y, weights=w)
    return (precision(y, p, w) - share) / (1 - share)


def sensitivity(y, p, w):
    alarms, hits, _ = roc_curve(y, p, sample_weight=w, drop_intermediate=False)
    return hits[alarms <= 0.1 + 1e-12].max()


def specificity(y, p, w):
    alarms, hits, _ = roc_curve(y, p, sample_weight=w, drop_intermediate=False)
    return 1 - alarms[hits >= 0.9 - 1e-12].min()


def scaled_brier(y, p, w):
    share = np.average(y, weights=w)
    return 1 - np.average((p - y) ** 2, weights=w) / (share * (1 - share))


BINARY = {
    "auroc": lambda y, p, w: roc_auc_score(y, p, sample_weight=w),
    "auprc": precision,
    "normalised_auprc": normalised_precision,
    "sensitivity_at_90_specificity": sensitivity,
    "specificity_at_90_sensitivity": specificity,
    "brier": lambda y, p, w: brier_score_loss(y, p, sample_weight=w),
    "scaled_brier": scaled_brier,
    "log_loss": lambda y, p, w: log_loss(y, p, sample_weight=w),
    "oe_ratio": lambda y, p, w: np.sum(w * y) / np.sum(w * p),
}


def moments(t, g, w):
    d, mean = g - t, lambda x: np.average(x, weights=w)
    spread = np.sqrt(np.sum(w * (d - mean(d)) ** 2) / (np.sum(w) - 1))
    cov = mean((t - mean(t)) * (g - mean(g)))
    vt, vg = mean((t - mean(t)) ** 2), mean((g - mean(g)) ** 2)
    return {
        "mae": mean(np.abs(d)),
        "rmse": np.sqrt(mean(d**2)),
        "bias": mean(d),
        "loa_low": mean(d) - LIMIT * spread,
        "loa_high": mean(d) + LIMIT * spread,
        "pearson": cov / np.sqrt(vt * vg),
        "concordance": 2 * cov / (vt + vg + mean(d) ** 2),
        "r2": 1 - mean(d**2) / vt,
    }


MEASURED = {
    name: lambda t, g, w, name=name: moments(t, g, w)[name]
    for name in ("mae", "rmse", "bias", "pearson", "concordance", "r2")
}


def replicates(value, a, b, patient, counts):
    """The metric of the rows of each draw, repeated."""
    found = []
    for drawn in counts:
        rows = np.repeat(np.arange(len(a)), drawn[patient])
        found.append(value(a[rows], b[rows], np.ones(len(rows))))
    return np.array(found)


def influences(value, a, b, patient):
    """Derivative by the weight of each patient."""
    found = []
    for who in np.unique(patient):
        up, down = (value(a, b, np.where(patient == who, 1 + h, 1.0)) for h in (STEP, -STEP))
        found.append((up - down) / (2 * STEP))
    return np.array(found)


def satterthwaite(phi):
    square = np.sum(phi**2) ** 2
    return min(2 * square / (np.sum(phi**4) - square / len(phi)), len(phi) - 1)


SCALES = {
    "logit": (logit, expit),
    "log": (np.log, np.exp),
    "fisher": (np.arctanh, np.tanh),
    "identity": (lambda x: x, lambda x: x),
}


def limits(value, drawn, phi, scale, clusters, *, sandwich=False):
    """`value ± t(df) · se` on a scale."""
    to, back = SCALES[scale]
    least = np.sqrt(np.sum(phi**2)) * (to(value + 1e-6) - to(value - 1e-6)) / 2e-6 if sandwich else 0.0
    se = np.sqrt(clusters / (clusters - 1)) * max(np.std(to(drawn), ddof=1), least)
    reach = student.ppf(0.975, min(satterthwaite(phi), clusters - 1)) * se
    return back(to(value) - reach), back(to(value) + reach)


FORM = {  # scale, patients of the smaller class only, sandwich where larger
    "auroc": ("logit", True, False),
    "auprc": ("logit", True, True),
    "normalised_auprc": ("fisher", True, True),
    "brier": ("log", False, False),
    "scaled_brier": ("identity", False, False),
    "log_loss": ("log", False, False),
    "oe_ratio": ("log", False, False),
    "mae": ("log", False, False),
    "rmse": ("log", False, False),
    "bias": ("identity", False, False),
    "pearson": ("fisher", False, True),
    "concordance": ("fisher", False, True),
    "r2": ("identity", False, False),
}


@pytest.fixture(scope="module", params=[0, 1, 2])
def data(request):
    y, p, patient, truth, guess = cohort(request.param)
    boot = bench.PatientBootstrap(patient, 50, request.param)
    order = np.array([boot.patients.index(str(who)) for who in np.unique(patient)])
    counts = boot.counts[:, order]
    evaluation = bench.evaluate(y, p, bootstrap=boot)
    measured = bench.evaluate_continuous(truth, guess, bootstrap=boot)
    smaller = min(len(set(patient[y == 1])), len(set(patient[y == 0])))
    return y, p, patient, truth, guess, counts, evaluation, measured, smaller


@pytest.mark.parametrize("name", BINARY)
def test_binary_metrics(data, name):
    y, p, patient, _, _, counts, found, _, smaller = data
    value = BINARY[name](y, p, np.ones(len(y)))
    assert found[name].value == pytest.approx(value, rel=1e-10)
    drawn = replicates(BINARY[name], y, p, patient, counts)
    expected = tuple(np.quantile(drawn, [0.025, 0.975]))
    assert (found[name].percentile_low, found[name].percentile_high) == pytest.approx(expected, rel=1e-9)
    if name in FORM:
        scale, few, sandwich = FORM[name]
        clusters = smaller if few else len(counts[0])
        phi = influences(BINARY[name], y, p, patient)
        expected = limits(value, drawn, phi, scale, clusters, sandwich=sandwich)
        assert (found[name].low, found[name].high) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", MEASURED)
def test_measurements(data, name):
    _, _, patient, truth, guess, counts, _, found, _ = data
    value = MEASURED[name](truth, guess, np.ones(len(truth)))
    assert found[name].value == pytest.approx(value, rel=1e-10)
    drawn = replicates(MEASURED[name], truth, guess, patient, counts)
    scale, _, sandwich = FORM[name]
    phi = influences(MEASURED[name], truth, guess, patient)
    expected = limits(value, drawn, phi, scale, len(counts[0]), sandwich=sandwich)
    assert (found[name].low, found[name].high) == pytest.approx(expected, rel=1e-5)


def test_limits_of_agreement(data):
    """MOVER: distances of bias and log standard deviation, each from the jackknife over patients."""
    _, _, patient, truth, guess, _, _, found, _ = data
    whole = moments(truth, guess, np.ones(len(truth)))
    without = [
        moments(truth[patient != who], guess[patient != who], np.ones(np.sum(patient != who)))
        for who in np.unique(patient)
    ]
    spread = lambda m: (m["loa_high"] - m["loa_low"]) / (2 * LIMIT)  # noqa: E731
    reaches = []
    for change in (
        np.array([m["bias"] - whole["bias"] for m in without]),
        np.log([spread(m) / spread(whole) for m in without]),
    ):
        se = np.sqrt((len(change) - 1) / len(change) * np.sum(change**2))
        reaches.append(student.ppf(0.975, satterthwaite(change)) * se)
    up, down = (LIMIT * spread(whole) * abs(np.expm1(sign * reaches[1])) for sign in (1, -1))
    for name, below, above in (("loa_low", up, down), ("loa_high", down, up)):
        expected = whole[name] - np.hypot(reaches[0], below), whole[name] + np.hypot(reaches[0], above)
        assert found[name].value == pytest.approx(whole[name], rel=1e-10)
        assert (found[name].low, found[name].high) == pytest.approx(expected, rel=1e-6)


def without_each(y, x, line, joint, patient):
    """(P, terms) changes of a line without each patient, by one Newton step from it."""
    design = np.stack([np.ones(len(x)), x], axis=1)
    chance = expit(design @ (line if joint else [line[0], 1.0]))
    if not joint:
        design = design[:, :1]
    changes = []
    for who in np.unique(patient):
        left = patient != who
        information = (design[left].T * (chance * (1 - chance))[left]) @ design[left]
        changes.append(np.linalg.solve(information, design[left].T @ (y - chance)[left]))
    return np.array(changes)


def fitted(y, x, joint):
    """The line of maximum likelihood, by a general minimiser."""

    def loss(line):
        odds = line[0] + (line[1] if joint else 1) * x
        return np.sum(np.logaddexp(0, odds) - y * odds)

    return minimize(loss, [0.0, 1.0][: 1 + joint], method="BFGS", options={"gtol": 1e-7}).x


def test_calibration_lines(data):
    """Fits by a general minimiser, and the jackknife over patients (CR3)."""
    y, p, patient, _, _, _, found, _, _ = data
    x = logit(p)
    lines = {True: fitted(y, x, True), False: fitted(y, x, False)}
    places = {
        "calibration_intercept": (True, 0),
        "calibration_slope": (True, 1),
        "calibration_in_the_large": (False, 0),
    }
    for name, (joint, place) in places.items():
        value = lines[joint][place]
        change = without_each(y, x, lines[joint], joint, patient)[:, place]
        se = np.sqrt((len(change) - 1) / len(change) * np.sum(change**2))
        reach = student.ppf(0.975, satterthwaite(change)) * se
        assert found[name].value == pytest.approx(value, abs=1e-5)
        assert found[name].high - found[name].value == pytest.approx(reach, rel=1e-3)
        assert found[name].value - found[name].low == pytest.approx(reach, rel=1e-3)


def test_calibration_errors(data):
    """Value and noise floor of the ECE over 15 bins, with other random signs."""
    y, p, patient, _, _, _, found, _, _ = data
    index = np.minimum((15 * p).astype(int), 14)
    gaps = np.zeros((15, patient.max() + 1))
    np.add.at(gaps, (index, patient), y - p)
    assert found.ece.value == pytest.approx(np.abs(gaps.sum(axis=1)).sum() / len(y), rel=1e-10)
    signs = np.random.default_rng(0).choice([-1, 1], (gaps.shape[1], 4000))
    assert found.ece.noise_floor == pytest.approx(np.abs(gaps @ signs).sum(axis=0).mean() / len(y), rel=0.06)
    # The smooth error at its own bandwidth, by the reflected Gaussian kernel itself.
    sigma = found.smooth_ece.value
    grid = np.linspace(0, 1, 2001)
    kernel = sum(
        np.exp(-0.5 * ((grid[:, None] - place) / sigma) ** 2)
        for image in (-2, 0, 2)
        for place in (p + image, image - p)
    ) / (sigma * np.sqrt(2 * np.pi))
    assert np.trapezoid(np.abs(kernel @ (y - p)) / len(y), grid) == pytest.approx(sigma, rel=2e-3)
    assert 0 < found.smooth_ece.noise_floor < found.ece.noise_floor * 1.5


def test_every_metric_is_here():
    lines = ("calibration_slope", "calibration_intercept", "calibration_in_the_large")
    here = {*BINARY, *MEASURED, *lines, "ece", "smooth_ece", "loa_low", "loa_high"}
    needs = (*registry.BINARY, Needs.MEASUREMENTS)
    assert {metric.key for metric in registry.BUILT_IN if metric.needs in needs} == here
