"""Linear probes: penalised logistic regression on features, and export with the encoder as ONNX."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from baselines.api import TrainingTask
from baselines.probe.encoder import Encoder, Features
from bench.metrics.validation import Floats

STRENGTHS = tuple(float(c) for c in np.logspace(-5, 1, 7))  # inverse penalties, strongest penalty first
PENALTIES = tuple(float(a) for a in np.logspace(0, 5, 6))  # of a ridge regression, weakest first
QUICK_STRENGTHS = STRENGTHS[1:6:2]
OUTPUT = "probabilities"

Matrix = npt.NDArray[np.floating[Any]]
"""Features (n, width) of any floating-point type."""


@dataclass(frozen=True)
class Probe:
    """Logistic regression of one target on features.

    Attributes:
        weights: (width,) weights of the unscaled features.
        bias: Intercept.
        strength: Inverse penalty chosen on val; None if the training labels have one class.
    """

    weights: Floats
    bias: float
    strength: float | None

    def probabilities(self, features: Matrix) -> Floats:
        """Compute probabilities (n,) from features (n, width)."""
        from scipy.special import expit

        return np.asarray(expit(features.astype(np.float64) @ self.weights + self.bias), np.float64)


@dataclass(frozen=True)
class Ridge:
    """Ridge regression of one measurement on features.

    Attributes:
        weights: (width,) weights of the unscaled features.
        bias: Intercept.
        strength: Penalty chosen on val; None if no training image has a measurement.
    """

    weights: Floats
    bias: float
    strength: float | None

    def predict(self, features: Matrix) -> Floats:
        """Compute the expected measurement (n,) from features (n, width)."""
        return np.asarray(features.astype(np.float64) @ self.weights + self.bias, np.float64)


class ScaledFeatures:
    """Training features scaled to mean 0 and variance 1, once for all targets with the same labelled rows."""

    def __init__(self, features: Matrix) -> None:
        """Keep features (n, width) as they are; a target's rows are scaled when they are asked for."""
        self.width = features.shape[1]
        self._features = features
        self._chosen = np.zeros(0, bool)
        self._scaled: tuple[Floats, Floats, Floats] | None = None

    def rows(self, chosen: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
        """Return the chosen rows scaled (m, width), and means and spreads (width,) before.

        Constant features have an infinite spread, and become 0.
        """
        if self._scaled is None or not np.array_equal(chosen, self._chosen):
            self._scaled = None  # one copy in memory at a time
            x = self._features[chosen].astype(np.float64)
            mean, spread = x.mean(0), x.std(0)
            spread[spread < 1e-9 * (1 + np.abs(mean))] = np.inf
            x -= mean
            x /= spread
            self._chosen, self._scaled = chosen, (x, mean, spread)
        return self._scaled


def fit_probe(
    train: Matrix | ScaledFeatures,
    labels: Floats,
    val: Matrix,
    val_labels: Floats,
    strengths: tuple[float, ...] = STRENGTHS,
    *,
    refit_tolerance: float | None = None,
) -> Probe:
    """Fit a probe with the penalty of least log loss on val.

    Args:
        train: (n, width) training features; a `ScaledFeatures` saves scaling them for each target.
        labels: (n,) training labels 0 or 1, NaN if excluded.
        val: (m, width) val features.
        val_labels: (m,) val labels; without any, the strongest penalty is chosen.
        strengths: Inverse penalties to choose from, ascending.
        refit_tolerance: Fit with the chosen penalty once more, to this tolerance of scikit-learn's.
    """
    from sklearn.linear_model import LogisticRegression

    scaled = train if isinstance(train, ScaledFeatures) else ScaledFeatures(train)
    labelled, judged = ~np.isnan(labels), ~np.isnan(val_labels)
    y = labels[labelled]
    share = (y.sum() + 0.5) / (len(y) + 1)
    if len(np.unique(y)) < 2:
        return Probe(np.zeros(scaled.width), float(np.log(share / (1 - share))), None)
    x, mean, spread = scaled.rows(labelled)
    model = LogisticRegression(max_iter=2000, warm_start=True)

    def fitted(strength: float) -> Probe:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that does not converge is judged on val
            model.set_params(C=strength).fit(x, y.astype(np.int8))
        weights = model.coef_[0] / spread
        return Probe(weights, float(model.intercept_[0] - mean @ weights), strength)

    probes = [fitted(strength) for strength in strengths]
    seen, truth = val[judged].astype(np.float64), val_labels[judged]
    losses = [_log_loss(probe, seen, truth) for probe in probes]
    best = int(np.argmin(losses))
    if refit_tolerance is None:
        return probes[best]
    model.set_params(tol=refit_tolerance)
    return fitted(strengths[best])


def fit_ridge(
    train: Matrix | ScaledFeatures,
    measured: Floats,
    val: Matrix,
    val_measured: Floats,
    penalties: tuple[float, ...] = PENALTIES,
) -> Ridge:
    """Fit a ridge regression with the penalty of least squared error on val.

    Args:
        train: (n, width) training features; they are scaled to unit variance, as by `ScaledFeatures`.
        measured: (n,) measurements, NaN where there is none.
        val: (m, width) val features.
        val_measured: (m,) val measurements; without any, the weakest penalty is chosen.
        penalties: Penalties of the squared weights to choose from.
    """
    scaled = train if isinstance(train, ScaledFeatures) else ScaledFeatures(train)
    known, judged = ~np.isnan(measured), ~np.isnan(val_measured)
    if not known.any():
        return Ridge(np.zeros(scaled.width), 0.0, None)
    y = measured[known]
    x, mean, spread = scaled.rows(known)
    # One decomposition of the covariance serves all penalties.
    values, vectors = np.linalg.eigh(x.T @ x)
    moment = vectors.T @ (x.T @ (y - y.mean()))
    fits = []
    for penalty in penalties:
        weights = vectors @ (moment / (np.maximum(values, 0) + penalty)) / spread
        fits.append(Ridge(weights, float(y.mean() - mean @ weights), penalty))
    errors = [np.square(fit.predict(val[judged]) - val_measured[judged]).sum() for fit in fits]
    return fits[int(np.argmin(errors))]


def fit_probes(task: TrainingTask, train: Features, val: Features) -> dict[str, Probe]:
    """Fit one probe for each binary target.

    Args:
        task: The training task; its quick form tries fewer penalties.
        train: (n, width) features of the training images.
        val: (m, width) features of the val images.
    """
    strengths = QUICK_STRENGTHS if task.quick else STRENGTHS
    probes, scaled = {}, ScaledFeatures(train)
    for fitted, target in enumerate(task.targets):
        task.progress(f"fitting {target}", fitted, len(task.targets))
        probes[target] = fit_probe(scaled, task.train.labels[target], val, task.val.labels[target], strengths)
    task.progress("fitted", len(task.targets), len(task.targets))
    return probes


def describe_penalties(probes: dict[str, Probe]) -> str:
    """List the inverse penalty of each target."""
    return ", ".join(f"{t} C = {p.strength:g}" for t, p in probes.items() if p.strength is not None)


def _log_loss(probe: Probe, features: Floats, labels: Floats) -> float:
    logits = features @ probe.weights + probe.bias
    return float(np.logaddexp(0.0, (1 - 2 * labels) * logits).mean()) if len(labels) else 0.0


def export_probe(encoder: Encoder, probes: dict[str, Probe], path: Path) -> dict[str, str]:
    """Write encoder and probes as one ONNX file; return target → output column."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph, prefix = onnx.GraphProto(), f"{OUTPUT}/"
    weights = np.column_stack([probe.weights for probe in probes.values()]).astype(np.float32)
    bias = np.array([probe.bias for probe in probes.values()], np.float32)
    graph.initializer.append(numpy_helper.from_array(weights, prefix + "w"))
    graph.initializer.append(numpy_helper.from_array(bias, prefix + "b"))
    graph.node.extend(
        [
            helper.make_node("Cast", [encoder.description.features], [prefix + "x"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", [prefix + "x", prefix + "w"], [prefix + "xw"]),
            helper.make_node("Add", [prefix + "xw", prefix + "b"], [prefix + "logits"]),
            helper.make_node("Sigmoid", [prefix + "logits"], [OUTPUT]),
        ]
    )
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", len(probes)]))
    encoder.write_extended(graph, path)
    return {target: f"{OUTPUT}:{k}" for k, target in enumerate(probes)}
