"""`bench demo`: the whole path on a synthetic cohort, one line a step."""

from __future__ import annotations

import os
import shlex
import time
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.cli.board import plain_table, show_table
from bench.cli.options import JsonOption
from bench.cli.output import Report, reporting, stages, stderr_is_terminal
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.actions.demo import DemoStep
    from bench.workspace import Workspace

PATIENTS = 3_000
DemoSite = Literal["chexchonet", "mimic"]
DEMO_COHORTS: dict[DemoSite, str] = {"chexchonet": "demo", "mimic": "demo-mimic"}
COLUMNS = ("rank", "slug", "auroc", "auroc:slvh", "auroc:dlv", "ece", "calibration_slope")


def demo(
    patients: Annotated[
        int, typer.Option("--patients", min=60, max=24_689, help="Number of patients.")
    ] = PATIENTS,
    site: Annotated[
        DemoSite, typer.Option("--site", help="The site of the synthetic patients: chexchonet or mimic.")
    ] = "chexchonet",
    torch: Annotated[
        bool, typer.Option(help="Train the small convolutional network too, where torch is installed.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the pages; default site/public.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a synthetic cohort; train, submit, score and time baselines; build their board.

    The entries go to a workspace of their own, data/demo-board; what is stored in submissions is not touched.

    With `--site mimic` the patients are in the files of MIMIC, which are linked first.

    Example: bench demo
    """
    from bench.actions.board import read_board
    from bench.actions.demo import Demo
    from bench.board.table import board_table
    from bench.workspace import DATA_VARIABLE

    with reporting(as_json) as report:
        started = time.monotonic()
        os.environ.pop(DATA_VARIABLE, None)  # the demo writes and reads a cohort of its own
        outer = _outer_workspace()
        inner = _demo_workspace(outer, patients, site)
        pages = (out or outer.site).resolve()
        report.say(
            f"A synthetic cohort of {patients:,} patients: no patient is real, no image shows a person."
        )
        report.say(f"$ cd {shlex.quote(str(inner.root))}")
        steps = Demo(inner, patients, torch, report.show_problems).steps(pages)
        # Of a pool that idles between two steps joblib says that a worker stopped; it starts another.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        for step in steps:
            _run_step(report, step)
        duration = time.monotonic() - started
        loaded = read_board(inner.cohort, workspace=inner)
        shown = board_table(loaded, loaded.spec.headline)
        report.result(
            synthetic=True,
            workspace=str(inner.root),
            site=str(pages / "index.html"),
            duration_s=round(duration, 1),
            target=loaded.spec.headline,
            **plain_table(shown, shown.columns),
        )
        if not as_json:
            report.say(f"Done in {duration:.0f} s.\n")
            show_table(report, shown, shown.choose(list(COLUMNS)), fit=False)
            _last_screen(report, pages, inner.root, site)


def _last_screen(report: Report, pages: Path, root: Path, site: DemoSite) -> None:
    subgroups = "patients with a pacemaker: a planted shortcut" if site == "chexchonet" else "view and race"
    report.show(
        f"\nOpen {pages / 'index.html'} (synthetic), or type `bench open` here.\n"
        f"Look at Subgroups ({subgroups}), at the calibration of\n"
        "random-convolutions-echo beside its recalibrated form, and at Speed.\n\n"
        "Next:\n"
        f"  cd {shlex.quote(str(root))}\n"
        "  bench compare random-convolutions cardiothoracic   # is the difference real?\n"
        "  bench template --out my-entry                      # submit predictions of your own"
    )


def _run_step(report: Report, step: DemoStep) -> None:
    """Run a step; show its command, time and summary on one line. A terminal shows a bar meanwhile."""
    started = time.monotonic()
    with stages() if stderr_is_terminal() else nullcontext() as progress:
        summary = step.run(progress)
    report.say(f"{time.monotonic() - started:5.1f} s  $ {step.command}  # {summary}")


def _outer_workspace() -> Workspace:
    """The current workspace; where there is none, a new one in ``chexchobench-demo``."""
    from bench.workspace import create_workspace, find_workspace

    try:
        return find_workspace()
    except BenchError:
        folder = Path.cwd() / "chexchobench-demo"
        return find_workspace(folder) if folder.exists() else create_workspace(folder)


def _demo_workspace(outer: Workspace, patients: int, site: DemoSite) -> Workspace:
    """The demo's own workspace; it has the outer one's pages, and its cohort if that has the usual size."""
    from bench.workspace import create_workspace, find_workspace, is_workspace

    cohort = DEMO_COHORTS[site]
    size = "" if patients == PATIENTS else f"-{patients}"
    if site != "chexchonet":
        size = f"-{site}{size}"
    root = outer.demo(size)
    if is_workspace(root):
        return find_workspace(root)
    data = outer.demo_data(size) if size else outer.data(cohort)
    return create_workspace(root, cohort, data={cohort: data}, site=outer.site)
