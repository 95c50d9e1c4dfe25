"""The process that opens a stranger's ONNX file for the first time: parsing and checking can crash too."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from bench.cohort.spec import CohortSpec
from bench.documents import parse
from bench.onnx.interface import examine_model
from bench.sandbox.messages import read_message, serve, write_message
from bench.submission.manifest import Manifest

MOST_PROBLEMS = 100


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request: the problems that `examine_model` finds, and the model with functions inlined."""
    request, _ = read_message(requests)
    manifest = parse(Manifest, request["manifest"], "manifest-invalid", "submission.toml")
    spec = parse(CohortSpec, request["spec"], "cohort-spec", "spec")
    problems, inlined = examine_model(
        Path(request["model"]), manifest, spec, manifest_file=str(request["manifest_file"])
    )
    header = {"problems": [problem.as_dict() for problem in problems[:MOST_PROBLEMS]]}
    write_message(answers, {**header, "inlined_bytes": len(inlined)})
    answers.write(inlined)
    answers.flush()


if __name__ == "__main__":
    serve(work)
