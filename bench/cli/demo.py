"""`bench demo`: the whole path on a synthetic cohort, by the commands that anyone uses."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import JsonOption
from bench.cli.output import Report, reporting
from bench.errors import BenchError, Problem

if TYPE_CHECKING:
    from bench.workspace import Workspace

QUICK = ("prevalence", "shuffled", "demographics", "cnn-small")
PATIENTS = 600


def demo(
    patients: Annotated[
        int, typer.Option("--patients", min=60, max=24_689, help="Number of patients.")
    ] = PATIENTS,
    baselines: Annotated[
        bool, typer.Option(help="Train the baselines that need torch too, and time their models.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the pages; default site/public.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a synthetic cohort; train, submit, score and time the quick baselines; build their board.

    The entries go to a workspace of their own, data/demo-board; what is stored in submissions is not touched.

    Example: bench demo
    """
    from baselines.registry import find_baseline
    from baselines.run import missing_packages
    from bench.workspace import DATA_VARIABLE

    with reporting(as_json) as report:
        started = time.monotonic()
        os.environ.pop(DATA_VARIABLE, None)  # the demo writes and reads a cohort of its own
        outer = _outer_workspace()
        inner = _demo_workspace(outer, patients)
        chosen = [n for n in QUICK if baselines or not find_baseline(n).needs_packages]
        for name in list(chosen):
            if lacking := missing_packages(find_baseline(name)):
                report.say(f"{name} is left out: it needs {', '.join(lacking)} (chexchobench[baselines]).")
                chosen.remove(name)
        report.say(f"$ cd {inner.root}")
        pages = (out or outer.site).resolve()
        data = str(inner.data("demo"))
        _step(report, inner, "cohort", "demo", "--out", data, "--patients", str(patients))
        _step(report, inner, "cohort", "check")
        _step(report, inner, "cohort", "split", "--lock")
        _step(report, inner, "baseline", "run", *chosen, "--quick", "--replace")
        _step(report, inner, "score", "--all")
        if "cnn-small" in chosen:
            _step(report, inner, "time", "cnn-small", "--quick")
        _step(report, inner, "site", "build", "--out", str(pages))
        board = json.loads(_run(report, inner, "board", "--json"))
        if not as_json:
            report.say("\n$ bench board")
            report.show(_run(report, inner, "board"))
        report.result(
            synthetic=True,
            workspace=str(inner.root),
            site=str(pages / "index.html"),
            duration_s=round(time.monotonic() - started, 1),
            **board["result"],
        )
        report.show(f"Open the pages (synthetic): {pages / 'index.html'}")
        report.show(f"Go on in the demo's workspace: cd {shlex.quote(str(inner.root))}")


def _outer_workspace() -> Workspace:
    """The current workspace; where there is none, a new one in ``chexchobench-demo``."""
    from bench.workspace import create_workspace, find_workspace

    try:
        return find_workspace()
    except BenchError:
        folder = Path.cwd() / "chexchobench-demo"
        return find_workspace(folder) if folder.exists() else create_workspace(folder)


def _demo_workspace(outer: Workspace, patients: int) -> Workspace:
    """The demo's own workspace; it has the outer one's pages, and its cohort if that has the usual size."""
    from bench.workspace import create_workspace, find_workspace, is_workspace

    size = "" if patients == PATIENTS else f"-{patients}"
    root = outer.demo(size)
    if is_workspace(root):
        return find_workspace(root)
    data = outer.data("demo") if patients == PATIENTS else outer.demo_data(size)
    return create_workspace(root, data={"demo": data}, site=outer.site)


def _step(report: Report, space: Workspace, *words: str) -> None:
    """Shows a command and what it prints, as messages."""
    report.say(f"\n$ bench {shlex.join(words)}")
    report.say(_run(report, space, *words).rstrip())


def _run(report: Report, space: Workspace, *words: str) -> str:
    """Runs one command as a user would in the demo's workspace; returns what it printed.

    Its messages go straight to stderr. A command that fails ends the demo with its exit code, after what it
    printed was shown.
    """
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=space.root,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        report.say(done.stdout.rstrip())
        message = f"`bench {shlex.join(words)}` ended with exit code {done.returncode}."
        raise BenchError(Problem("demo-step", message, where=str(space.root)), done.returncode)
    return done.stdout
