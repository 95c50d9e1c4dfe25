"""A sandboxed process that was taken over: limits on what it can reach, use and answer."""

from __future__ import annotations

import platform
import socket
from pathlib import Path

import psutil
import pytest

from bench.sandbox.launch import SandboxLimits, missing_parts
from bench.sandbox.worker_process import Worker, WorkerFailure

ROOT = Path(__file__).resolve().parents[2]
WORKER = "tests.runtime.hostile_worker"

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="namespaces and Landlock are Linux's")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_a_confined_process_reaches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_TOKEN", "x")
    monkeypatch.setenv("BENCH_DATA", "/data")
    secret, allowed = tmp_path / "metadata.csv", tmp_path / "model.onnx"
    secret.write_text("labels")
    allowed.write_text("weights")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Worker(WORKER, 600, SandboxLimits(readable=(str(allowed),))) as worker,
    ):
        worker.send(
            {
                "do": "trespass",
                "secret": str(secret),
                "allowed": str(allowed),
                "folder": str(tmp_path),
                "port": server.getsockname()[1],
            }
        )
        header, _ = worker.receive()
    lacking = " ".join(header["lacking"])
    if "no network" in lacking or "read-only" in lacking:
        pytest.skip(f"this system cannot enforce: {lacking}")
    found = header["found"]
    assert found.pop("read what was handed over") == "done"
    assert "done" not in found.values(), found
    assert secret.read_text() == "labels"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metadata.csv", "model.onnx"]
    assert not {"ACCESS_TOKEN", "BENCH_DATA"} & set(header["variables"])


@pytest.mark.parametrize("on_gpu", [True, False])
def test_a_process_on_a_gpu_may_do_what_its_driver_does(on_gpu: bool, tmp_path: Path) -> None:
    """On files in the place of devices; a process on a CPU may do nothing of it."""
    devices = [str(tmp_path / name) for name in ("nvidiactl", "nvidia0", "nvidia-uvm", "nvidia-uvm-tools")]
    for device in devices:
        Path(device).touch()
    limits = SandboxLimits.for_gpu() if on_gpu else SandboxLimits(6144, readable=tuple(devices))
    with Worker(WORKER, 600, limits) as worker:
        worker.send({"do": "drive a GPU", "devices": devices, "home": str(tmp_path)})
        header, _ = worker.receive()
    if not on_gpu and (lacking := " ".join(header["lacking"])) and "read-only" in lacking:
        pytest.skip(f"this system cannot enforce: {lacking}")
    done = {act for act, outcome in header["found"].items() if outcome == "done"}
    assert done == (set(header["found"]) if on_gpu else set()), header["found"]
    assert not any(part.startswith("no network") for part in missing_parts(header["lacking"]))


def end(do: str, limits: SandboxLimits, limit_s: float = 600) -> WorkerFailure:
    with Worker(WORKER, limit_s, limits) as worker:
        worker.send({"do": do})
        with pytest.raises(WorkerFailure) as caught:
            worker.receive()
    return caught.value


def test_processor_time_is_bounded() -> None:
    failure = end("spin", SandboxLimits(cpu_s=2))
    assert (failure.kind, "processor time" in failure.message) == ("timeout", True)


def test_its_log_cannot_fill_the_disk() -> None:
    with Worker(WORKER, 600, SandboxLimits(file_mb=1)) as worker:
        worker.send({"do": "flood"})
        with pytest.raises(WorkerFailure) as caught:
            worker.receive()
        assert worker._log.seek(0, 2) <= 2**20 + 1
    assert "File too large" in caught.value.message


def test_processes_of_a_worker_end_with_it() -> None:
    with Worker(WORKER, 600, SandboxLimits()) as worker:
        worker.send({"do": "fork"})
        worker.receive()
        children = psutil.Process(worker._process.pid).children(recursive=True)
        assert len(children) == 1
    _, alive = psutil.wait_procs(children, timeout=120)
    assert not alive


@pytest.mark.parametrize("do", ["long header", "large array", "objects", "no json", "odd failure"])
def test_answers_that_are_none_are_a_finding(do: str) -> None:
    failure = end(do, SandboxLimits())
    assert failure.kind == "crashed"
    assert len(failure.message) <= 500
