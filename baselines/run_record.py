"""``run.json``: what a training run is made of, so that only the same run is continued."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from baselines.api import LabelledImages, TrainingTask, UnlabelledImages
from baselines.recipe import Recipe
from bench.files import canonical_json, write_atomic

RECORD = "run.json"
CHECKPOINTS = "checkpoints"
PACKAGES = ("chexchobench", "numpy", "torch", "lightning", "monai")


def begin_run(task: TrainingTask, recipe: Recipe) -> None:
    """Records the run in its folder, and removes the checkpoints there unless they are of this very run.

    A run is the same if recipe, seed, images, labels and versions are. One that was finished begins anew.
    """
    path = task.folder / RECORD
    record = _record(task, recipe)
    if not _is_unfinished(path, record):
        shutil.rmtree(task.folder / CHECKPOINTS, ignore_errors=True)
        write_atomic(path, canonical_json(record))


def end_run(task: TrainingTask) -> None:
    """Marks the run as finished."""
    path = task.folder / RECORD
    write_atomic(path, canonical_json({**json.loads(path.read_bytes()), "finished": True}))


def _is_unfinished(path: Path, record: dict[str, Any]) -> bool:
    try:
        return bool(path.read_bytes() == canonical_json(record))
    except OSError:
        return False


def _record(task: TrainingTask, recipe: Recipe) -> dict[str, Any]:
    views: dict[str, UnlabelledImages] = {"train": task.train, "val": task.val, "test": task.test}
    return {
        "schema": "baseline-run/1",
        "cohort": task.cohort,
        "seed": task.seed,
        "recipe": recipe.plain(),
        "images": {part: len(view) for part, view in views.items()},
        "digests": {part: _digest(view) for part, view in views.items()},
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "finished": False,
    }


def _digest(view: UnlabelledImages) -> str:
    """SHA-256 of a view's ids, inputs and labels; it does not look into the image files."""
    digest = hashlib.sha256()
    inputs = [view.inputs[name].to_numpy() for name in view.inputs]
    for column in (view.images, view.patients, *inputs):
        digest.update("\n".join(str(cell) for cell in column).encode() + b"\0")
    labels = view.labels if isinstance(view, LabelledImages) else {}
    for target in sorted(labels):
        digest.update(target.encode() + np.ascontiguousarray(labels[target]).tobytes())
    return digest.hexdigest()
