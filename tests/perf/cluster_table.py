"""Time of `bench score --all` on this machine's processes and on a Dask cluster of as many workers.

``python -m tests.perf.cluster_table [--entries N] [--workers W] [--rounds R]`` prints a table; the cluster
is on this machine, new in each round. Both ways take turns, so that other work on the machine slows both; the
processor seconds, which other work hardly changes, include the start of the cluster.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.submission.accept import accept_predictions
from bench.submission.store import read_manifest, store
from bench.workspace import Workspace, create_workspace
from tests.tiny import MANIFEST, cohort_table, predictions, write_cohort

ROOT = Path(__file__).resolve().parents[2]
PORT = 18786


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


def on_workers(space: Workspace, workers: int) -> float:
    """Seconds on a cluster of so many workers of one thread, which stands before the clock is started."""
    from distributed import Client

    address = f"tcp://127.0.0.1:{PORT}"
    quiet = {"cwd": space.root, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m"]
    scheduler = [*dask, "distributed.cli.dask_scheduler", "--no-dashboard", "--port", str(PORT)]
    worker = [*dask, "distributed.cli.dask_worker", address, "--nworkers", str(workers), "--nthreads", "1"]
    running = [subprocess.Popen(c, **quiet) for c in (scheduler, [*worker, "--no-dashboard"])]  # type: ignore[call-overload]
    try:
        with Client(address, timeout=60) as client:
            client.wait_for_workers(workers, timeout=60)
        return scoring_s(space, "--scheduler", address)
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(timeout=30)


def processor_s(run: Callable[[], float]) -> tuple[float, float]:
    """What `run` returns, and the processor seconds of all processes that it started and waited for."""

    def used() -> float:
        found = resource.getrusage(resource.RUSAGE_CHILDREN)
        return found.ru_utime + found.ru_stime

    before = used()
    return run(), used() - before


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=200)
    parser.add_argument("--patients", type=int, default=24689)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    os.environ["PYTHONPATH"] = str(ROOT)
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        space = make(Path(name), chosen.entries, chosen.patients)
        print(f"{chosen.entries} entries of {chosen.patients} patients, {chosen.workers} workers", flush=True)
        print("local, s (processor)  Dask, s (processor)  local / Dask  load before", flush=True)
        for _ in range(chosen.rounds):
            load = os.getloadavg()[0]
            local, of_local = processor_s(lambda: scoring_s(space, "--jobs", str(chosen.workers)))
            dask, of_dask = processor_s(lambda: on_workers(space, chosen.workers))
            ratios.append(local / dask)
            both = f"{local:8.1f} ({of_local:8.1f}) {dask:10.1f} ({of_dask:8.1f})"
            print(f"{both} {ratios[-1]:14.2f} {load:12.1f}", flush=True)
    print(f"efficiency, median of {chosen.rounds}: {median(ratios):.0%}")


if __name__ == "__main__":
    main()
