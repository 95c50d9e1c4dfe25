"""The process that opens a stranger's ONNX file for the first time: parsing and checking can crash too."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from bench.cohort.spec import CohortSpec
from bench.documents import parse
from bench.errors import BenchError
from bench.onnx.file import read_onnx
from bench.onnx.interface import check_model, draft_interface
from bench.sandbox.messages import read_message, serve, write_message
from bench.submission.manifest import Manifest

MOST_PROBLEMS = 100


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request: the problems that `check_model` finds, and the model with functions inlined.

    A request without a manifest is answered with the interface that `draft_interface` guesses.
    """
    request, _ = read_message(requests)
    spec = parse(CohortSpec, request["spec"], "cohort-spec", "spec")
    if "manifest" not in request:
        write_message(answers, _drafted(Path(request["model"]), spec))
        return
    manifest = parse(Manifest, request["manifest"], "manifest-invalid", "submission.toml")
    problems, inlined = check_model(
        Path(request["model"]), manifest, spec, manifest_file=str(request["manifest_file"])
    )
    header = {"problems": [problem.as_dict() for problem in problems[:MOST_PROBLEMS]]}
    write_message(answers, {**header, "inlined_bytes": len(inlined)})
    answers.write(inlined)
    answers.flush()


def _drafted(path: Path, spec: CohortSpec) -> dict[str, Any]:
    try:
        interface, notes = draft_interface(read_onnx(path), spec, str(path))
    except BenchError as error:
        return {"problems": [problem.as_dict() for problem in error.problems]}
    return {"problems": [], "interface": interface.plain(), "notes": notes}


if __name__ == "__main__":
    serve(work)
