"""From an ONNX file to a submission: copied, checked, run on the track's images, packed like predictions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.spec import CohortSpec
from bench.environment import usable_cores
from bench.errors import BenchError, Problem, raise_errors
from bench.metrics.validation import Floats
from bench.onnx.file import MODEL_LIMIT_BYTES, refuse_folder_or_large, require_onnx, unreadable
from bench.progress import Progress
from bench.runtime.predict import Limits, predict
from bench.sandbox.bounded_read import private_copy
from bench.sandbox.launch import SandboxLimits
from bench.sandbox.worker_process import Failing, Worker, WorkerFailure, problem_of
from bench.submission.accept import Accepted, refuse_reported, stamp, unknown_inputs, worth_telling
from bench.submission.check_predictions import covered_rows
from bench.submission.check_values import judge
from bench.submission.manifest import Manifest, ModelInputs
from bench.submission.packed import pack
from bench.workspace import MANIFEST


def accept_model(
    path: Path,
    cohort: Cohort,
    manifest: Manifest,
    *,
    manifest_file: str = MANIFEST,
    keep: Callable[[Path, str], None] | None = None,
    limit_s: float | None = None,
    progress: Progress | None = None,
) -> Accepted:
    """Check a model without running it, then run it in a sandboxed process; on val images too.

    Args:
        path: The ONNX file. It is copied once; the copy is checked, run and kept.
        cohort: What is predicted.
        manifest: What its authors say of the entry.
        manifest_file: Its file, for messages.
        keep: Called with the copy and its SHA-256 once the model is accepted.
        limit_s: Seconds for checking and running the model in all; default: `default_limit_s`.
        progress: Called with (images done, images in total).

    Raises:
        BenchError: Every fault of the file, or how the run ended; or the manifest says ``cv5``, whose
            predictions are by five models (``manifest-invalid``).
    """
    refuse_reported(manifest, manifest_file)
    if manifest.track == "cv5":
        message = 'track: "cv5" asks for predictions by five models, each of its own fold; this is one model.'
        raise BenchError(Problem("manifest-invalid", message, where=manifest_file))
    rows, val = covered_rows(cohort, Track.HOLDOUT), cohort.rows("val")
    total_s = limit_s or default_limit_s(cohort, len(rows) + len(val))
    end = time.monotonic() + total_s
    check_s = min(CHECK_LIMIT_S, total_s)
    with checked_model(path, manifest, cohort.spec, manifest_file=manifest_file, limit_s=check_s) as model:
        problems = list(model.problems) + unknown_inputs(manifest, cohort, manifest_file)
        both = predict(
            model.runnable,
            manifest,
            cohort,
            np.concatenate([rows, val]),
            limits=Limits(total_s=max(1.0, end - time.monotonic())),
            progress=progress,
            notices=problems,
            independent=True,
            shown=str(path),
        )
        values = {name: column[: len(rows)] for name, column in both.items()}
        for target in cohort.spec.binary_targets:
            if target.name in values:
                labels = cohort.targets[target.name][rows]
                problems += judge(target, values[target.name], labels, str(path))
                problems += _sigmoid_twice(manifest, target.name, values[target.name], str(path))
        raise_errors(problems)
        packed = pack(values, stamp(cohort, manifest.track, model.sha256, model_sha256=model.sha256))
        on_val = {name: column[len(rows) :] for name, column in both.items()}
        val_stamp = stamp(cohort, "val", model.sha256, model_sha256=model.sha256)
        packed_val = pack(on_val, val_stamp) if len(val) else None
        if keep:
            keep(model.copy, model.sha256)
    return Accepted(manifest, packed, values, worth_telling(problems, manifest), packed_val)


def _sigmoid_twice(manifest: Manifest, target: str, values: Floats, where: str) -> list[Problem]:
    """Warn where a sigmoid was applied to outputs that all lay in [0, 1], as probabilities do."""
    assert manifest.model is not None
    highest = 1 / (1 + math.exp(-1.0))
    if manifest.model.activation != "sigmoid" or values.min() < 0.5 or values.max() > highest:
        return []
    message = f"All {len(values):,} outputs lay in [0, 1] before the sigmoid, as probabilities do."
    return [Problem("model-sigmoid-twice", message, f"{where}, target {target}", severity="warning")]


def default_limit_s(cohort: Cohort, images: int) -> float:
    """Return the seconds for checking and running a model, by its images; fewer on a synthetic cohort."""
    return Limits(image_s=0.004).seconds(images) if cohort.synthetic else Limits().seconds(images)


WORKER = "bench.runtime.workers.check"
CHECK_LIMIT_S = 40.0
MEMORY_MB = 12_288  # a file of 2 GiB is held about four times while it is checked
_ENDS: dict[Failing, str] = {
    "crashed": "crashed while it was checked",
    "timeout": "was not checked in time",
    "out-of-memory": "needed too much memory while it was checked",
    "failed": "could not be checked",
}


@dataclass(frozen=True, slots=True)
class CheckedModel:
    """A model that may be run.

    Attributes:
        copy: Copy of the submitted file.
        runnable: What is run: the copy, or the copy with its functions inlined.
        sha256: Hash of the copy.
        problems: Warnings and notices.
    """

    copy: Path
    runnable: Path
    sha256: str
    problems: tuple[Problem, ...]


@contextmanager
def checked_model(
    path: Path,
    manifest: Manifest,
    spec: CohortSpec,
    *,
    manifest_file: str = MANIFEST,
    limit_s: float = CHECK_LIMIT_S,
) -> Iterator[CheckedModel]:
    """Copy a model and check the copy in a sandboxed process; the copy exists within the block.

    Args:
        path: The ONNX file.
        manifest: Its manifest.
        spec: The cohort that it is to predict.
        manifest_file: Where the manifest stands, for messages.
        limit_s: Seconds for the check.

    Raises:
        BenchError: What `bench.onnx.interface.check_model` finds, or how the check ended; or `onnx` is not
            installed (``onnx-missing``, exit 3).
    """
    require_onnx()
    refuse_folder_or_large(path)
    with private_copy(path, MODEL_LIMIT_BYTES, unreadable(path)) as (copy, sha256):
        request = {"model": str(copy), "manifest": manifest.plain(), "spec": spec.plain()}
        request["manifest_file"] = manifest_file
        runnable = copy
        with _check_failures(path), _check_worker(copy, limit_s) as worker:
            worker.send(request)
            header, _ = worker.receive()
            problems = _problems(header, copy, path)
            if size := int(header["inlined_bytes"]):
                if not 0 < size <= MODEL_LIMIT_BYTES:
                    raise WorkerFailure("crashed", "It gave no valid answer.")
                runnable = copy.with_name("inlined.onnx")
                worker.receive_file(runnable, size)
        raise_errors(problems)
        yield CheckedModel(copy, runnable, sha256, tuple(problems))


def drafted_interface(path: Path, spec: CohortSpec) -> tuple[ModelInputs, tuple[str, ...]]:
    """Guess the table ``[model]`` of a manifest from a model, which a sandboxed process reads.

    Args:
        path: The ONNX file.
        spec: The cohort that it is to predict.

    Returns:
        The interface, and what of it was guessed, a sentence each.

    Raises:
        BenchError: The file cannot be read, or has no interface as `bench.onnx.interface.draft_interface`
            needs it; or `onnx` is not installed (``onnx-missing``, exit 3).
    """
    require_onnx()
    refuse_folder_or_large(path)
    with private_copy(path, MODEL_LIMIT_BYTES, unreadable(path)) as (copy, _):
        with _check_failures(path), _check_worker(copy, CHECK_LIMIT_S) as worker:
            worker.send({"model": str(copy), "spec": spec.plain()})
            header, _ = worker.receive()
            problems = _problems(header, copy, path)
            drafted = None if problems else ModelInputs.model_validate(header["interface"], strict=False)
            notes = tuple(map(str, header.get("notes", ())))
        raise_errors(problems)
    assert drafted is not None  # every problem of a draft is an error
    return drafted, notes


def _check_worker(copy: Path, limit_s: float) -> Worker:
    limits = SandboxLimits(MEMORY_MB, round(limit_s * usable_cores()), readable=(str(copy),))
    return Worker(WORKER, limit_s, limits)


def _problems(header: dict[str, Any], copy: Path, path: Path) -> list[Problem]:
    """The problems of an answer, which name the submitted file in place of its copy."""
    problems = map(problem_of, header["problems"])
    return [replace(problem, where=problem.where.replace(str(copy), str(path))) for problem in problems]


@contextmanager
def _check_failures(path: Path) -> Iterator[None]:
    """Turn the end of a worker without a valid answer into a problem (``model-check``)."""
    try:
        yield
    except (WorkerFailure, KeyError, TypeError, ValueError, AttributeError) as error:
        no_answer = WorkerFailure("crashed", "It gave no answer.")
        failure = error if isinstance(error, WorkerFailure) else no_answer
        message = f"The file {_ENDS[failure.kind]}: {failure.message}"
        raise BenchError(Problem("model-check", message, str(path))) from error
