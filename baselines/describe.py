"""Manifest of a baseline."""

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
    """Build a baseline's manifest.

    Args:
        task: The training task.
        name: Name shown on the board.
        description: Method and limitations.
        inputs: Model inputs it uses.
        parameters: Number of fitted parameters of one model.
        model: Interface of the ONNX file, if there is one.
        pretrained_weights: Weights it started from.
        external_data: Data used beyond the cohort.
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
