"""Gradient-boosted trees on the metadata without age and sex: the performance of shortcuts alone."""

from __future__ import annotations

import numpy as np

from baselines.api import Baseline, Result, TrainingTask
from baselines.describe import describe
from baselines.tabular.boosting import boost_each_target
from baselines.tabular.features import numbers
from baselines.tabular.fit import Matrix

DESCRIPTION = (
    "Gradient-boosted trees on everything that the record holds beside age and sex: {inputs}. None of it is "
    "the heart. A model can read much of it from the image, so what it reaches may be had by shortcuts."
)
PERSONAL = ("age", "sex")


def run(task: TrainingTask) -> Result:
    """Fit one ensemble per target."""
    names = tuple(str(name) for name in task.train.inputs if name not in PERSONAL)
    columns = [_coded(task, name) for name in names]
    train, val, test = (np.column_stack(part) for part in zip(*columns, strict=True))
    predictions = boost_each_target(task, train, val, test)
    description = DESCRIPTION.format(inputs=", ".join(names))
    return Result(describe(task, "Metadata without age and sex", description, names), predictions)


def _coded(task: TrainingTask, name: str) -> tuple[Matrix, Matrix, Matrix]:
    """Convert an input to numbers; text is coded by its values in the training images."""
    views = (task.train, task.val, task.test)
    values = [numbers(view, name) for view in views]
    if not np.isnan(values[0]).all():
        return values[0], values[1], values[2]
    words = {word: float(k) for k, word in enumerate(sorted(set(task.train.inputs[name]) - {""}))}
    coded = [view.inputs[name].map(words).to_numpy(np.float64) for view in views]
    return coded[0], coded[1], coded[2]


BASELINE = Baseline(
    "metadata",
    "the record without age and sex: what shortcuts reach",
    run,
    needs_inputs_beside=PERSONAL,
    quick=True,
)
