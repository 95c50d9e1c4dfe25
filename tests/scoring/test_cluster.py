"""A real scheduler and real workers on this machine: the same bits, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.errors import BenchError
from bench.scoring.cluster import on_cluster, versions
from bench.workspace import Workspace, create_workspace
from tests.tiny import MANIFEST, cohort_table, predictions, write_cohort

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = 16
pytest.importorskip("distributed")


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k != "BENCH_DATA"}
    return {**kept, "PYTHONPATH": str(ROOT), "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "0"}


def bench(space: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        cwd=space,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, psutil.Process]]:
    """Address of a scheduler with two workers of one thread, and what watches over the workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("dask")
    words = ["--no-dashboard", "--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", *words],
        env=environment(),
        cwd=folder,
        stderr=subprocess.DEVNULL,
    )
    nanny = subprocess.Popen(
        [
            *(sys.executable, "-m", "distributed.cli.dask_worker", address, "--nworkers", "2"),
            *("--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)),
        ],
        env=environment(),
        cwd=folder,
        stderr=subprocess.DEVNULL,
    )
    yield address, psutil.Process(nanny.pid)
    for process in (nanny, scheduler):
        process.terminate()
        process.wait(timeout=600)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("w")
    data = folder / "chexchonet-1.0.0"
    write_cohort(data, cohort_table(300), images=False)
    cohort = load_cohort(load_spec("chexchonet"), data)
    made = create_workspace(folder / "space", "chexchonet", {"chexchonet": data})
    (folder / "submission.toml").write_text(MANIFEST)
    for number in range(ENTRIES):
        predictions(cohort, number).to_csv(folder / f"{number}.csv", index=False)
        store(cohort, folder / f"{number}.csv", made, f"e{number:02d}")
    return made


def store(cohort: object, path: Path, space: Workspace, slug: str) -> None:
    from bench.submission.accept import accept_predictions
    from bench.submission.store import read_manifest
    from bench.submission.store import store as keep

    accepted = accept_predictions(path, cohort, read_manifest(path.with_name("submission.toml")))  # type: ignore[arg-type]
    keep(space.submissions("chexchonet"), slug, accepted.manifest, accepted.packed)


def results(space: Workspace) -> dict[str, bytes]:
    found = [*space.store.rglob("*.json"), *space.cache.rglob("*.npy")]
    return {str(p.relative_to(space.root)): p.read_bytes() for p in found}


def forget(space: Workspace) -> None:
    for path in (*space.store.rglob("*.json"), *space.cache.rglob("*.npy")):
        path.unlink()


def workers(watch: psutil.Process) -> list[psutil.Process]:
    return [p for p in watch.children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]


@pytest.mark.full_size
def test_a_cluster_gives_the_same_bits_and_killed_workers_lose_nothing(
    cluster: tuple[str, psutil.Process], space: Workspace
) -> None:
    address, watch = cluster
    ended(bench(space.root, "score", "--all", "--replicates", "400", "--jobs", "2"))
    local = results(space)
    assert len([name for name in local if name.endswith("scorecard.json")]) == ENTRIES
    forget(space)
    running = bench(space.root, "score", "--all", "--replicates", "400", "--scheduler", address)
    deadline = time.monotonic() + 600
    while not list(space.store.rglob("scorecard.json")) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    still_running = running.poll() is None
    victims = workers(watch)
    for victim in victims:  # all at once, so that whatever only the workers held is gone
        victim.send_signal(signal.SIGKILL)
    ended(running)
    assert still_running, "the scoring had ended before a worker could be killed"
    assert results(space) == local
    assert len(victims) == 2
    assert not {p.pid for p in victims} & {p.pid for p in workers(watch)}
    said = ended(bench(space.root, "verify", "--scheduler", address))
    assert "differ" not in said


def test_a_scheduler_that_does_not_answer_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.scoring.cluster.CONNECT_S", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(BenchError) as caught, on_cluster(address):
            pass
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("scheduler-unreachable", 3)


def test_without_a_scheduler_everything_stays_here() -> None:
    with on_cluster(None) as threads:
        assert threads is None


def test_versions_name_what_computes() -> None:
    assert set(versions()) == {"chexchobench", "numpy", "scipy", "numba", "scikit-learn"}
