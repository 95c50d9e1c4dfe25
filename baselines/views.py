"""Views of a cohort for a baseline: copies, so that nothing else of the cohort can be reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from baselines.api import (
    Baseline,
    Choices,
    LabelledImages,
    Pixels,
    PixelSource,
    TrainingTask,
    UnlabelledImages,
)
from baselines.pixels import CachedSource, FileSource
from bench.cohort.cohort import Cohort
from bench.cohort.spec import CohortSpec, Contains, LabelRule
from bench.cohort.split import FOLDS, Strings, patient_uniform
from bench.errors import BenchError, Problem
from bench.progress import StageProgress, silent

VAL_SHARE = 0.1
Rows = npt.NDArray[np.intp]


def make_task(
    cohort: Cohort,
    baseline: Baseline,
    *,
    seed: int,
    quick: bool,
    folder: Path,
    fold: int | None = None,
    cache: Pixels | None = None,
    copies: Sequence[tuple[int, ...]] = (),
    predict_val: bool = False,
    choices: Choices | None = None,
    progress: StageProgress = silent,
) -> TrainingTask:
    """Build the training task of a baseline on a cohort.

    Args:
        cohort: The cohort.
        baseline: The baseline; without ``needs_images`` its views have no pixels.
        seed: Seed of the run.
        quick: Whether to train the quick form.
        folder: Existing folder of the run.
        fold: Cross-validation fold to predict; None for the test images of the holdout track.
        cache: The cohort's decoded images, as `cached_images` gives them.
        copies: Groups of rows whose images have the same pixels. A group with a predicted row is left out of
            train and val, a group with a val row is left out of train.
        predict_val: Whether to append all val images, without labels, to the images to predict.
        choices: User options.
        progress: Progress callback.

    Raises:
        BenchError: No training images (``baseline-no-training``), a label among the inputs
            (``baseline-label-input``), or no images (``images-folder-missing``, exit 3).
    """
    _refuse_label_inputs(cohort.spec)
    all_rows = _rows(cohort, fold)
    train, val, test = without_duplicates(*all_rows, copies)
    _require_rows(cohort, train, test)
    pixel_access = _PixelAccess(baseline.needs_images, cache)
    return TrainingTask(
        cohort=cohort.spec.id,
        targets=tuple(t.name for t in cohort.spec.binary_targets),
        measurements=tuple(t.name for t in cohort.spec.continuous_targets),
        headline=cohort.spec.headline,
        rules=measurement_rules(cohort.spec),
        train=_labelled(cohort, train, pixel_access),
        val=_labelled(cohort, val, pixel_access),
        test=_unlabelled(cohort, np.concatenate([test, all_rows[1]]) if predict_val else test, pixel_access),
        seed=seed,
        quick=quick,
        folder=folder,
        fold=fold,
        choices=choices or Choices(),
        progress=progress,
    )


def without_duplicates(
    train: Rows, val: Rows, test: Rows, copies: Sequence[tuple[int, ...]]
) -> tuple[Rows, Rows, Rows]:
    """Remove duplicates of test images from train and val, and duplicates of val images from train.

    Args:
        train: Training rows.
        val: Validation rows.
        test: Rows to predict; all are kept.
        copies: Groups of rows with the same pixels.
    """
    if not copies:
        return train, val, test
    group = {row: k for k, rows in enumerate(copies) for row in rows}

    def apart(rows: Rows, evaluated: Rows) -> Rows:
        evaluated_groups = {group[row] for row in evaluated.tolist() if row in group}
        remaining = [row for row in rows.tolist() if group.get(row) not in evaluated_groups]
        return np.array(remaining, np.intp)

    val = apart(val, test)
    return apart(train, np.concatenate([val, test])), val, test


def _rows(cohort: Cohort, fold: int | None) -> tuple[Rows, Rows, Rows]:
    """Return training, validation and predicted rows; no patient is in two of them.

    A fold is validated on the next fold. In a split without val, a share of the training patients is val.
    """
    if fold is not None:
        folds, following = cohort.split.folds, (fold + 1) % FOLDS
        train = np.flatnonzero((folds != fold) & (folds != following))
        val, test = np.flatnonzero(folds == following), np.flatnonzero(folds == fold)
    else:
        train, val, test = cohort.rows("train"), cohort.rows("val"), cohort.rows("test")
    if len(train) and not len(val):
        is_val = patient_uniform(f"{cohort.spec.id}-val", cohort.patients[train]) < VAL_SHARE
        train, val = train[~is_val], train[is_val]
    return train, val, test


def _require_rows(cohort: Cohort, train: Rows, test: Rows) -> None:
    if not len(train) or not len(test):
        message = f"The split has {len(train)} training and {len(test)} test images; a baseline needs both."
        raise BenchError(Problem("baseline-no-training", message, where=f"cohort {cohort.spec.id}"))


def _refuse_label_inputs(spec: CohortSpec) -> None:
    sources = {t.source.column if isinstance(t.source, Contains) else t.source for t in spec.targets}
    if leaks := sorted(name for name, column in spec.columns.inputs.items() if column in sources):
        message = f"Inputs that are columns of a target: {', '.join(leaks)}."
        raise BenchError(
            Problem("baseline-label-input", message, where=f"cohort {spec.id}, [columns.inputs]")
        )


def measurement_rules(spec: CohortSpec) -> tuple[LabelRule, ...]:
    """Return the label rules that use measurements only, with columns replaced by target names."""
    names = {target.source: target.name for target in spec.continuous_targets}
    rules: dict[str, LabelRule] = {}
    for rule in spec.label_rules:
        if {limit.column for limit in rule.any_of} <= set(names) and set(rule.or_targets) <= set(rules):
            limits = tuple(limit.model_copy(update={"column": names[limit.column]}) for limit in rule.any_of)
            rules[rule.target] = rule.model_copy(update={"any_of": limits})
    return tuple(rules.values())


@dataclass(frozen=True, slots=True)
class _PixelAccess:
    """Source of pixels: none, image files or the cache."""

    pixels: bool
    cache: Pixels | None

    def source(self, cohort: Cohort, rows: Rows) -> PixelSource | None:
        if not self.pixels:
            return None
        files = FileSource(cohort, cohort.images[rows])
        return files if self.cache is None else CachedSource(files, self.cache, rows)


def _unlabelled(cohort: Cohort, rows: Rows, pixel_access: _PixelAccess) -> UnlabelledImages:
    images, patients, inputs, source = _shared(cohort, rows, pixel_access)
    return UnlabelledImages(images, patients, inputs, source)


def _labelled(cohort: Cohort, rows: Rows, pixel_access: _PixelAccess) -> LabelledImages:
    images, patients, inputs, source = _shared(cohort, rows, pixel_access)
    labels = {target: values[rows] for target, values in cohort.targets.items()}
    return LabelledImages(images, patients, inputs, source, labels)


def _shared(
    cohort: Cohort, rows: Rows, pixel_access: _PixelAccess
) -> tuple[Strings, Strings, pd.DataFrame, PixelSource | None]:
    columns = cohort.spec.columns.inputs.items()
    inputs = {name: cohort.table[column].to_numpy(dtype=object)[rows] for name, column in columns}
    table = pd.DataFrame(inputs, index=pd.RangeIndex(len(rows)), dtype=object)
    return cohort.images[rows], cohort.patients[rows], table, pixel_access.source(cohort, rows)
