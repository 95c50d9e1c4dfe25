"""Faulty inputs of the command line, and the assertion that each is refused and nothing is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.cohort.cohort import Cohort
from bench.files import sha256_file
from bench.submission.packed import PackStamp, pack
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.faulty import assert_problem
from tests.tiny import MANIFEST

ID, HEAD = "cxr_filename", "composite_slvh_dlv"
N = 102
"""Test images of the cohort."""
Words = list[str | Path]


@dataclass(frozen=True)
class Stage:
    """Materials of a faulty input: a folder to write to, a cohort, its correct predictions."""

    folder: Path
    cohort: Cohort
    good: pd.DataFrame
    space: Workspace

    def file(self, content: bytes | str, name: str = "predictions.csv") -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def correct(self) -> Path:
        """The correct predictions as a file."""
        return self.file(self.good.to_csv(index=False))

    def store(self, slug: str, fingerprint: str) -> None:
        """Put an entry into the store whose predictions are stamped with a fingerprint."""
        folder = self.space.submission("chexchonet", slug)
        folder.mkdir(parents=True)
        (folder / "submission.toml").write_text(MANIFEST)
        stamp = PackStamp(
            cohort="chexchonet",
            version="1.0.0",
            fingerprint=fingerprint,
            track="holdout",
            source_sha256="0" * 64,
        )
        (folder / "predictions.parquet").write_bytes(pack({HEAD: self.good[HEAD].to_numpy()}, stamp))


@dataclass(frozen=True)
class Fault:
    """One faulty input: how it is made, and what must be said about it.

    Attributes:
        name: Of the test.
        make: Write the input and return the command.
        code: Of the problem.
        says: Regular expression of its message.
        exit_code: Of the command.
        where: Regular expression of the place; "" for that of the code in `PLACES_AND_REMEDIES`.
        remedy: Regular expression of what to do; "" for that of the code in `PLACES_AND_REMEDIES`.
    """

    name: str
    make: Callable[[Stage], Words]
    code: str
    says: str
    exit_code: int = 1
    where: str = ""
    remedy: str = ""


ID_COLUMN, COLUMN = rf"predictions\.csv, column {ID}$", rf"predictions\.csv, column ({HEAD}|slvh|dlv)$"
FILE, MANIFEST_FILE, MODEL_FILE = r"/predictions\.(csv|parquet)$", r"/m\.toml(, |$)", r"/model\.onnx$"
PLACES_AND_REMEDIES: dict[str, tuple[str | None, str]] = {
    "backend-unavailable": (None, "NVIDIA GPU and driver"),
    "backend-unknown": (None, "bench time --list"),
    "baseline-unknown": (None, "bench baseline list"),
    "board-empty": (None, "bench submit PREDICTIONS"),
    "cohort-columns": ("metadata.csv$", "`--cohort` and `--data` belong together"),
    "cohort-duplicate-id": (f"metadata.csv, column {ID}$", "Remove the repeated rows"),
    "cohort-missing": ("absent$", "`--data DIR`"),
    "cohort-spec": (r"spec\.toml$", "bench schema cohort"),
    "cohort-table": ("metadata.csv$", "compare it with its source"),
    "cohort-table-missing": ("submitted$", "Point `--data` at the folder"),
    "cohort-unknown": (None, "the spelling or the path"),
    "entry-unknown": ("submissions/chexchonet$", "bench board"),
    "manifest-invalid": (MANIFEST_FILE, "Correct the key named.*bench schema manifest"),
    "model-batch": (r"/model\.onnx, (input|output) ", "dynamic batch dimension"),
    "model-custom-operator": (MODEL_FILE, "without fused or custom operators"),
    "model-external-data": (MODEL_FILE, "as one file"),
    "model-format": (r"/m(odel)?\.(onnx|pt)$", r"torch\.onnx\.export"),
    "model-input": (r"/model\.onnx, input image$", "export the model with these inputs"),
    "model-manifest": (MANIFEST_FILE, "Add the table"),
    "model-output": (r"/model\.onnx, output scores$", r"model\.outputs"),
    "model-truncated": (MODEL_FILE, "compare its size and checksum"),
    "model-unreadable": (r"/no\.onnx$", "It is looked for in "),
    "predictions-are-labels": (r"predictions\.csv, target ", "the model's predictions"),
    "predictions-delimiter": (FILE, "commas between columns"),
    "predictions-duplicate-id": (ID_COLUMN, "one row for each image"),
    "predictions-format": (FILE, "plain CSV|UTF-8"),
    "predictions-header": (FILE, "bench template"),
    "predictions-infinite": (COLUMN, "Clip probabilities"),
    "predictions-missing-id": (ID_COLUMN, "Predict the missing images"),
    "predictions-nan": (COLUMN, "why the model outputs NaN"),
    "predictions-not-a-number": (COLUMN, "plain decimal numbers"),
    "predictions-out-of-range": (COLUMN, 'sigmoid to logits.*scores = "uncalibrated"'),
    "predictions-ragged": (FILE, "extra commas, decimal commas or an incomplete last line"),
    "predictions-unknown-id": (ID_COLUMN, "belongs to this cohort"),
    "predictions-unreadable": (FILE, "Write the file again"),
    "schema-unknown": (None, "one of the names"),
    "slug-invalid": (None, "Choose .*`[a-z0-9-]+`"),
    "slug-taken": ("submissions/chexchonet$", "--replace"),
    "stored-split": (r"old/predictions\.parquet$", "submit predictions for this split"),
    "unknown-code": (None, "Did you mean|bench explain --list"),
    "workspace-exists": (r"bench\.toml$", "Choose another folder"),
}
"""Code → regular expressions of the usual place, None if there is none, and of the usual remedy."""


def submit(path: Path, *more: str | Path, slug: str = "entry") -> Words:
    return ["submit", path, "--slug", slug, *more]


def changed(change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> Callable[[Stage], Words]:
    """The correct file after a change."""

    def make(stage: Stage) -> Words:
        frame = stage.good.copy()
        after = change(frame)
        return submit(stage.file((frame if after is None else after).to_csv(index=False)))

    return make


def files(folder: Path) -> dict[str, str]:
    """Every file of a folder with its content's hash, but the store's lock, which is always empty."""
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def refused(fault: Fault, stage: Stage, cli: Cli) -> None:
    """Submit the faulty input and check how it is refused."""
    words = fault.make(stage)
    before = files(stage.space.root)
    ran = cli(*words, "--json")
    assert ran.exit_code == fault.exit_code, ran.stderr
    assert ran.object["schema"] == "bench-output/1"
    assert ran.object["ok"] is False
    problems = [p for p in ran.object["problems"] if p["code"] == fault.code]
    place, advice = PLACES_AND_REMEDIES[fault.code]
    meant = [p for p in problems if re.search(fault.says, p["message"])]
    assert meant, ran.object["problems"]
    assert_problem(
        meant[0],
        fault.code,
        message=fault.says,
        where=fault.where or place,
        remedy=fault.remedy or advice,
    )
    for problem in ran.object["problems"]:
        assert problem["remedy"]
        assert f"[{problem['code']}]" in ran.stderr
    assert "to do: " in ran.stderr
    assert "Traceback" not in ran.stderr
    said = ran.stdout + ran.stderr
    assert not [
        name
        for name in (*stage.cohort.images, *stage.cohort.patients)
        if name in said.replace(str(stage.folder), "")
    ]
    assert files(stage.space.root) == before
