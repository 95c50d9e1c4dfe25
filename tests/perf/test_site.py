"""`bench site build` as a command on 1,000 stored entries of three targets: processor time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.workspace import create_workspace
from tests.publish.store import rename_team

ROOT = Path(__file__).parents[2]
ENTRIES = 1000
MOST_MIB = 500
GOALS_S = {"cold": 10, "unchanged": 3, "one entry changed": 4}
"""CPU seconds of the design; a build takes longer (docs/measurements/site.md), so they are printed only."""
MOST_S = {"cold": 40, "unchanged": 10, "one entry changed": 15}
"""CPU seconds that point to work that grows with the square of the entries, on any machine."""


@dataclass(frozen=True)
class Cost:
    cpu_s: float
    wall_s: float
    peak_mib: float


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    root = tmp_path_factory.mktemp("space") / "space"
    made = create_workspace(root, "demo")
    command = [sys.executable, "-m", "tests.publish.store", str(made.submissions("demo")), str(ENTRIES)]
    subprocess.run(
        command, cwd=ROOT, check=True
    )  # a child's peak counts its parent's, so this one stays small
    return made


def build(root: Path) -> Cost:
    """One run of the command in a process of its own, reading and starting Python included."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "bench", "site", "build", "--cohort", "demo"]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        command, cwd=root, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - start, usage.ru_maxrss / scale)


def times(folder: Path) -> dict[str, int]:
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.mark.perf
def test_a_thousand_entries_build_within_their_budget(space, capsys):
    cold = build(space.root)
    first = times(space.site)
    same = build(space.root)
    assert times(space.site) == first
    rename_team(space.submission("demo", "entry-0004"))
    one = build(space.root)
    rewritten = {p for p, at in times(space.site).items() if at != first[p]}
    assert len(rewritten) <= 20
    assert {p for p in rewritten if p.startswith("e/")} == {
        "e/entry-0004/index.html",
        "e/entry-0004/entry.json",
    }
    costs = {"cold": cold, "unchanged": same, "one entry changed": one}
    with capsys.disabled():
        print(f"\nbench site build, {ENTRIES:,} entries, 3 targets")
        print(f"{'':18}{'CPU s':>7}{'goal':>7}{'wall s':>8}{'MiB':>6}{'limit':>7}")
        for words, cost in costs.items():
            print(
                f"{words:18}{cost.cpu_s:7.2f}{GOALS_S[words]:7}{cost.wall_s:8.2f}{cost.peak_mib:6.0f}{MOST_MIB:7}"
            )
    for words, cost in costs.items():
        assert cost.cpu_s <= MOST_S[words]
        assert cost.peak_mib <= MOST_MIB
