"""Checks a submitted model in a process of its own: a file made to crash a parser ends as a finding."""

from __future__ import annotations

from pathlib import Path

from bench.cohort.spec import CohortSpec
from bench.environment import usable_cores
from bench.errors import Problem, catalogue, not_there
from bench.onnx.file import require_onnx
from bench.runtime.child import Failing, Worker, WorkerFailure
from bench.runtime.confine import Confinement
from bench.submission.manifest import MANIFEST, Manifest

WORKER = "bench.runtime.check_worker"
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
        message, remedy = not_there(path)
        return [Problem("model-unreadable", message, str(path), remedy)]
    if path.is_symlink() and path.resolve().parent != path.parent.resolve():
        return [Problem("model-unreadable", "It is a link that leads out of its folder.", str(path))]
    allowed = Confinement(MEMORY_MB, round(limit_s * usable_cores()), readable=(str(path.resolve()),))
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
