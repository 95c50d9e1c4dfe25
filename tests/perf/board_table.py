"""A whole board from files to `board --json`: `python -m tests.perf.board_table` (about ten minutes).

Boards of 10 to 1,000 entries with three targets on the test split of the full-size synthetic cohort, scored
with subgroups and 2,000 replicates by the public commands: cold, then after one entry was added. Time should
grow with the number of entries, memory hardly.
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.cohort.synthetic.write import write_demo
from bench.submission.accept import stamp
from bench.submission.manifest import Manifest
from bench.submission.packed import pack
from bench.submission.store import store

PATIENTS = 24_689
SIZES = (10, 100, 1_000)


@dataclass(frozen=True)
class Timed:
    """Wall and CPU seconds of commands, and the largest resident memory of one process in MiB."""

    wall: float
    cpu: float
    memory: float


def write_entry(cohort: Cohort, folder: Path, number: int) -> None:
    """An entry of some skill, alike within patients."""
    rng = np.random.default_rng(number)
    test = cohort.rows("test")
    _, patient = np.unique(cohort.patients[test].astype(str), return_inverse=True)
    noise = rng.normal(size=patient.max() + 1)[patient] + rng.normal(size=len(test))
    skill = 0.8 + rng.random()
    values = {
        t.name: expit(skill * cohort.targets[t.name][test] + noise - 2) for t in cohort.spec.binary_targets
    }
    said = Manifest(name=f"Entry {number}", team="T", date=datetime.date(2026, 1, 1), inputs=("image",))
    store(folder, f"entry-{number:04d}", said, pack(values, stamp(cohort, "holdout", "0" * 64)))


def run(commands: list[list[str]], folder: Path) -> Timed:
    """Run `bench` commands one after the other."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    for words in commands:
        subprocess.run(
            [sys.executable, "-m", "bench", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timed(time.perf_counter() - start, cpu, after.ru_maxrss / 1024)


def measure(cohort: Cohort, entries: int) -> tuple[Timed, Timed]:
    """A board of so many entries, cold and after one more."""
    with tempfile.TemporaryDirectory() as folder:
        space = Path(folder) / "w"
        words = ["--cohort", "demo", "--data", str(cohort.folder)]
        subprocess.run(
            [sys.executable, "-m", "bench", "init", str(space), "--cohort", "demo"], check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for number in range(entries):
            write_entry(cohort, space / "submissions" / "demo", number)
        show = ["board", "--json", "--cohort", "demo"]
        cold = run([["score", "--all", *words], show], space)
        write_entry(cohort, space / "submissions" / "demo", entries)
        one = run([["score", f"entry-{entries:04d}", *words], show], space)
    return cold, one


def main() -> None:
    """Read the options and print a row for each board as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--patients", type=int, default=PATIENTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_demo(Path(folder) / "c", patients=options.patients, images=False)
        cohort = load_cohort(load_spec("demo"), Path(folder) / "c")
        print(f"{len(cohort.rows('test')):,} test images, 3 targets, 2,000 replicates\n")
        print("| entries | cold, s | cold, CPU s | CPU s an entry | memory, MiB | one added, s |")
        print("|---|---|---|---|---|---|")
        for entries in options.sizes:
            cold, one = measure(cohort, entries)
            print(
                f"| {entries:,} | {cold.wall:.1f} | {cold.cpu:.1f} | {cold.cpu / entries:.2f} | "
                f"{cold.memory:.0f} | {one.wall:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
