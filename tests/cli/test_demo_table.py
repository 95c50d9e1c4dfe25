"""The synthetic cohort's table is written where it is absent, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.workspace import create_workspace
from tests.conftest import Cli


@pytest.fixture
def demo_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    create_workspace(tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    monkeypatch.delenv("BENCH_DATA", raising=False)
    return tmp_path / "w"


def test_a_missing_table_of_the_demo_is_written(demo_space: Path, cli: Cli) -> None:
    (demo_space / "data" / "demo").mkdir(parents=True)
    assert cli("cohort", "split").exit_code == 0
    assert (demo_space / "data" / "demo" / "metadata.csv").is_file()


def test_a_mistyped_folder_is_an_error(demo_space: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setenv("BENCH_DATA", str(demo_space / "typo"))
    ran = cli("cohort", "split", "--json")
    assert (ran.exit_code, ran.codes) == (3, ["cohort-missing"])
    assert not (demo_space / "typo").exists()
