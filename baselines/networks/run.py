"""Run of a recipe: read images, train, predict, export."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from baselines.api import Result, TrainingTask
from baselines.describe import describe
from baselines.networks.export import export_onnx
from baselines.networks.heads import BinaryHead, EchoHead, Head
from baselines.networks.learner import WHITE, Learner
from baselines.networks.recipe import Recipe
from baselines.networks.run_record import begin_run, end_run, is_first
from baselines.networks.tensors import Arrays, load_arrays, ordered_batches
from baselines.networks.train import bounded_threads, fit
from baselines.tabular.fit import require_val
from bench.errors import BenchError, Problem
from bench.metrics.validation import Floats
from bench.progress import silent

MODEL = "model.onnx"


def run_recipe(task: TrainingTask, recipe: Recipe) -> Result:
    """Train a network by a recipe; return predictions and an ONNX file.

    Raises:
        BenchError: No val images (``baseline-no-training``), or an error of `fit`.
    """
    require_val(task)
    if recipe.processes > 1 and task.fold is not None:
        message = f"{recipe.processes} processes were requested, but folds are trained one after the other."
        raise BenchError(Problem("baseline-processes", message))
    if not is_first():
        task = replace(task, progress=silent)
    head = _head(task, recipe)
    learner = Learner(recipe, head, task.seed)
    begin_run(task, recipe)
    train, val, test = _arrays(task, recipe, head)
    learner.start_from(torch.from_numpy(train.labels))
    fit(learner, train, val, task.folder, task.progress)
    predictions = _predict(learner, test)
    task.progress("exporting to ONNX", 0, 1)
    model = task.folder / MODEL
    interface = export_onnx(learner, model)
    task.progress("exporting to ONNX", 1, 1)
    end_run(task)
    manifest = describe(
        task,
        recipe.title,
        recipe.description,
        recipe.inputs,
        parameters=sum(weight.numel() for weight in learner.parameters()),
        model=interface,
    )
    return Result(manifest, predictions, model)


def _head(task: TrainingTask, recipe: Recipe) -> Head:
    if recipe.head == "binary":
        return BinaryHead(task.targets)
    head = EchoHead(task.measurements, task.rules)
    if task.headline not in head.columns:
        message = f"No rule says how {task.headline} follows from measurements."
        raise BenchError(Problem("baseline-label-rule", message, where=f"cohort {task.cohort}"))
    return head


def _arrays(task: TrainingTask, recipe: Recipe, head: Head) -> tuple[Arrays, Arrays, Arrays]:
    extra = [name for name in recipe.inputs if name != "image"]
    side, progress = recipe.size, task.progress
    return (
        load_arrays(task.train, side, extra, head.labels, progress, "training"),
        load_arrays(task.val, side, extra, head.labels, progress, "val"),
        load_arrays(task.test, side, extra, (), progress, "test"),
    )


def _predict(learner: Learner, test: Arrays) -> dict[str, Floats]:
    learner.eval()
    with torch.inference_mode(), bounded_threads(learner.recipe.threads):
        batches = ordered_batches(test, learner.recipe.batch)
        predictions = [learner.predict(pixels.float() / WHITE, extra).numpy() for pixels, extra, _ in batches]
    columns = np.concatenate(predictions).astype(np.float64)
    return {target: columns[:, k] for k, target in enumerate(learner.head.columns)}
