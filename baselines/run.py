"""Runs a baseline and writes what an entrant would hand in: a manifest with predictions or a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from baselines.api import Baseline, Pixels, Progress, Result, Track, Values, silent
from baselines.registry import find_baseline
from baselines.views import make_task
from bench.cohort.images import ImageFolders
from bench.cohort.split import FOLDS
from bench.cohort.table import Cohort
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.files import atomic_path, write_atomic
from bench.submission.manifest import Manifest
from bench.submission.store import manifest_toml

MANIFEST = "submission.toml"
PREDICTIONS = "predictions.csv"


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """The files of a finished run, ready for `bench submit`.

    Attributes:
        name: The baseline, also the slug it is submitted under.
        manifest: ``submission.toml``.
        predictions: Predictions of the track's images, by image id.
        model: The ONNX file to hand in instead of the predictions, where there is one.
    """

    name: str
    manifest: Path
    predictions: Path
    model: Path | None


def run_baseline(
    name: str,
    cohort: Cohort,
    folder: Path,
    *,
    seed: int = 0,
    quick: bool = False,
    track: Track = "holdout",
    cache: Pixels | None = None,
    progress: Progress = silent,
) -> FinishedRun:
    """Trains a baseline on a cohort and writes its submission files into `folder`.

    Args:
        name: Name of the baseline.
        cohort: What to train on; the baseline itself never sees it.
        folder: The run's folder, made where absent; a run that was interrupted here goes on.
        seed: Seed of everything random.
        quick: Whether the quick form is wanted.
        track: ``cv5`` trains on each fold's complement and predicts every image out of fold.
        cache: The cohort's decoded images, as `bench.cohort.cache.open_cache` gives them.
        progress: Told how far it is.

    Raises:
        BenchError: The baseline is unknown, or the cohort or the environment lacks what it needs.
    """
    baseline = find_baseline(name)
    check_needs(baseline, cohort)
    try:
        return _run_and_write(baseline, cohort, folder, _How(seed, quick, cache, progress), track)
    except OSError as error:
        message = f"The run could not be written: {error.strerror or error}."
        raise BenchError(Problem("baseline-write", message, where=str(folder)), EXIT_ENVIRONMENT) from error


def _run_and_write(baseline: Baseline, cohort: Cohort, folder: Path, how: _How, track: Track) -> FinishedRun:
    if track == "cv5":
        result = _cross_validated(baseline, cohort, folder, how)
        rows = np.arange(len(cohort))
    else:
        result = _run(baseline, cohort, folder, how)
        rows = cohort.rows("test")
    predictions = folder / PREDICTIONS
    _write_predictions(predictions, cohort.spec.columns.image, cohort.images[rows], result.predictions)
    write_atomic(folder / MANIFEST, manifest_toml(result.manifest).encode())
    return FinishedRun(baseline.name, folder / MANIFEST, predictions, result.model)


def check_needs(baseline: Baseline, cohort: Cohort) -> None:
    """Refuses a cohort or environment that lacks what the baseline needs.

    Raises:
        BenchError: ``baseline-input-missing``; with exit 3 ``images-folder-missing`` or
            ``baseline-extra-missing``.
    """
    if missing := [name for name in baseline.needs_inputs if name not in cohort.spec.columns.inputs]:
        message = f"{baseline.name} needs the inputs {', '.join(missing)}, which the cohort does not declare."
        where = f"cohort {cohort.spec.id}, [columns.inputs]"
        raise BenchError(Problem("baseline-input-missing", message, where=where))
    beside = set(baseline.needs_inputs_beside)
    if beside and not set(cohort.spec.columns.inputs) - beside:
        message = f"{baseline.name} needs an input beside {' and '.join(baseline.needs_inputs_beside)}."
        where = f"cohort {cohort.spec.id}, [columns.inputs]"
        raise BenchError(Problem("baseline-input-missing", message, where=where))
    if baseline.needs_images:
        ImageFolders(cohort)
    if absent := missing_packages(baseline):
        message = f"{baseline.name} needs {', '.join(absent)}, which cannot be imported."
        raise BenchError(Problem("baseline-extra-missing", message), EXIT_ENVIRONMENT)


def missing_packages(baseline: Baseline) -> list[str]:
    """Packages that the baseline needs and that cannot be imported here."""
    return [name for name in baseline.needs_packages if find_spec(name) is None]


@dataclass(frozen=True, slots=True)
class _How:
    """What every fold of a run shares."""

    seed: int
    quick: bool
    cache: Pixels | None
    progress: Progress


def _run(baseline: Baseline, cohort: Cohort, folder: Path, how: _How, fold: int | None = None) -> Result:
    folder.mkdir(parents=True, exist_ok=True)
    task = make_task(
        cohort,
        baseline,
        seed=how.seed,
        quick=how.quick,
        folder=folder,
        fold=fold,
        cache=how.cache,
        progress=how.progress,
    )
    result = baseline.run(task)
    for target, values in result.predictions.items():
        if values.shape != (len(task.test),):
            raise ValueError(f"{baseline.name} predicts {values.shape} of {target}, not {len(task.test)}")
    return result


def _cross_validated(baseline: Baseline, cohort: Cohort, folder: Path, how: _How) -> Result:
    """Out-of-fold predictions of every image, in canonical order."""
    gathered: dict[str, Values] = {}
    manifest: Manifest | None = None
    for fold in range(FOLDS):

        def told(message: str, done: int, total: int, fold: int = fold) -> None:
            how.progress(f"fold {fold + 1} of {FOLDS}: {message}", done, total)

        result = _run(baseline, cohort, folder / f"fold-{fold}", replace(how, progress=told), fold)
        for target, values in result.predictions.items():
            gathered.setdefault(target, np.full(len(cohort), np.nan))[cohort.split.folds == fold] = values
        manifest = result.manifest
    if manifest is None:
        raise AssertionError("a split has folds")
    return Result(manifest.model_copy(update={"track": "cv5", "model": None}), gathered)


def _write_predictions(path: Path, column: str, images: object, predictions: dict[str, Values]) -> None:
    with atomic_path(path) as part:
        pd.DataFrame({column: images, **predictions}).to_csv(part, index=False, lineterminator="\n")
