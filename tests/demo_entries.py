"""Makes the entries of submissions/demo anew: `python -m tests.demo_entries`, or `make demo-entries`.

The same steps as `bench demo`, in a workspace of its own, whose entries then replace those of the clone. Run
it after a change of the synthetic cohort, the baselines, the scores or the formats.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from bench.actions.demo import Demo
from bench.cli.demo import PATIENTS
from bench.cli.output import show_problem
from bench.errors import Problem
from bench.workspace import create_workspace, find_workspace

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run the steps, show each, and replace the stored entries."""
    folder = ROOT / "data" / "demo-entries"
    shutil.rmtree(folder, ignore_errors=True)
    space = create_workspace(folder, data={"demo": ROOT / "data" / "demo"})
    demo = Demo(space, PATIENTS, False, _warn)
    for step in demo.steps(folder / "pages"):
        started = time.monotonic()
        summary = step.run(None)
        print(f"{time.monotonic() - started:6.1f} s  {step.command}  # {summary}", flush=True)
    stored = find_workspace(ROOT).submissions("demo")
    shutil.rmtree(stored)
    shutil.copytree(space.submissions("demo"), stored, ignore=shutil.ignore_patterns(".*"))


def _warn(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        show_problem(problem)


if __name__ == "__main__":
    main()
