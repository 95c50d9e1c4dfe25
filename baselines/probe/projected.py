"""Logistic regression on principal components of fixed features: fit, predict and join in one ONNX file."""

from __future__ import annotations

import numpy as np

from baselines.api import Result, TrainingTask
from baselines.describe import describe
from baselines.probe.encoder import Encoder, encode_parts
from baselines.probe.fixed import principal_components
from baselines.probe.head import QUICK_STRENGTHS, STRENGTHS, Probe, export_probe, fit_probe
from bench.submission.manifest import ModelInputs

MODEL = "model.onnx"


def run_projected(task: TrainingTask, encoder: Encoder, name: str, description: str, fixed: int) -> Result:
    """Encode, project, fit one regression for each target, and join everything in one ONNX file.

    Args:
        task: What to learn and predict.
        encoder: Gives the features.
        name: As the board shows it.
        description: How it works; ``{chosen}`` becomes the penalties that val chose.
        fixed: Number of features.

    Raises:
        BenchError: There is nothing to choose on (``baseline-no-training``).
    """
    train, val, test = encode_parts(encoder, task)
    projection, offset = principal_components(train, task.seed)
    train_scores, val_scores = (
        (features @ projection + offset).astype(np.float32) for features in (train, val)
    )
    probes = {}
    for done, target in enumerate(task.targets):
        task.progress(f"fitting {target}", done, len(task.targets))
        fitted = fit_probe(
            train_scores,
            task.train.labels[target],
            val_scores,
            task.val.labels[target],
            QUICK_STRENGTHS if task.quick else STRENGTHS,
        )
        bias = fitted.bias + float(offset @ fitted.weights)
        probes[target] = Probe(projection @ fitted.weights, bias, fitted.strength)
    task.progress("fitted", len(task.targets), len(task.targets))
    outputs = export_probe(encoder, probes, task.folder / MODEL)
    chosen = ", ".join(f"{t} C = {p.strength:g}" for t, p in probes.items() if p.strength is not None)
    manifest = describe(
        task,
        name,
        description.format(chosen=chosen),
        ("image",),
        parameters=(fixed + 1) * len(probes),
        model=ModelInputs(image=encoder.description.image, outputs=outputs),
    )
    predictions = {target: probe.probabilities(test) for target, probe in probes.items()}
    return Result(manifest, predictions, task.folder / MODEL)
