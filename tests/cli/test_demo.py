"""`bench demo`: what it shows is what was run, and there is one site to open."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench.cli.demo import _run
from bench.cli.output import Report
from bench.errors import BenchError
from bench.workspace import Workspace, create_workspace, find_workspace
from tests.conftest import Cli


@pytest.fixture
def outer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace in which every step of the demo answers with its own words."""

    def run(report: Report, space: Workspace, *words: str) -> str:
        return json.dumps({"result": {"target": "y"}}) if "--json" in words else f"<{' '.join(words)}>\n"

    monkeypatch.setattr("bench.cli.demo._run", run)
    made = create_workspace(tmp_path / "clone")
    monkeypatch.chdir(made.root)
    return made


def test_each_command_that_is_shown_stands_above_its_own_output(outer: Workspace, cli: Cli) -> None:
    ran = cli("demo", "--no-baselines")
    shown = [line for line in ran.stderr.splitlines() if line]
    commands = [line.removeprefix("$ bench ") for line in shown if line.startswith("$ bench ")]
    assert commands[-1] == "board"
    assert shown[-1] == "$ bench board"
    assert ran.stdout.startswith("<board>\n")
    for command in commands[:-1]:
        assert shown[shown.index(f"$ bench {command}") + 1] == f"<{command}>"


def test_json_is_one_object_with_the_boards_own(outer: Workspace, cli: Cli) -> None:
    result = cli("demo", "--no-baselines", "--json").object["result"]
    assert (result["target"], result["site"]) == ("y", str(outer.site / "index.html"))


def test_the_demos_workspace_and_the_clone_build_the_same_site(outer: Workspace, cli: Cli) -> None:
    ran = cli("demo", "--no-baselines")
    inner = find_workspace(outer.root / "data" / "demo-board")
    assert inner.site == outer.site
    assert ran.stdout.splitlines()[-2:] == [
        f"Open the pages (synthetic): {outer.site / 'index.html'}",
        f"Go on in the demo's workspace: cd {inner.root}",
    ]


def test_what_a_failing_step_printed_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = subprocess.CompletedProcess([], 3, stdout="what was found\n")
    monkeypatch.setattr("bench.cli.demo.subprocess.run", lambda *_, **__: failed)
    with pytest.raises(BenchError, match="exit code 3"):
        _run(Report(as_json=False), create_workspace(tmp_path / "w"), "score")
    assert "what was found" in capsys.readouterr().err
