"""The manifest of a baseline: the same honest statements for all."""

from __future__ import annotations

import datetime

from baselines.api import TrainingTask
from bench.submission.manifest import Manifest, ModelInputs

TEAM = "CheXchoBench"
QUICK = " Quick form: made in seconds to show the harness, not the method."


def describe(
    task: TrainingTask,
    name: str,
    description: str,
    inputs: tuple[str, ...],
    *,
    parameters: int | None = None,
    model: ModelInputs | None = None,
    pretrained_weights: str = "none",
    external_data: str = "none",
) -> Manifest:
    """A baseline's manifest.

    Args:
        task: What it was trained for.
        name: As the board shows it.
        description: How it works and what it cannot do.
        inputs: What it reads of an image's record.
        parameters: Fitted numbers of one model.
        model: The ONNX file's interface, where there is one.
        pretrained_weights: What it started from.
        external_data: What it has seen beyond the cohort.
    """
    return Manifest(
        name=name,
        team=TEAM,
        date=datetime.datetime.now(datetime.UTC).date(),
        kind="baseline",
        description=description + (QUICK if task.quick else ""),
        inputs=inputs,
        training_data=f"{task.cohort}: the training images of the split; val for choices",
        external_data=external_data,
        pretrained_weights=pretrained_weights,
        parameters=parameters,
        licence="Apache-2.0",
        model=model,
    )
