"""From an ONNX file to a submission: checked, run on the track's images, packed like any predictions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from bench.choices import Track
from bench.cohort.cohort import Cohort
from bench.cohort.spec import CohortSpec
from bench.environment import usable_cores
from bench.errors import BenchError, Problem, catalogue, missing_file_hint, raise_errors
from bench.files import sha256_file
from bench.metrics.validation import Floats
from bench.onnx.file import require_onnx
from bench.progress import Progress
from bench.runtime.predict import predict
from bench.runtime.sandbox import SandboxLimits
from bench.runtime.worker_process import Failing, Worker, WorkerFailure
from bench.submission.accept import Accepted, refuse_reported, stamp, unknown_inputs, worth_telling
from bench.submission.check_predictions import covered_rows, judge
from bench.submission.manifest import Manifest
from bench.submission.packed import pack
from bench.workspace import MANIFEST


def accept_model(
    path: Path,
    cohort: Cohort,
    manifest: Manifest,
    *,
    manifest_file: str = MANIFEST,
    progress: Progress | None = None,
) -> Accepted:
    """Checks a model without running it, then runs it in a process of its own; on val images too.

    Raises:
        BenchError: Every fault of the file, or how the run ended; or the manifest says ``cv5``, whose
            predictions are by five models (``manifest-invalid``).
    """
    refuse_reported(manifest, manifest_file)
    if manifest.track == "cv5":
        message = 'track: "cv5" asks for predictions by five models, each of its own fold; this is one model.'
        raise BenchError(Problem("manifest-invalid", message, where=manifest_file))
    problems: list[Problem] = check_confined(path, manifest, cohort.spec, manifest_file=manifest_file)
    raise_errors(problems)
    problems += unknown_inputs(manifest, cohort, manifest_file)
    rows = covered_rows(cohort, Track.HOLDOUT)
    val = cohort.rows("val")
    both = predict(
        path,
        manifest,
        cohort,
        np.concatenate([rows, val]),
        progress=progress,
        remarks=problems,
        independent=True,
    )
    values = {name: column[: len(rows)] for name, column in both.items()}
    for target in cohort.spec.binary_targets:
        if target.name in values:
            labels = cohort.targets[target.name][rows]
            problems += judge(target, values[target.name], labels, str(path))
            problems += _sigmoid_twice(manifest, target.name, values[target.name], str(path))
    raise_errors(problems)
    sha256 = sha256_file(path)
    packed = pack(values, stamp(cohort, manifest.track, sha256, model_sha256=sha256))
    on_val = {name: column[len(rows) :] for name, column in both.items()}
    packed_val = pack(on_val, stamp(cohort, "val", sha256, model_sha256=sha256)) if len(val) else None
    return Accepted(manifest, packed, values, worth_telling(problems, manifest), packed_val)


def _sigmoid_twice(manifest: Manifest, target: str, values: Floats, where: str) -> list[Problem]:
    """A warning where a sigmoid was put on outputs that all lay in [0, 1], as probabilities do."""
    assert manifest.model is not None
    highest = 1 / (1 + math.exp(-1.0))
    if manifest.model.activation != "sigmoid" or values.min() < 0.5 or values.max() > highest:
        return []
    message = f"All {len(values):,} outputs lay in [0, 1] before the sigmoid, as probabilities do."
    return [Problem("model-sigmoid-twice", message, f"{where}, target {target}", severity="warning")]


WORKER = "bench.runtime.workers.check"
LIMIT_S = 300.0
MEMORY_MB = 12_288  # a file of 2 GiB is held about four times while it is checked
_SEVERITIES = ("error", "warning", "notice")
_ENDS: dict[Failing, str] = {
    "crashed": "crashed while it was checked",
    "timeout": "was not checked in time",
    "out-of-memory": "needed too much memory while it was checked",
    "failed": "could not be checked",
}


def check_confined(
    path: Path,
    manifest: Manifest,
    spec: CohortSpec,
    *,
    manifest_file: str = MANIFEST,
    limit_s: float = LIMIT_S,
) -> list[Problem]:
    """What `bench.onnx.interface.check_model` finds, or how the check itself ended.

    Raises:
        BenchError: `onnx` is not installed (``onnx-missing``, exit 3).
    """
    require_onnx()
    if not path.exists():
        message, remedy = missing_file_hint(path)
        return [Problem("model-unreadable", message, str(path), remedy)]
    if path.is_symlink() and path.resolve().parent != path.parent.resolve():
        return [Problem("model-unreadable", "It is a link that leads out of its folder.", str(path))]
    allowed = SandboxLimits(MEMORY_MB, round(limit_s * usable_cores()), readable=(str(path.resolve()),))
    request = {"model": str(path.resolve()), "manifest": manifest.plain(), "spec": spec.plain()}
    request["manifest_file"] = manifest_file
    try:
        with Worker(WORKER, limit_s, allowed) as worker:
            worker.send(request)
            header, _ = worker.receive()
            return [_problem(found, path) for found in header["problems"]]
    except (WorkerFailure, KeyError, TypeError, AttributeError) as error:
        failure = (
            error if isinstance(error, WorkerFailure) else WorkerFailure("crashed", "It gave no answer.")
        )
        message = f"The file {_ENDS[failure.kind]}: {failure.message}"
        return [Problem("model-check", message, str(path))]


def _problem(found: dict[str, str], path: Path) -> Problem:
    """A problem as the worker said it; what is none of ours is an error all the same."""
    code = str(found["code"])
    if code not in catalogue() or found["severity"] not in _SEVERITIES:
        raise TypeError("not a problem")
    where = str(found["where"]).replace(str(path.resolve()), str(path))
    severity = next(s for s in _SEVERITIES if s == found["severity"])
    return Problem(code, str(found["message"])[:2000], where, str(found["remedy"])[:2000], severity)  # type: ignore[arg-type]
