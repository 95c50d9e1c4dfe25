"""`bench demo`: one line a step, no warnings of its own baselines, and one site to open."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from bench.actions.demo import Demo, DemoStep
from bench.cli.demo import _demo_workspace
from bench.errors import BenchError, Problem
from bench.workspace import Workspace, create_workspace, find_workspace
from tests.conftest import Cli

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def outer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    made = create_workspace(tmp_path / "clone")
    monkeypatch.chdir(made.root)
    return made


NO_TORCH = """
import os, sys
from dataclasses import replace
if hasattr(os, "sched_setaffinity"):  # no pool of processes: their starts would take half of the time
    os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
import bench.actions.demo as demo
import bench.actions.time as timing
import bench.timing.time_model as time_model
from bench.cli.main import main
from bench.timing.record import Roofline
from tests.timing.fakes import SHORT
timing.QUICK = replace(SHORT, blocks=1, longest_s=0.5)
time_model.measure_roofline = lambda *_, **__: Roofline(reason="not requested")
time_entries = demo.time_entries
demo.time_entries = lambda **options: time_entries(**options, batches=(8,))
sys.argv = ["bench", "demo", "--patients", "60", "--no-torch"]
try:
    main()
finally:
    loaded = sorted({name.partition(".")[0] for name in sys.modules})
    open("loaded.txt", "w").write("\\n".join(loaded))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo of a small cohort as a user of one core runs it: its folder, and what it says in one log."""
    folder = tmp_path_factory.mktemp("demo")
    create_workspace(folder / "clone")
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH],
        cwd=folder / "clone",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "160", "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return folder / "clone", done.stdout


STEP = re.compile(r" *\d+\.\d s  \$ bench (.*?)  # (.*)")


@pytest.mark.slow
def test_the_log_has_one_line_a_step_in_order_and_no_warning(whole: tuple[Path, str]) -> None:
    _, log = whole
    before, board = log.split("Done in ")
    lines = before.splitlines()
    assert "no patient is real" in lines[0]
    assert lines[1].startswith("$ cd ")
    steps = [STEP.fullmatch(line) for line in lines[2:] if line]
    assert all(steps), lines
    commands = [step[1] for step in steps if step]
    assert commands[0].startswith("cohort demo --out ")
    assert commands[1:3] == ["cohort check", "cohort split --lock"]
    assert commands[-3:-1] == ["score --all", "time --all --quick"]
    assert commands[-1].startswith("site build --out ")
    assert "warning" not in log
    assert board.rstrip().splitlines()[-3].startswith("  cd ")


def test_the_board_has_eight_to_ten_entries_and_three_are_timed(whole: tuple[Path, str]) -> None:
    folder, log = whole
    store = find_workspace(folder / "data" / "demo-board-60").submissions("demo")
    entries = {path.parent.name for path in store.glob("*/submission.toml")}
    assert 8 <= len(entries) <= 10
    assert {"random-convolutions-echo", "random-convolutions-echo-isotonic"} <= entries
    assert len({path.parent.parent for path in store.glob("*/timings/*.json")}) == 3
    assert (folder / "site" / "public" / "index.html").is_file()
    for slug in entries:
        assert slug in log


def test_the_demo_imports_no_torch(whole: tuple[Path, str]) -> None:
    loaded = set((whole[0] / "loaded.txt").read_text().splitlines())
    assert {"numba", "onnx"} <= loaded
    assert not loaded & {"torch", "monai", "lightning", "tensorrt"}


def test_the_second_site_is_linked_first(outer: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.actions.demo.usable_cores", lambda: 1)
    inner = _demo_workspace(outer, 60, "mimic")
    assert inner.cohort == "demo-mimic"
    steps = Demo(inner, 60, torch=False, warned=lambda _: None).steps(outer.site)
    made, linked, checked, locked = islice(steps, 4)
    assert [step.words[:2] for step in (made, linked, checked, locked)] == [
        ("cohort", "demo"),
        ("cohort", "link"),
        ("cohort", "check"),
        ("cohort", "split"),
    ]
    assert "60 invented patients" in made.run(None)
    assert cli(*linked.words).exit_code == 0  # the command that the log shows does the same
    assert "images linked" in linked.run(None)
    assert "table and checksums are in order" in checked.run(None)
    assert locked.run(None).startswith("train ")


@pytest.fixture
def two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(self: Demo, pages: Path) -> list[DemoStep]:
        def fails(_: object) -> str:
            raise BenchError(Problem("demo-argument", "Nothing can be made."))

        return [DemoStep(("one", "two words"), lambda _: "done"), DemoStep(("three",), fails)]

    monkeypatch.setattr(Demo, "steps", steps)


def test_a_failing_step_ends_the_demo(outer: Workspace, two_steps: None, cli: Cli) -> None:
    ran = cli("demo", "--json")
    assert (ran.exit_code, ran.codes) == (1, ["demo-argument"])
    assert "$ bench one 'two words'  # done" in ran.stderr


def test_open_says_where_the_pages_are(outer: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def no_browser(address: str) -> bool:
        opened.append(address)
        return False

    monkeypatch.setattr("webbrowser.open", no_browser)
    assert cli("open", "--json").codes == ["site-missing"]
    outer.site.mkdir(parents=True)
    page = outer.site / "index.html"
    page.write_text("<!doctype html>")
    ran = cli("open")
    assert opened == [page.as_uri()]
    assert ran.stdout == f"No web browser could be started. Open {page}\n"
    assert json.loads(cli("open", "--json").stdout)["result"]["page"] == str(page)
