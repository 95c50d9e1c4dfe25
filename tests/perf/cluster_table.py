"""Time of `bench score --all` on this machine's processes and on a Dask cluster of 1, 2 and 4 workers.

``python -m tests.perf.cluster_table [--entries N]`` prints a table; the cluster is on this machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.submission.accept import accept_predictions
from bench.submission.store import read_manifest, store
from bench.workspace import Workspace, create_workspace
from tests.tiny import MANIFEST, cohort_table, predictions, write_cohort

ROOT = Path(__file__).resolve().parents[2]


def make(folder: Path, entries: int, patients: int) -> Workspace:
    """A workspace of entries that are not scored."""
    data = folder / "chexchonet-1.0.0"
    write_cohort(data, cohort_table(patients), images=False)
    cohort = load_cohort(load_spec("chexchonet"), data)
    space = create_workspace(folder / "space", "chexchonet", {"chexchonet": data})
    (folder / "submission.toml").write_text(MANIFEST)
    manifest = read_manifest(folder / "submission.toml")
    for number in range(entries):
        predictions(cohort, number).to_csv(folder / "p.csv", index=False)
        accepted = accept_predictions(folder / "p.csv", cohort, manifest)
        store(space.submissions("chexchonet"), f"e{number:04d}", manifest, accepted.packed)
    return space


def scoring_s(space: Workspace, *words: str) -> float:
    """Seconds that a command takes, its start and the board included."""
    for path in (*space.store.rglob("scorecard.json"), *space.cache.rglob("*.npy")):
        path.unlink()
    command = [sys.executable, "-m", "bench", "score", "--all", *words]
    begun = time.monotonic()
    subprocess.run(command, cwd=space.root, check=True, capture_output=True)
    return time.monotonic() - begun


def on_workers(space: Workspace, workers: int, port: int) -> float:
    """Seconds on a cluster of so many workers of one thread."""
    address = f"tcp://127.0.0.1:{port}"
    quiet = {"cwd": space.root, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m"]
    scheduler = [*dask, "distributed.cli.dask_scheduler", "--no-dashboard", "--port", str(port)]
    worker = [*dask, "distributed.cli.dask_worker", address, "--nworkers", str(workers), "--nthreads", "1"]
    running = [subprocess.Popen(c, **quiet) for c in (scheduler, [*worker, "--no-dashboard"])]  # type: ignore[call-overload]
    time.sleep(8)
    try:
        return scoring_s(space, "--scheduler", address)
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(timeout=30)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=200)
    parser.add_argument("--patients", type=int, default=2500)
    chosen = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as name:
        space = make(Path(name), chosen.entries, chosen.patients)
        print(f"{chosen.entries} entries, {chosen.patients} patients", flush=True)
        for jobs in (1, 2):
            print(f"{jobs} local processes: {scoring_s(space, '--jobs', str(jobs)):.1f} s", flush=True)
        for number, workers in enumerate((1, 2, 4)):
            print(f"{workers} Dask workers: {on_workers(space, workers, 18786 + number):.1f} s", flush=True)


if __name__ == "__main__":
    main()
