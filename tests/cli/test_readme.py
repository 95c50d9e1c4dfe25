"""Commands run as the documents print them, in a workspace with a small synthetic cohort."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.cohort.synthetic.write import write_demo
from bench.workspace import create_workspace
from tests.cli.printed import NOT_RUN, PAGES, in_blocks, in_sentences, why_not_run
from tests.cli.test_commands import TREE
from tests.conftest import Cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(heading: str, language: str) -> list[str]:
    """The code blocks of a section."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = create_workspace(tmp_path / "w").root
    write_demo(folder / "data" / "demo", patients=300, images=False)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("BENCH_DATA", raising=False)
    return folder


def fill_in(table: Path) -> None:
    """Random probabilities in the columns of a template that need them."""
    frame = pd.read_csv(table)
    numbers = np.random.default_rng(0)
    for target in ("composite_slvh_dlv", "slvh", "dlv"):
        frame[target] = numbers.random(len(frame))
    frame[[c for c in frame if c not in ("ivsd", "lvpwd", "lvidd")]].to_csv(table, index=False)


def test_every_command_runs_as_it_is_printed(space: Path, cli: Cli) -> None:
    """Each once, in the order of the pages, the README first: it stores the entry that others name."""
    blocks = [words for page in PAGES for words in in_blocks(page)]
    sentences = [words for page in PAGES for words in in_sentences(page) if tuple(words[1:]) not in TREE]
    lines = dict.fromkeys(tuple(words) for program, *words in blocks + sentences if program == "bench")
    left_out = {words for words in lines if why_not_run([*words])}
    for start in NOT_RUN:
        assert any(" ".join(words).startswith(start) for words in left_out), f"no page prints {start}"
    run = [words for words in lines if words not in left_out]
    for words in run:
        done = cli(*words)
        assert done.exit_code == 0, (words, done.stderr)
        if words[0] == "template" and "--out" in words:
            fill_in(space / words[words.index("--out") + 1] / "predictions.csv")
    assert len(run) >= 20


def test_without_make_it_is_demo_and_open() -> None:
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
    assert len(README.splitlines()) <= 195


def test_make_needs_no_torch_for_the_demo() -> None:
    """`make demo` installs the lock without torch; TORCH=1 the one with it."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    text = (ROOT / "Makefile").read_text("utf-8")
    assert "demo: $(if $(TORCH),.venv/installed,.venv/core)" in text
    assert "torch" not in (ROOT / "requirements-core.lock").read_text("utf-8")
