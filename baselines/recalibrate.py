"""Recalibration on val: other probabilities from the same ranking, fitted on images that are not judged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.choices import Recalibration
from bench.metrics.validation import Floats

NAMES = {
    Recalibration.TEMPERATURE: "temperature scaling",
    Recalibration.ISOTONIC: "isotonic regression",
}
WORDS = {
    Recalibration.TEMPERATURE: "Recalibrated: logits divided by one temperature per target, fitted on val by "
    "likelihood.",
    Recalibration.ISOTONIC: "Recalibrated: probabilities replaced by isotonic regression on val, one per "
    "target.",
}
NEAREST = 1e-12  # to 0 and 1 that a probability counts as
HOTTEST = 50.0


def recalibrated(method: Recalibration, val: Floats, labels: Floats, test: Floats) -> Floats:
    """(n,) new probabilities of the test images; the old ones where val has not both classes.

    Args:
        method: How.
        val: (m,) probabilities of the val images.
        labels: (m,) their labels 0 or 1, NaN where excluded.
        test: (n,) probabilities of the test images.
    """
    known = ~np.isnan(labels)
    if len(np.unique(labels[known])) < 2:
        return test
    fit = {Recalibration.TEMPERATURE: _by_temperature, Recalibration.ISOTONIC: _by_isotonic}[method]
    return fit(val[known], labels[known])(test)


def temperature(p: Floats, labels: Floats) -> float:
    """The temperature between 1/50 and 50 whose logits have the greatest likelihood (Guo et al., ICML 2017).

    Args:
        p: (m,) probabilities.
        labels: (m,) 0 or 1.
    """
    from scipy.optimize import minimize_scalar

    sign, logits = 2 * labels - 1, _logit(p)

    def loss(log_t: float) -> float:
        return float(np.logaddexp(0.0, -sign * logits * np.exp(-log_t)).mean())

    bound = np.log(HOTTEST)
    return float(np.exp(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def _by_temperature(p: Floats, labels: Floats) -> Callable[[Floats], Floats]:
    from scipy.special import expit

    t = temperature(p, labels)
    return lambda test: np.asarray(expit(_logit(test) / t), np.float64)


def _by_isotonic(p: Floats, labels: Floats) -> Callable[[Floats], Floats]:
    """Its steps stay off 0 and 1, which no finite number of val images can show."""
    from sklearn.isotonic import IsotonicRegression

    least = 1 / (len(p) + 2)
    model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(p, labels)
    return lambda test: np.asarray(model.predict(test), np.float64)


def _logit(p: Floats) -> Floats:
    p = np.clip(p, NEAREST, 1 - NEAREST)
    return np.log(p) - np.log1p(-p)
