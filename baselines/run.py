"""Run of a baseline: training, recalibration, and the files of its submission."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from baselines.api import Baseline, Choices, Pixels, Result, TrainingTask
from baselines.recalibrate import NAMES, WORDS, recalibrated
from baselines.registry import find_baseline
from baselines.views import make_task, measurement_rules
from bench.choices import Recalibration, Track
from bench.cohort.cohort import Cohort
from bench.cohort.images import ImageFolders
from bench.cohort.split import FOLDS
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.files import atomic_path, write_atomic
from bench.metrics.validation import Floats
from bench.progress import StageProgress, silent
from bench.submission.manifest import Manifest
from bench.submission.store import manifest_toml
from bench.workspace import MANIFEST, PREDICTIONS_CSV, VAL_PREDICTIONS_CSV

Predictions = dict[str, Floats]


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """Files of a finished run, ready for `bench submit`.

    Attributes:
        name: Name of the baseline.
        slug: Slug of the submission.
        manifest: ``submission.toml``.
        predictions: Predictions of the track's images, by image id.
        val: Predictions of the val images; None if the split or the track has none.
        model: ONNX file to submit instead of the predictions; None if there is none.
        recalibrated: Recalibrated predictions, one run for each requested method.
    """

    name: str
    slug: str
    manifest: Path
    predictions: Path
    val: Path | None
    model: Path | None
    recalibrated: tuple[FinishedRun, ...] = ()


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Configuration of a run.

    Attributes:
        seed: Seed of all random numbers.
        quick: Whether to train the quick form.
        track: ``cv5`` trains on each fold's complement and predicts every image out of fold.
        recalibrate: Methods for additional, recalibrated predictions, fitted on val.
        choices: User options.
        cache: Decoded images, from `bench.cohort.image_cache.cached_images`.
        copies: Groups of rows with the same pixels, from `bench.cohort.audit.require_valid_cohort`.
        progress: Progress callback.
    """

    seed: int = 0
    quick: bool = False
    track: Track = Track.HOLDOUT
    recalibrate: tuple[Recalibration, ...] = ()
    choices: Choices = field(default_factory=Choices)
    cache: Pixels | None = None
    copies: tuple[tuple[int, ...], ...] = ()
    progress: StageProgress = silent


def slug_of(name: str, track: Track, method: Recalibration | None = None) -> str:
    """Return the slug of a baseline's entry: its name, the track if not holdout, and the recalibration."""
    return "-".join([name, *(["cv5"] if track == "cv5" else []), *([method] if method else [])])


def run_baseline(name: str, cohort: Cohort, folder: Path, config: RunConfig | None = None) -> FinishedRun:
    """Train a baseline on a cohort and write its submission files into `folder`.

    Args:
        name: Name of the baseline.
        cohort: The cohort; the baseline receives views of it only.
        folder: Folder of the run, created if absent; an interrupted run in it is continued.
        config: Configuration; the defaults if None.

    Raises:
        BenchError: The baseline is unknown, or the cohort or the environment lacks what it needs.
    """
    baseline, config = find_baseline(name), config or RunConfig()
    check_needs(baseline, cohort, config)
    try:
        return _run_and_write(baseline, cohort, folder, config)
    except OSError as error:
        message = f"The run could not be written: {error.strerror or error}."
        raise BenchError(Problem("baseline-write", message, where=str(folder)), EXIT_ENVIRONMENT) from error


def _run_and_write(baseline: Baseline, cohort: Cohort, folder: Path, config: RunConfig) -> FinishedRun:
    if config.track == "cv5":
        fitted = _cross_validated(baseline, cohort, folder, config)
        rows = np.arange(len(cohort))
    else:
        fitted = _run(baseline, cohort, folder, config)
        rows = cohort.rows("test")
    manifest = fitted.result.manifest
    others = []
    for method, predictions in fitted.recalibrated.items():
        renamed = _recalibrated_manifest(manifest, method)
        written = _write(folder / method, cohort, rows, predictions, renamed)
        others.append(
            FinishedRun(baseline.name, slug_of(baseline.name, config.track, method), *written, None)
        )
    written = _write(folder, cohort, rows, SplitPredictions(fitted.result.predictions, fitted.val), manifest)
    slug = slug_of(baseline.name, config.track)
    return FinishedRun(baseline.name, slug, *written, fitted.result.model, tuple(others))


def _recalibrated_manifest(manifest: Manifest, method: Recalibration) -> Manifest:
    changes = {
        "name": f"{manifest.name}, {NAMES[method]}",
        "description": f"{manifest.description} {WORDS[method]}",
        "recalibration": method,
        "model": None,  # the file predicts the original probabilities
    }
    return manifest.model_copy(update=changes)


def check_needs(baseline: Baseline, cohort: Cohort, config: RunConfig | None = None) -> None:
    """Refuse a cohort, option or environment with which the baseline cannot run.

    Raises:
        BenchError: ``baseline-input-missing``, ``baseline-label-rule``, ``baseline-encoder`` or
            ``recipe-invalid``; with exit 3 ``images-folder-missing``, ``baseline-extra-missing`` or
            ``baseline-no-gpu``.
    """
    config = config or RunConfig()
    if missing := [name for name in baseline.needs_inputs if name not in cohort.spec.columns.inputs]:
        message = f"{baseline.name} needs the inputs {', '.join(missing)}, which the cohort does not declare."
        where = f"cohort {cohort.spec.id}, [columns.inputs]"
        raise BenchError(Problem("baseline-input-missing", message, where=where))
    beside = set(baseline.needs_inputs_beside)
    if beside and not set(cohort.spec.columns.inputs) - beside:
        message = f"{baseline.name} needs an input beside {' and '.join(baseline.needs_inputs_beside)}."
        where = f"cohort {cohort.spec.id}, [columns.inputs]"
        raise BenchError(Problem("baseline-input-missing", message, where=where))
    if baseline.needs_rule and cohort.spec.headline not in {r.target for r in measurement_rules(cohort.spec)}:
        message = f"No rule says how {cohort.spec.headline} follows from measurements."
        raise BenchError(Problem("baseline-label-rule", message, where=f"cohort {cohort.spec.id}"))
    if baseline.needs_images:
        ImageFolders(cohort)
    if baseline.needs_encoder and config.choices.encoder is None:
        message = f"{baseline.name} reads the features of an encoder, and none is named."
        raise BenchError(Problem("baseline-encoder", message))
    if absent := missing_packages(baseline):
        message = f"{baseline.name} needs {', '.join(absent)}, which cannot be imported."
        raise BenchError(Problem("baseline-extra-missing", message), EXIT_ENVIRONMENT)
    if baseline.check is not None:
        baseline.check(config.quick, config.choices)


def missing_packages(baseline: Baseline) -> list[str]:
    """Return the packages that the baseline needs and that are not installed."""
    return [name for name in baseline.needs_packages if find_spec(name) is None]


@dataclass(frozen=True, slots=True)
class SplitPredictions:
    """Predictions of the test images and of the val images."""

    test: Predictions
    val: Predictions


@dataclass(frozen=True, slots=True)
class FittedRun:
    """Result of a baseline, its val predictions, and both recalibrated by each method."""

    result: Result
    val: Predictions
    recalibrated: dict[Recalibration, SplitPredictions]


def _run(
    baseline: Baseline, cohort: Cohort, folder: Path, config: RunConfig, fold: int | None = None
) -> FittedRun:
    folder.mkdir(parents=True, exist_ok=True)
    task = make_task(
        cohort,
        baseline,
        seed=config.seed,
        quick=config.quick,
        folder=folder,
        fold=fold,
        cache=config.cache,
        copies=config.copies,
        predict_val=True,
        choices=config.choices,
        progress=config.progress,
    )
    result = baseline.run(task)
    for target, values in result.predictions.items():
        if values.shape != (len(task.test),):
            raise ValueError(f"{baseline.name} predicts {values.shape} of {target}, not {len(task.test)}")
    judged = len(cohort.rows("test")) if fold is None else int((cohort.split.folds == fold).sum())
    test = {target: values[:judged] for target, values in result.predictions.items()}
    val = {target: values[judged:] for target, values in result.predictions.items()}
    predictions, fitted = SplitPredictions(test, val), np.isin(task.test.images[judged:], task.val.images)
    return FittedRun(
        replace(result, predictions=test),
        val,
        {method: _recalibrate(method, task, predictions, fitted) for method in config.recalibrate},
    )


def _recalibrate(
    method: Recalibration, task: TrainingTask, predictions: SplitPredictions, fitted: npt.NDArray[np.bool_]
) -> SplitPredictions:
    """Recalibrate binary targets on the val images that are not duplicates; keep measurements."""
    test, val = dict(predictions.test), dict(predictions.val)
    for target in set(task.targets) & set(test):
        fitted_val, labels = predictions.val[target][fitted], task.val.labels[target]
        test[target] = recalibrated(method, fitted_val, labels, predictions.test[target])
        val[target] = recalibrated(method, fitted_val, labels, predictions.val[target])
    return SplitPredictions(test, val)


def _cross_validated(baseline: Baseline, cohort: Cohort, folder: Path, config: RunConfig) -> FittedRun:
    """Predict every image out of fold, in canonical order; no val images are common to all folds."""
    gathered: Predictions = {}
    others: dict[Recalibration, Predictions] = {method: {} for method in config.recalibrate}
    manifest: Manifest | None = None
    for fold in range(FOLDS):

        def fold_progress(message: str, done: int, total: int, fold: int = fold) -> None:
            config.progress(f"fold {fold + 1} of {FOLDS}: {message}", done, total)

        fitted = _run(
            baseline, cohort, folder / f"fold-{fold}", replace(config, progress=fold_progress), fold
        )
        rows = cohort.split.folds == fold
        _gather(gathered, fitted.result.predictions, rows)
        for method, predictions in fitted.recalibrated.items():
            _gather(others[method], predictions.test, rows)
        manifest = fitted.result.manifest
    if manifest is None:
        raise AssertionError("a split has folds")
    manifest = manifest.model_copy(update={"track": Track.CV5, "model": None})
    return FittedRun(
        Result(manifest, gathered), {}, {method: SplitPredictions(p, {}) for method, p in others.items()}
    )


def _gather(into: Predictions, predictions: Predictions, rows: npt.NDArray[np.bool_]) -> None:
    for target, values in predictions.items():
        into.setdefault(target, np.full(len(rows), np.nan))[rows] = values


def _write(
    folder: Path,
    cohort: Cohort,
    rows: npt.NDArray[np.intp],
    predictions: SplitPredictions,
    manifest: Manifest,
) -> tuple[Path, Path, Path | None]:
    """Write manifest and predictions; return the paths of manifest, predictions and val predictions."""
    _write_predictions(folder / PREDICTIONS_CSV, cohort, rows, predictions.test)
    val = cohort.rows("val")
    if has_val := bool(predictions.val) and len(val) > 0:
        _write_predictions(folder / VAL_PREDICTIONS_CSV, cohort, val, predictions.val)
    write_atomic(folder / MANIFEST, manifest_toml(manifest).encode())
    return folder / MANIFEST, folder / PREDICTIONS_CSV, folder / VAL_PREDICTIONS_CSV if has_val else None


def _write_predictions(
    path: Path, cohort: Cohort, rows: npt.NDArray[np.intp], predictions: Predictions
) -> None:
    with atomic_path(path) as part:
        columns = {cohort.spec.columns.image: cohort.images[rows], **predictions}
        pd.DataFrame(columns).to_csv(part, index=False, lineterminator="\n")
