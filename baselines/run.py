"""Runs a baseline and writes what an entrant would hand in: a manifest with predictions or a model."""

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
from baselines.views import make_task, usable_rules
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
    """The files of a finished run, ready for `bench submit`.

    Attributes:
        name: The baseline.
        slug: What it is submitted under.
        manifest: ``submission.toml``.
        predictions: Predictions of the track's images, by image id.
        val: Predictions of the val images; None where the split or the track has none.
        model: The ONNX file to hand in instead of the predictions, where there is one.
        recalibrated: The same predictions recalibrated, one run for each method that was asked for.
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
    """How a baseline is run.

    Attributes:
        seed: Seed of everything random.
        quick: Whether the quick form is wanted.
        track: ``cv5`` trains on each fold's complement and predicts every image out of fold.
        recalibrate: Methods by which the predictions are recalibrated on val besides.
        choices: What the user chose.
        cache: The cohort's decoded images, as `bench.cohort.image_cache.cached_images` gives them.
        copies: Groups of rows with the same pixels, as `bench.cohort.audit.require_sound` gives them.
        progress: Told how far it is.
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
    """What a baseline's entry is stored under: its name, then what differs from its usual form."""
    return "-".join([name, *(["cv5"] if track == "cv5" else []), *([method] if method else [])])


def run_baseline(name: str, cohort: Cohort, folder: Path, how: RunConfig | None = None) -> FinishedRun:
    """Trains a baseline on a cohort and writes its submission files into `folder`.

    Args:
        name: Name of the baseline.
        cohort: What to train on; the baseline itself never sees it.
        folder: The run's folder, made where absent; a run that was interrupted here goes on.
        how: Seed, form, track and the like.

    Raises:
        BenchError: The baseline is unknown, or the cohort or the environment lacks what it needs.
    """
    baseline, how = find_baseline(name), how or RunConfig()
    check_needs(baseline, cohort, how)
    try:
        return _run_and_write(baseline, cohort, folder, how)
    except OSError as error:
        message = f"The run could not be written: {error.strerror or error}."
        raise BenchError(Problem("baseline-write", message, where=str(folder)), EXIT_ENVIRONMENT) from error


def _run_and_write(baseline: Baseline, cohort: Cohort, folder: Path, how: RunConfig) -> FinishedRun:
    if how.track == "cv5":
        done = _cross_validated(baseline, cohort, folder, how)
        rows = np.arange(len(cohort))
    else:
        done = _run(baseline, cohort, folder, how)
        rows = cohort.rows("test")
    manifest = done.result.manifest
    others = []
    for method, predictions in done.recalibrated.items():
        renamed = _recalibrated_manifest(manifest, method)
        written = _write(folder / method, cohort, rows, predictions, renamed)
        others.append(FinishedRun(baseline.name, slug_of(baseline.name, how.track, method), *written, None))
    written = _write(folder, cohort, rows, SplitPredictions(done.result.predictions, done.val), manifest)
    slug = slug_of(baseline.name, how.track)
    return FinishedRun(baseline.name, slug, *written, done.result.model, tuple(others))


def _recalibrated_manifest(manifest: Manifest, method: Recalibration) -> Manifest:
    changes = {
        "name": f"{manifest.name}, {NAMES[method]}",
        "description": f"{manifest.description} {WORDS[method]}",
        "recalibration": method,
        "model": None,  # the file gives the probabilities as they were
    }
    return manifest.model_copy(update=changes)


def check_needs(baseline: Baseline, cohort: Cohort, how: RunConfig | None = None) -> None:
    """Refuses a cohort, choice or environment by which the baseline cannot be run, before it is begun.

    Raises:
        BenchError: ``baseline-input-missing``, ``baseline-label-rule``, ``baseline-encoder`` or
            ``recipe-invalid``; with exit 3 ``images-folder-missing``, ``baseline-extra-missing`` or
            ``baseline-no-gpu``.
    """
    how = how or RunConfig()
    if missing := [name for name in baseline.needs_inputs if name not in cohort.spec.columns.inputs]:
        message = f"{baseline.name} needs the inputs {', '.join(missing)}, which the cohort does not declare."
        where = f"cohort {cohort.spec.id}, [columns.inputs]"
        raise BenchError(Problem("baseline-input-missing", message, where=where))
    beside = set(baseline.needs_inputs_beside)
    if beside and not set(cohort.spec.columns.inputs) - beside:
        message = f"{baseline.name} needs an input beside {' and '.join(baseline.needs_inputs_beside)}."
        where = f"cohort {cohort.spec.id}, [columns.inputs]"
        raise BenchError(Problem("baseline-input-missing", message, where=where))
    if baseline.needs_rule and cohort.spec.headline not in {r.target for r in usable_rules(cohort.spec)}:
        message = f"No rule says how {cohort.spec.headline} follows from measurements."
        raise BenchError(Problem("baseline-label-rule", message, where=f"cohort {cohort.spec.id}"))
    if baseline.needs_images:
        ImageFolders(cohort)
    if baseline.needs_encoder and how.choices.encoder is None:
        message = f"{baseline.name} reads the features of an encoder, and none is named."
        raise BenchError(Problem("baseline-encoder", message))
    if absent := missing_packages(baseline):
        message = f"{baseline.name} needs {', '.join(absent)}, which cannot be imported."
        raise BenchError(Problem("baseline-extra-missing", message), EXIT_ENVIRONMENT)
    if baseline.check is not None:
        baseline.check(how.quick, how.choices)


def missing_packages(baseline: Baseline) -> list[str]:
    """Packages that the baseline needs and that cannot be imported here."""
    return [name for name in baseline.needs_packages if find_spec(name) is None]


@dataclass(frozen=True, slots=True)
class SplitPredictions:
    """Predictions of the judged images and of val's."""

    test: Predictions
    val: Predictions


@dataclass(frozen=True, slots=True)
class FittedRun:
    """A baseline's result, its predictions of val, and both recalibrated by each method."""

    result: Result
    val: Predictions
    recalibrated: dict[Recalibration, SplitPredictions]


def _run(
    baseline: Baseline, cohort: Cohort, folder: Path, how: RunConfig, fold: int | None = None
) -> FittedRun:
    folder.mkdir(parents=True, exist_ok=True)
    task = make_task(
        cohort,
        baseline,
        seed=how.seed,
        quick=how.quick,
        folder=folder,
        fold=fold,
        cache=how.cache,
        copies=how.copies,
        predict_val=True,
        choices=how.choices,
        progress=how.progress,
    )
    result = baseline.run(task)
    for target, values in result.predictions.items():
        if values.shape != (len(task.test),):
            raise ValueError(f"{baseline.name} predicts {values.shape} of {target}, not {len(task.test)}")
    judged = len(cohort.rows("test")) if fold is None else int((cohort.split.folds == fold).sum())
    test = {target: values[:judged] for target, values in result.predictions.items()}
    val = {target: values[judged:] for target, values in result.predictions.items()}
    both, fitted = SplitPredictions(test, val), np.isin(task.test.images[judged:], task.val.images)
    return FittedRun(
        replace(result, predictions=test),
        val,
        {method: _recalibrate(method, task, both, fitted) for method in how.recalibrate},
    )


def _recalibrate(
    method: Recalibration, task: TrainingTask, both: SplitPredictions, fitted: npt.NDArray[np.bool_]
) -> SplitPredictions:
    """Binary targets recalibrated, by those val images that are no copies; measurements as they were."""
    test, val = dict(both.test), dict(both.val)
    for target in set(task.targets) & set(test):
        known, labels = both.val[target][fitted], task.val.labels[target]
        test[target] = recalibrated(method, known, labels, both.test[target])
        val[target] = recalibrated(method, known, labels, both.val[target])
    return SplitPredictions(test, val)


def _cross_validated(baseline: Baseline, cohort: Cohort, folder: Path, how: RunConfig) -> FittedRun:
    """Out-of-fold predictions of every image, in canonical order; there is no val that all models share."""
    gathered: Predictions = {}
    others: dict[Recalibration, Predictions] = {method: {} for method in how.recalibrate}
    manifest: Manifest | None = None
    for fold in range(FOLDS):

        def told(message: str, done: int, total: int, fold: int = fold) -> None:
            how.progress(f"fold {fold + 1} of {FOLDS}: {message}", done, total)

        done = _run(baseline, cohort, folder / f"fold-{fold}", replace(how, progress=told), fold)
        rows = cohort.split.folds == fold
        _gather(gathered, done.result.predictions, rows)
        for method, predictions in done.recalibrated.items():
            _gather(others[method], predictions.test, rows)
        manifest = done.result.manifest
    if manifest is None:
        raise AssertionError("a split has folds")
    manifest = manifest.model_copy(update={"track": Track.CV5, "model": None})
    return FittedRun(
        Result(manifest, gathered), {}, {method: SplitPredictions(p, {}) for method, p in others.items()}
    )


def _gather(into: Predictions, found: Predictions, rows: npt.NDArray[np.bool_]) -> None:
    for target, values in found.items():
        into.setdefault(target, np.full(len(rows), np.nan))[rows] = values


def _write(
    folder: Path, cohort: Cohort, rows: npt.NDArray[np.intp], found: SplitPredictions, manifest: Manifest
) -> tuple[Path, Path, Path | None]:
    """Writes the manifest and the predictions; returns where, val's last."""
    _write_predictions(folder / PREDICTIONS_CSV, cohort, rows, found.test)
    val = cohort.rows("val")
    if has_val := bool(found.val) and len(val) > 0:
        _write_predictions(folder / VAL_PREDICTIONS_CSV, cohort, val, found.val)
    write_atomic(folder / MANIFEST, manifest_toml(manifest).encode())
    return folder / MANIFEST, folder / PREDICTIONS_CSV, folder / VAL_PREDICTIONS_CSV if has_val else None


def _write_predictions(path: Path, cohort: Cohort, rows: npt.NDArray[np.intp], found: Predictions) -> None:
    with atomic_path(path) as part:
        columns = {cohort.spec.columns.image: cohort.images[rows], **found}
        pd.DataFrame(columns).to_csv(part, index=False, lineterminator="\n")
