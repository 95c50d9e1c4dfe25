"""The README's commands run as they are printed, in a workspace with a small synthetic cohort."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.cohort.synthetic.write import write_demo
from bench.workspace import create_workspace
from tests.conftest import Cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(heading: str, language: str) -> list[str]:
    """The code blocks of a section."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


def commands(block: str) -> list[list[str]]:
    """The words of each line that calls `bench`, without comments."""
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    return [words[1:] for words in lines if words and words[0] == "bench"]


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = create_workspace(tmp_path / "w").root
    write_demo(folder / "data" / "demo", patients=300, images=False)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("BENCH_DATA", raising=False)
    return folder


def test_submitting_and_running_a_board(space: Path, cli: Cli) -> None:
    template, *others = commands(blocks("Submit", "console")[0])
    assert cli(*template).exit_code == 0
    file = space / "my-entry" / "predictions.csv"
    table = pd.read_csv(file)
    numbers = np.random.default_rng(0)
    for target in ("composite_slvh_dlv", "slvh", "dlv"):
        table[target] = numbers.random(len(table))
    table[[c for c in table if c not in ("ivsd", "lvpwd", "lvidd")]].to_csv(file, index=False)
    public = commands(blocks("Run a public board", "console")[0])
    public = [words for words in public if "publish" not in words]  # it needs a remote repository
    assert [words[:2] for words in public] == [
        ["verify"],
        ["site", "build"],
        ["site", "check"],
        ["site", "freeze"],
    ]
    for words in [*others, *public]:
        ran = cli(*words)
        assert ran.exit_code == 0, (words, ran.stderr)


def test_trying_without_make_and_listing(space: Path, cli: Cli) -> None:
    assert cli(*commands(blocks("Train your own model", "console")[0])[0]).exit_code == 0
    pip = blocks("Try it", "console")[1]
    assert re.findall(r"bin/bench (\w+)", pip) == ["demo", "open"]


def test_the_statistics_alone() -> None:
    numbers = np.random.default_rng(0)
    patient_id = np.repeat(np.arange(200), 2)
    y = (numbers.random(400) < 0.3).astype(float)
    names: dict[str, Any] = {
        "y": y,
        "patient_id": patient_id,
        "p": numbers.random(400),
        "other": numbers.random(400),
    }
    exec(compile(blocks("Use the statistics alone", "python")[0], "README.md", "exec"), names)
    assert "result" in names


def test_the_picture_of_the_board_is_small_and_there_for_both_schemes() -> None:
    pictures = re.findall(r'(?:srcset|src)="([^"]+)"', README)
    assert pictures == ["docs/board-dark.png", "docs/board-light.png"]
    for name in pictures:
        assert (ROOT / name).stat().st_size <= 100_000


def test_the_page_is_short() -> None:
    assert len(README.splitlines()) <= 180


def test_make_needs_no_torch_for_the_demo() -> None:
    """`make demo` installs the lock without torch; TORCH=1 the one with it."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    text = (ROOT / "Makefile").read_text("utf-8")
    assert "demo: $(if $(TORCH),.venv/installed,.venv/core)" in text
    assert "torch" not in (ROOT / "requirements-core.lock").read_text("utf-8")
