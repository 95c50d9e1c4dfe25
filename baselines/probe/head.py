"""A linear probe: regularised logistic regression on features, and encoder and probe as one ONNX file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from baselines.probe.encoder import Encoder, Features
from bench.files import atomic_path
from bench.metrics.validation import Floats

STRENGTHS = tuple(float(c) for c in np.logspace(-5, 1, 7))  # inverse penalties, strongest penalty first
QUICK_STRENGTHS = STRENGTHS[1:6:2]
OUTPUT = "probabilities"


@dataclass(frozen=True)
class Probe:
    """A line through the features of one target.

    Attributes:
        weights: (width,) of the features as they come.
        bias: Added to their sum.
        strength: The inverse penalty that val chose; None where the training labels are of one class.
    """

    weights: Floats
    bias: float
    strength: float | None

    def probabilities(self, features: Features) -> Floats:
        """(n,) probabilities of features (n, width)."""
        from scipy.special import expit

        return np.asarray(expit(features.astype(np.float64) @ self.weights + self.bias), np.float64)


def fit_probe(
    train: Features, labels: Floats, val: Features, judged: Floats, strengths: tuple[float, ...] = STRENGTHS
) -> Probe:
    """The probe whose penalty has the least log loss on val.

    Args:
        train: (n, width) features to fit on.
        labels: (n,) 0 or 1, NaN where excluded.
        val: (m, width) features to choose on.
        judged: (m,) their labels; where none is known the strongest penalty is taken.
        strengths: Inverse penalties to choose from, ascending.
    """
    from sklearn.linear_model import LogisticRegression

    known = ~np.isnan(labels)
    x, y = train[known].astype(np.float64), labels[known]
    share = (y.sum() + 0.5) / (len(y) + 1)
    if len(np.unique(y)) < 2:
        return Probe(np.zeros(train.shape[1]), float(np.log(share / (1 - share))), None)
    mean, spread = x.mean(0), x.std(0)
    spread[spread < 1e-9 * (1 + np.abs(mean))] = np.inf  # a feature that never changes says nothing
    x = (x - mean) / spread
    model = LogisticRegression(max_iter=2000, warm_start=True)
    probes = []
    for strength in strengths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a weak penalty that does not converge is for val to judge
            model.set_params(C=strength).fit(x, y.astype(np.int8))
        weights = model.coef_[0] / spread
        probes.append(Probe(weights, float(model.intercept_[0] - mean @ weights), strength))
    losses = [_log_loss(probe, val, judged) for probe in probes]
    return probes[int(np.argmin(losses))]


def _log_loss(probe: Probe, features: Features, labels: Floats) -> float:
    known = ~np.isnan(labels)
    logits = features[known].astype(np.float64) @ probe.weights + probe.bias
    return float(np.logaddexp(0.0, (1 - 2 * labels[known]) * logits).mean()) if known.any() else 0.0


def export_probe(encoder: Encoder, probes: dict[str, Probe], path: Path) -> dict[str, str]:
    """Writes encoder and probes as one ONNX file; returns where each target is read from."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(encoder.model)
    graph, made = model.graph, f"{OUTPUT}/"
    weights = np.column_stack([probe.weights for probe in probes.values()]).astype(np.float32)
    bias = np.array([probe.bias for probe in probes.values()], np.float32)
    graph.initializer.append(numpy_helper.from_array(weights, made + "w"))
    graph.initializer.append(numpy_helper.from_array(bias, made + "b"))
    graph.node.extend(
        [
            helper.make_node("Cast", [encoder.said.features], [made + "x"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", [made + "x", made + "w"], [made + "xw"]),
            helper.make_node("Add", [made + "xw", made + "b"], [made + "logits"]),
            helper.make_node("Sigmoid", [made + "logits"], [OUTPUT]),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", len(probes)]))
    with atomic_path(path) as part:
        part.write_bytes(model.SerializeToString())
    return {target: f"{OUTPUT}:{k}" for k, target in enumerate(probes)}
