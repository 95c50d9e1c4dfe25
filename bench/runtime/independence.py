"""Check that a model is a function of one image: run alone, among others, in another order, and twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from bench.errors import Problem
from bench.metrics.validation import Floats
from bench.sandbox.launch import SandboxLimits
from bench.sandbox.worker_process import Worker, WorkerFailure

PROBED: Final = 16
"""Images that are run again, spread over all."""
OF_RANGE, OF_VALUE = 1e-3, 1e-5
"""A difference is rounding up to this part of the predictions' range plus this part of the largest value."""
NOISE: Final = 1e-6
"""Relative change of the pixels whose effect on a prediction measures how a model magnifies rounding."""
OF_NOISE: Final = 20.0
"""A difference is rounding too where it is at most so many times the effect of that change."""

WORKER: Final = "bench.runtime.workers.locate"
LIMIT_S: Final = 60.0

Inputs = Mapping[str, npt.NDArray[np.float32]]
Answer = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Probes:
    """Predictions of the same k images under different circumstances, each target → (k,) float64.

    Attributes:
        stored: As they are scored, in the batches of all images.
        alone: Each in a batch of its own.
        other_order: All in one batch, the last image first; rows as in `stored`.
        again: That batch once more.
        disturbed: That batch with every pixel changed by a relative `NOISE`.
    """

    stored: Answer
    alone: Answer
    other_order: Answer
    again: Answer
    disturbed: Answer


@dataclass(frozen=True, slots=True)
class Dependence:
    """Dependence of a prediction on more than its own image.

    Attributes:
        problem: The problem, without the operator's name.
        image: Place among the probed images of the one that differs most.
        random: Whether two runs on the same batch differ.
    """

    problem: Problem
    image: int
    random: bool


def probed_rows(rows: int) -> npt.NDArray[np.intp]:
    """(k,) places among `rows` images of those that are run again."""
    return np.unique(np.linspace(0, max(rows - 1, 0), min(PROBED, rows)).round().astype(np.intp))


def run_probes(ask: Callable[[Inputs], Answer], inputs: Inputs, stored: Answer, image: str) -> Probes:
    """Run the probed images again.

    Args:
        ask: Runs the model on one batch.
        inputs: Name of the input → (k, …) values of the probed images.
        stored: Target → (k,) their predictions so far.
        image: Name of the input that takes the image.
    """
    count = len(inputs[image])
    singles = [ask({name: array[i : i + 1] for name, array in inputs.items()}) for i in range(count)]
    alone = {target: np.concatenate([single[target] for single in singles]) for target in stored}
    backwards = {name: np.ascontiguousarray(array[::-1]) for name, array in inputs.items()}
    shift = np.random.default_rng(0).uniform(-NOISE, NOISE, backwards[image].shape)
    disturbed = {**backwards, image: (backwards[image] * (1 + shift)).astype(np.float32)}
    first, again, moved = (
        {target: values[::-1] for target, values in ask(batch).items()}
        for batch in (backwards, backwards, disturbed)
    )
    return Probes(stored, alone, first, again, moved)


def tolerances(probes: Probes, ranges: Mapping[str, float]) -> dict[str, float]:
    """The largest difference of each target that rounding explains.

    Args:
        probes: The predictions.
        ranges: Target → range of its predictions for all images.
    """
    by_target = {}
    for target, values in probes.stored.items():
        noise = float(np.abs(probes.disturbed[target] - probes.other_order[target]).max(initial=0.0))
        largest = float(np.abs(values).max(initial=0.0))
        by_target[target] = max(OF_RANGE * ranges[target] + OF_VALUE * largest, OF_NOISE * noise)
    return by_target


def dependence(probes: Probes, ranges: Mapping[str, float], where: str) -> Dependence | None:
    """Find what beside its own image a prediction depends on; None where differences are rounding.

    Args:
        probes: The predictions.
        ranges: Target → range of its predictions for all images.
        where: Named in the problem.
    """
    allowed = tolerances(probes, ranges)
    for first, second, code, circumstances in (
        (probes.other_order, probes.again, "model-random", "Run twice on the same batch"),
        (probes.stored, probes.alone, "model-batch-dependent", "Run alone instead of in a batch"),
        (probes.stored, probes.other_order, "model-batch-dependent", "Run in a batch of other images"),
    ):
        for target in probes.stored:
            difference = np.abs(first[target] - second[target])
            changed = ~(difference <= allowed[target])  # NaN is a change
            if changed.any():
                worst = int(np.argmax(np.nan_to_num(difference, nan=np.inf)))
                message = (
                    f"{circumstances}, {int(changed.sum())} of {len(changed)} images get another prediction "
                    f"of {target}, by up to {difference[worst]:.2g}; rounding explains "
                    f"{allowed[target]:.1g}."
                )
                return Dependence(Problem(code, message, where), worst, code == "model-random")
    return None


def name_operator(path: Path, inputs: Inputs, dependence: Dependence, memory_mb: int | None) -> Problem:
    """The problem of a dependence, with the first operator that shows it, where it can be found.

    Args:
        path: The ONNX file.
        inputs: Name of the input → (k, …) values of the probed images.
        dependence: The dependence.
        memory_mb: What the process may use that looks for the operator.
    """
    problem = dependence.problem
    order = [
        dependence.image - 1,
        dependence.image,
        (dependence.image + 1) % len(next(iter(inputs.values()))),
    ]
    batch = {name: np.ascontiguousarray(array[order]) for name, array in inputs.items()}
    limits = SandboxLimits(memory_mb, readable=(str(path.resolve()),))
    try:
        with Worker(WORKER, LIMIT_S, limits) as worker:
            worker.send({"model": str(path), "random": dependence.random}, batch)
            answer, _ = worker.receive()
        operator, node = str(answer["operator"])[:60], str(answer["node"])[:60]
    except (WorkerFailure, KeyError):
        return problem
    verb = "draws random numbers" if dependence.random else "mixes images"
    named = f" The first operator that {verb} is {operator}" + (f" (node {node!r})." if node else ".")
    return Problem(problem.code, problem.message + named, problem.where)


def joined_batches(batches: Iterator[Inputs]) -> dict[str, npt.NDArray[np.float32]]:
    """All batches as one."""
    parts = list(batches)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
