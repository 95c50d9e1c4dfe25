"""Makes the views of a cohort that a baseline is handed: copies, so that nothing else can be reached."""

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
    """The training task of a baseline on a cohort.

    Args:
        cohort: Where the images come from.
        baseline: Decides whether pixels are within reach.
        seed: Seed of the run.
        quick: Whether the quick form is wanted.
        folder: The run's folder, which exists.
        fold: Cross-validation fold that is predicted; None for the holdout's test images.
        cache: The cohort's decoded images, as `open_cache` gives them.
        copies: Groups of rows whose images have the same pixels. Of a group with a predicted row no other
            is trained or chosen on, of one with a val row no other is trained on.
        predict_val: Whether the images to predict are followed by all of val, without their labels.
        choices: What the user chose.
        progress: Told how far the training is.

    Raises:
        BenchError: No training images (``baseline-no-training``), a label among the inputs
            (``baseline-label-input``), or no images (``images-folder-missing``, exit 3).
    """
    _refuse_label_inputs(cohort.spec)
    whole = _rows(cohort, fold)
    train, val, test = without_copies(*whole, copies)
    _require_rows(cohort, train, test)
    look = _Look(baseline.needs_images, cache)
    return TrainingTask(
        cohort=cohort.spec.id,
        targets=tuple(t.name for t in cohort.spec.binary_targets),
        measurements=tuple(t.name for t in cohort.spec.continuous_targets),
        headline=cohort.spec.headline,
        rules=usable_rules(cohort.spec),
        train=_labelled(cohort, train, look),
        val=_labelled(cohort, val, look),
        test=_unlabelled(cohort, np.concatenate([test, whole[1]]) if predict_val else test, look),
        seed=seed,
        quick=quick,
        folder=folder,
        fold=fold,
        choices=choices or Choices(),
        progress=progress,
    )


def without_copies(
    train: Rows, val: Rows, test: Rows, copies: Sequence[tuple[int, ...]]
) -> tuple[Rows, Rows, Rows]:
    """The rows without those of training and val that show again what is judged on.

    Args:
        train: Rows to fit on.
        val: Rows to choose on.
        test: Rows to predict; all are kept.
        copies: Groups of rows with the same pixels.
    """
    if not copies:
        return train, val, test
    group = {row: k for k, rows in enumerate(copies) for row in rows}

    def apart(rows: Rows, judged: Rows) -> Rows:
        taken = {group[row] for row in judged.tolist() if row in group}
        kept = [row for row in rows.tolist() if group.get(row) not in taken]
        return np.array(kept, np.intp)

    val = apart(val, test)
    return apart(train, np.concatenate([val, test])), val, test


def _rows(cohort: Cohort, fold: int | None) -> tuple[Rows, Rows, Rows]:
    """Training, validation and predicted rows; no patient is in two of them.

    A fold is validated on the next one. Where a split has no val, a share of the training patients is val.
    """
    if fold is not None:
        folds, following = cohort.split.folds, (fold + 1) % FOLDS
        train = np.flatnonzero((folds != fold) & (folds != following))
        val, test = np.flatnonzero(folds == following), np.flatnonzero(folds == fold)
    else:
        train, val, test = cohort.rows("train"), cohort.rows("val"), cohort.rows("test")
    if len(train) and not len(val):
        drawn = patient_uniform(f"{cohort.spec.id}-val", cohort.patients[train]) < VAL_SHARE
        train, val = train[~drawn], train[drawn]
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


def usable_rules(spec: CohortSpec) -> tuple[LabelRule, ...]:
    """The spec's label rules in terms of its measurements; a rule that needs anything else is left out."""
    names = {target.source: target.name for target in spec.continuous_targets}
    rules: dict[str, LabelRule] = {}
    for rule in spec.label_rules:
        if {limit.column for limit in rule.any_of} <= set(names) and set(rule.or_targets) <= set(rules):
            limits = tuple(limit.model_copy(update={"column": names[limit.column]}) for limit in rule.any_of)
            rules[rule.target] = rule.model_copy(update={"any_of": limits})
    return tuple(rules.values())


@dataclass(frozen=True, slots=True)
class _Look:
    """Whether and from where pixels are read."""

    pixels: bool
    cache: Pixels | None

    def source(self, cohort: Cohort, rows: Rows) -> PixelSource | None:
        if not self.pixels:
            return None
        files = FileSource(cohort, cohort.images[rows])
        return files if self.cache is None else CachedSource(files, self.cache, rows)


def _unlabelled(cohort: Cohort, rows: Rows, look: _Look) -> UnlabelledImages:
    images, patients, inputs, source = _shared(cohort, rows, look)
    return UnlabelledImages(images, patients, inputs, source)


def _labelled(cohort: Cohort, rows: Rows, look: _Look) -> LabelledImages:
    images, patients, inputs, source = _shared(cohort, rows, look)
    labels = {target: values[rows] for target, values in cohort.targets.items()}
    return LabelledImages(images, patients, inputs, source, labels)


def _shared(
    cohort: Cohort, rows: Rows, look: _Look
) -> tuple[Strings, Strings, pd.DataFrame, PixelSource | None]:
    columns = cohort.spec.columns.inputs.items()
    inputs = {name: cohort.table[column].to_numpy(dtype=object)[rows] for name, column in columns}
    table = pd.DataFrame(inputs, index=pd.RangeIndex(len(rows)), dtype=object)
    return cohort.images[rows], cohort.patients[rows], table, look.source(cohort, rows)
