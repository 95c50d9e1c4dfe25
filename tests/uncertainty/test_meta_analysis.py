"""Random-effects meta-analysis against R's metafor, and what its intervals cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, stdtrit

from bench.uncertainty.meta_analysis import pool, random_effects

BCG = (
    (
        *(-0.889311333920205, -1.58538865720143, -1.34807314829969, -1.44155119002131, -0.217547322211296),
        *(-0.786115585818864, -1.62089822359839, 0.0119523335238405, -0.469417648738149, -1.37134480347278),
        *(-0.339358828338391, 0.445913400571379, -0.0173139482168798),
    ),
    (
        *(0.325584765003961, 0.194581121398144, 0.415367965367965, 0.0200100319022476, 0.0512101721696309),
        *(0.00690561845590876, 0.223017247572315, 0.00396157929781773, 0.056434210463249),
        *(0.0730247936130289, 0.0124122139715597, 0.532505845200153, 0.0714046596839863),
    ),
)
"""Log relative risks of the BCG vaccine and their variances: Colditz et al. 1994, metafor's dat.bcg."""

AREAS, AREA_SE = [0.79, 0.74, 0.82, 0.70, 0.77], [0.012, 0.020, 0.015, 0.030, 0.018]
RATIOS, RATIO_SE = [1.10, 0.82, 1.45], [0.06, 0.08, 0.15]
SLOPES, SLOPE_SE = [0.95, 1.02, 0.98, 1.01], [0.1, 0.12, 0.09, 0.15]

# metafor 3.8-1 (Debian bookworm, r-cran-metafor): rma(y, v, method = "REML", test = "knha",
# control = list(threshold = 1e-15, maxiter = 1e5)). Estimate, standard error, tau2, I2 and confidence limits
# are its output; the prediction limits are b -+ qt(0.975, k - 2) * sqrt(tau2 + se^2) of its output.
METAFOR = {
    "bcg": (
        *(-0.714532342158, 0.180791744093, 0.313243258136, 0.922213845213),
        *(-1.108443713686, -0.320620970631, -2.009057650371, 0.579992966055),
    ),
    "auroc": (
        *(1.201495864782, 0.111795287148, 0.048645608262, 0.829639971564),
        *(0.891102386996, 1.511889342568, 0.414563733567, 1.988427995997),
    ),
    "ratio": (
        *(0.088280061413, 0.161922338191, 0.068647959541, 0.907645950973),
        *(-0.608415529013, 0.784975651838, -3.825288817279, 4.001848940104),
    ),
    "slope": (
        *(0.983293687100, 0.015317546865, 0.0, 0.0),
        *(0.934546416672, 1.032040957528, 0.917387602266, 1.049199771934),
    ),
}
CASES: dict[str, Any] = {
    "auroc": (AREAS, AREA_SE, "logit", expit),
    "ratio": (RATIOS, RATIO_SE, "log", np.exp),
    "slope": (SLOPES, SLOPE_SE, "identity", float),
}


def test_the_model_equals_metafor_on_the_bcg_trials() -> None:
    effects = random_effects(*BCG)
    values = (effects.mean, effects.se, effects.tau2, effects.i2)
    assert values == pytest.approx(METAFOR["bcg"][:4], abs=1e-6)
    assert effects.hospitals == 13


@pytest.mark.parametrize("case", CASES)
def test_pooled_metrics_equal_metafor_on_their_scales(case: str) -> None:
    values, errors, scale, back = CASES[case]
    pooled = pool(values, errors, scale)
    mean, se, tau2, i2, low, high, prediction_low, prediction_high = METAFOR[case]
    assert (pooled.se, pooled.tau**2, pooled.i2) == pytest.approx((se, tau2, i2), abs=1e-6)
    shown = (pooled.value, pooled.low, pooled.high, pooled.prediction_low, pooled.prediction_high)
    expected = [back(limit) for limit in (mean, low, high, prediction_low, prediction_high)]
    assert shown == pytest.approx(expected, rel=1e-6)
    assert pooled.hospitals == len(values)


def test_the_between_variance_maximises_the_restricted_likelihood() -> None:
    y, v = map(np.asarray, BCG)

    def likelihood(tau2: float) -> float:
        w = 1 / (v + tau2)
        rest = y - w @ y / w.sum()
        return 0.5 * (np.log(w).sum() - np.log(w.sum()) - w @ rest**2)

    best = random_effects(y, v).tau2
    grid = np.linspace(0, 2, 4001)
    assert likelihood(best) >= max(map(likelihood, grid)) - 1e-12


def test_below_three_hospitals_nothing_is_estimable() -> None:
    for values, errors in ([], []), ([0.8], [0.01]), ([0.8, 0.7, None], [0.01, 0.02, 0.02]):
        pooled = pool(values, errors, "logit")
        assert pooled.value is None
        assert pooled.prediction_low is None
        assert "not estimable" in pooled.reason
    pooled = pool([0.8, 0.7, 0.75, 1.0], [0.01, 0.02, 0.02, 0.0], "logit")
    assert pooled.hospitals == 3, "a hospital without a standard error is left out"


def test_bad_values_are_refused() -> None:
    for values, variances in ([1.0], [1.0]), ([1, 2], [1, 0]), ([1, np.nan], [1, 1]), ([1, 2], [1, 2, 3]):
        with pytest.raises(ValueError, match=r"values|variances"):
            random_effects(values, variances)


def coverage(hospitals: int, tau: float, trials: int, seed: int) -> float:
    """Share of prediction intervals that hold the value of a new hospital; errors within are 0.05 to 0.25."""
    random = np.random.default_rng(seed)
    covered = 0
    for _ in range(trials):
        v = random.uniform(0.05, 0.25, hospitals) ** 2
        y = random.normal(0, np.sqrt(tau**2 + v))
        effects = random_effects(y, v)
        reach = stdtrit(hospitals - 2, 0.975) * np.sqrt(effects.tau2 + effects.se**2)
        covered += abs(random.normal(0, tau) - effects.mean) <= reach
    return covered / trials


def test_the_prediction_interval_covers_a_new_hospital() -> None:
    assert 0.91 < coverage(hospitals=10, tau=0.4, trials=400, seed=20) < 0.98


@pytest.mark.perf
@pytest.mark.parametrize(("hospitals", "least"), [(3, 0.96), (5, 0.85), (10, 0.82), (20, 0.82)])
@pytest.mark.parametrize("tau", [0.0, 0.1, 0.2, 0.4])
def test_what_the_prediction_interval_covers(hospitals: int, least: float, tau: float) -> None:
    share = coverage(hospitals, tau, trials=1500, seed=hospitals)
    print(f"{hospitals} hospitals, spread {tau:g}: {100 * share:.1f}%")
    assert share > least
