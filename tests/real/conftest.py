"""Real files: in the folder that BENCH_REAL names, or in shared/real beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.workspace import DATA_VARIABLE, Workspace, create_workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of the real files; tests skip where there is none."""
    folder = Path(os.environ.get("BENCH_REAL") or ROOT.parent / "shared" / "real")
    if not folder.is_dir():
        pytest.skip("the real files are not here: neither BENCH_REAL nor shared/real beside the checkout")
    return folder


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace, which is the current folder."""
    made = create_workspace(tmp_path / "board")
    monkeypatch.chdir(made.root)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return made
