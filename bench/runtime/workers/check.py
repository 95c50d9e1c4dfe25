"""The process that opens a stranger's ONNX file for the first time: parsing and checking can crash too."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from bench.cohort.spec import CohortSpec
from bench.documents import parse
from bench.onnx.interface import check_model
from bench.runtime.messages import read_message, serve, write_message
from bench.submission.manifest import Manifest


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers one request with the problems that `check_model` finds."""
    request, _ = read_message(requests)
    manifest = parse(Manifest, request["manifest"], "manifest-invalid", "submission.toml")
    spec = parse(CohortSpec, request["spec"], "cohort-spec", "spec")
    problems = check_model(
        Path(request["model"]), manifest, spec, manifest_file=str(request["manifest_file"])
    )
    write_message(answers, {"problems": [problem.as_dict() for problem in problems]})


if __name__ == "__main__":
    serve(work)
