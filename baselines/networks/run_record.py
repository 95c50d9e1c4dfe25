"""``run.json``: record of a training run, so that only the same run is continued."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from baselines.api import LabelledImages, TrainingTask, UnlabelledImages
from baselines.networks.recipe import Recipe
from bench.environment import environment
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.files import canonical_json, write_atomic, write_json

RECORD = "run.json"
ENVIRONMENT = "environment.json"
CHECKPOINTS = "checkpoints"
LONGEST_WAIT_S = 600
PACKAGES = ("chexchobench", "numpy", "torch", "lightning", "monai")


def begin_run(task: TrainingTask, recipe: Recipe) -> None:
    """Record the run in its folder, and remove checkpoints of other runs.

    Two runs are the same if recipe, seed, images, labels and versions are equal. A finished run starts again.
    """
    path = task.folder / RECORD
    record = _record(task, recipe)
    if not is_first():
        _wait_for_first_process(path, record)
    elif not _is_unfinished(path, record):
        shutil.rmtree(task.folder / CHECKPOINTS, ignore_errors=True)
        write_json(task.folder / ENVIRONMENT, environment())
        write_atomic(path, canonical_json(record))


def is_first() -> bool:
    """Return whether this is the first or only process of a run."""
    from lightning.pytorch.utilities import rank_zero_only

    return not getattr(rank_zero_only, "rank", 0)


def _wait_for_first_process(path: Path, record: dict[str, Any]) -> None:
    """Wait until the first process has started the same run."""
    until = time.monotonic() + LONGEST_WAIT_S
    while not _is_unfinished(path, record):
        if time.monotonic() > until:
            message = f"The first process has not begun this run here after {LONGEST_WAIT_S} seconds."
            raise BenchError(Problem("baseline-processes", message, where=str(path)), EXIT_ENVIRONMENT)
        time.sleep(0.2)


def end_run(task: TrainingTask) -> None:
    """Mark the run as finished."""
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
    """Compute the SHA-256 of a view's ids, inputs and labels, without the image files."""
    digest = hashlib.sha256()
    inputs = [view.inputs[name].to_numpy() for name in view.inputs]
    for column in (view.images, view.patients, *inputs):
        digest.update("\n".join(str(cell) for cell in column).encode() + b"\0")
    labels = view.labels if isinstance(view, LabelledImages) else {}
    for target in sorted(labels):
        digest.update(target.encode() + np.ascontiguousarray(labels[target]).tobytes())
    return digest.hexdigest()
