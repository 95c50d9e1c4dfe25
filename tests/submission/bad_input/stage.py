"""What faulty inputs are made from, and how each is refused: told in full, nothing written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.cohort.cohort import Cohort
from bench.errors import catalogue
from bench.files import sha256_file
from bench.submission.packed import PackStamp, pack
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.tiny import MANIFEST

ID, HEAD = "cxr_filename", "composite_slvh_dlv"
N = 102
"""Test images of the cohort."""
Words = list[str | Path]


@dataclass(frozen=True)
class Stage:
    """What a faulty input is made from: a folder to write to, a cohort, its correct predictions."""

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
        """Puts an entry into the store whose predictions are stamped with a fingerprint."""
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
    """One faulty input: how it is made, and what must be said about it."""

    name: str
    make: Callable[[Stage], Words]
    code: str
    says: str
    exit_code: int = 1


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
    """Hands the faulty input in, and checks how it is refused."""
    words = fault.make(stage)
    before = files(stage.space.root)
    ran = cli(*words, "--json")
    assert ran.exit_code == fault.exit_code, ran.stderr
    assert ran.object["schema"] == "bench-output/1"
    assert ran.object["ok"] is False
    found = [p for p in ran.object["problems"] if p["code"].startswith(fault.code)]
    assert found, ran.object["problems"]
    assert {p["code"] for p in found} <= set(catalogue())
    assert any(re.search(fault.says, p["message"]) for p in found), found
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
