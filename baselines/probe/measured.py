"""Ridge regression of measurements on fixed features, and targets by their thresholds, in one ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from baselines.api import Result, TrainingTask
from baselines.describe import describe
from baselines.probe.encoder import Encoder, Features, encode_parts
from baselines.probe.fixed import principal_components
from baselines.tabular.features import male
from bench.cohort.spec import LabelRule
from bench.metrics.validation import Floats
from bench.submission.manifest import ModelInputs

PENALTIES = tuple(float(a) for a in np.logspace(0, 5, 6))
LEAST_SPREAD = 0.05
UNKNOWN_SEX = 0.5
MODEL, OUTPUT = "model.onnx", "predictions"


@dataclass(frozen=True)
class MeasurementModel:
    """Normal distributions of measurements given features.

    Attributes:
        names: Measurements, one column each.
        weights: (width, measurements) of the features as they come.
        bias: (measurements,) added to their sum.
        spread: (measurements,) standard deviation.
        rules: How targets follow; columns are names of measurements.
    """

    names: tuple[str, ...]
    weights: Floats
    bias: Floats
    spread: Floats
    rules: tuple[LabelRule, ...]

    def predictions(self, features: Features, sex: Floats) -> dict[str, Floats]:
        """Target or measurement → (n,) of features (n, width) and sex (n,), male 1, NaN where unknown."""
        from scipy.special import ndtr

        mean = features.astype(np.float64) @ self.weights + self.bias
        share = np.where(np.isnan(sex), UNKNOWN_SEX, sex)
        none: dict[str, Floats] = {}
        for rule in self.rules:
            product = np.ones(len(features))
            for limit in rule.any_of:
                at = self.names.index(limit.column)
                threshold = limit.female + share * (limit.male - limit.female)
                product = product * ndtr((threshold - mean[:, at]) / self.spread[at])
            for other in rule.or_targets:
                product = product * none[other]
            none[rule.target] = product
        measured = {name: mean[:, k] for k, name in enumerate(self.names)}
        return {target: 1 - product for target, product in none.items()} | measured


def run_measured(task: TrainingTask, encoder: Encoder, name: str, description: str, fixed: int) -> Result:
    """Encode, project, fit one regression for each measurement, and join everything in one ONNX file.

    Args:
        task: What to learn and predict.
        encoder: Gives the features.
        name: As the board shows it.
        description: How it works.
        fixed: Number of features.

    Raises:
        BenchError: There is nothing to choose on (``baseline-no-training``).
    """
    train, val, test = encode_parts(encoder, task)
    model = _fit(task, train, val)
    _export(encoder, model, task.folder / MODEL)
    predictions = model.predictions(test, male(task.test))
    manifest = describe(
        task,
        name,
        description,
        ("image", "sex"),
        parameters=(fixed + 1) * len(model.names),
        model=ModelInputs(
            image=encoder.description.image,
            sex="sex",
            outputs={column: f"{OUTPUT}:{k}" for k, column in enumerate(predictions)},
        ),
    )
    return Result(manifest, predictions, task.folder / MODEL)


def _fit(task: TrainingTask, train: Features, val: Features) -> MeasurementModel:
    from sklearn.linear_model import Ridge

    projection, offset = principal_components(train, task.seed)
    scores, judged = train @ projection + offset, val @ projection + offset
    needed = {limit.column for rule in task.rules for limit in rule.any_of}
    names = tuple(name for name in task.measurements if name in needed)
    columns = []
    for done, name in enumerate(names):
        task.progress(f"fitting {name}", done, len(names))
        y, unseen = task.train.labels[name], task.val.labels[name]
        known, present = ~np.isnan(y), ~np.isnan(unseen)
        fits = [Ridge(penalty).fit(scores[known], y[known]) for penalty in PENALTIES]
        errors = [unseen[present] - fit.predict(judged[present]) for fit in fits]
        losses = [float(np.sqrt(np.mean(error**2))) if len(error) else 0.0 for error in errors]
        best = int(np.argmin(losses))
        columns.append((fits[best], max(losses[best], LEAST_SPREAD)))
    weights = np.column_stack([fit.coef_ for fit, _ in columns])
    bias = np.array([fit.intercept_ for fit, _ in columns]) + offset @ weights
    return MeasurementModel(
        names, projection @ weights, bias, np.array([spread for _, spread in columns]), task.rules
    )


def _export(encoder: Encoder, fitted: MeasurementModel, path: Path) -> None:
    """Write the ONNX file: features, means, and the probabilities that thresholds are exceeded."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph, prefix = onnx.GraphProto(), f"{OUTPUT}/"

    def constant(name: str, values: object) -> str:
        graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.float32), prefix + name))
        return prefix + name

    def node(kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        graph.node.append(helper.make_node(kind, inputs, [prefix + name], **attributes))
        return prefix + name

    graph.input.append(helper.make_tensor_value_info("sex", TensorProto.FLOAT, ["batch", 1]))
    unknown = node("IsNaN", ["sex"], "unknown")
    sex = node("Where", [unknown, constant("half", UNKNOWN_SEX), "sex"], "male")
    product = node("MatMul", [encoder.description.features, constant("w", fitted.weights)], "xw")
    means = node("Add", [product, constant("b", fitted.bias)], "means")
    unity, half = constant("one", [1.0]), constant("tail", [0.5])
    none: dict[str, str] = {}
    for rule in fitted.rules:
        factors = [none[other] for other in rule.or_targets]
        for k, limit in enumerate(rule.any_of):
            at, label = fitted.names.index(limit.column), f"{rule.target}/{k}/"
            mean = node("Gather", [means, _index(graph, prefix + label + "at", at)], label + "mean", axis=1)
            step = node("Mul", [sex, constant(label + "step", [limit.male - limit.female])], label + "by-sex")
            threshold = node("Add", [step, constant(label + "female", [limit.female])], label + "threshold")
            away = node("Sub", [threshold, mean], label + "away")
            scale = constant(label + "scale", [1 / (fitted.spread[at] * np.sqrt(2))])
            erf = node("Erf", [node("Mul", [away, scale], label + "z")], label + "erf")
            factors.append(node("Mul", [node("Add", [erf, unity], label + "erf1"), half], label + "below"))
        joint = factors[0]
        for k, factor in enumerate(factors[1:]):
            joint = node("Mul", [joint, factor], f"{rule.target}/none-{k}")
        none[rule.target] = joint
    exceeded = [node("Sub", [unity, joint], f"{target}/p") for target, joint in none.items()]
    graph.node.append(helper.make_node("Concat", [*exceeded, means], [OUTPUT], axis=1))
    width = len(exceeded) + len(fitted.names)
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", width]))
    encoder.write_extended(graph, path)


def _index(graph: Any, name: str, at: int) -> str:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(np.array([at], np.int64), name))
    return name
