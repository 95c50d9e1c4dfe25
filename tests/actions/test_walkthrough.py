"""The walk-through of ARCHITECTURE.md: every function that it names is called, in its order."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pandas as pd

import bench
from bench.workspace import Workspace

TEXT = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text("utf-8")
SECTION = TEXT.partition("## From a predictions file to its page")[2].partition("\n## ")[0]
NAMED = re.findall(r"(?m)^\d+\. `(bench[\w.]+)`", SECTION)


def code_of(name: str) -> CodeType:
    module, _, function = name.rpartition(".")
    code = getattr(import_module(module), function).__code__
    assert isinstance(code, CodeType)
    return code


def test_the_named_functions_are_called_in_this_order(
    space: Workspace, good: pd.DataFrame, tmp_path: Path
) -> None:
    assert 5 <= len(NAMED) <= 10
    codes = {code_of(name): name for name in NAMED}
    called: list[str] = []

    def watch(frame: FrameType, event: str, _: Any) -> None:
        name = codes.get(frame.f_code) if event == "call" else None
        if name and name not in called:
            called.append(name)

    good.to_csv(tmp_path / "predictions.csv", index=False)
    bench.read_board  # noqa: B018  loaded before the clockwork starts
    sys.setprofile(watch)
    try:
        bench.submit(tmp_path / "predictions.csv", slug="mine", workspace=space)
        bench.score("mine", replicates=100, jobs=1, workspace=space)
        site = bench.build_site(tmp_path / "site", workspace=space)
    finally:
        sys.setprofile(None)
    assert called == NAMED
    assert "mine" in (site.folder / "e" / "mine" / "index.html").read_text("utf-8")
