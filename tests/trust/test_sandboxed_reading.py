"""Strangers' files are parsed by sandboxed workers alone: by the source, by what runs, and by /proc."""

from __future__ import annotations

import ast
import json
import os
import platform
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import pandas as pd
import psutil
import pytest

from bench.errors import BenchError
from bench.runtime.precision import convert
from bench.sandbox import reader
from bench.sandbox.launch import _SOCKET_CALLS, UNCONFINED, SandboxLimits, missing_parts
from bench.sandbox.worker_process import Worker
from bench.submission.store import read_manifest
from bench.timing.time_entries import with_largest
from bench.workspace import Workspace
from tests.baselines.conftest import write_encoder
from tests.conftest import Cli
from tests.runtime.models import MODEL, linear_model
from tests.timing.fakes import SHORT
from tests.tiny import MANIFEST

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--replicates", "100", "--jobs", "1")

READ_WORKER, ENCODE_WORKER = "bench.sandbox.read_worker", "baselines.probe.encode_worker"

linux = pytest.mark.skipif(platform.system() != "Linux", reason="namespaces and Landlock are Linux's")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


# What parses a stranger's bytes, and the modules that may name it: each runs it in a worker, or reads files
# of the holder of the data.
PARSERS = {
    "InferenceSession": {
        "bench/runtime/backends/onnxruntime_cpu.py",
        "bench/runtime/backends/onnxruntime_gpu.py",
        "bench/runtime/workers/locate.py",
    },
    "ParseFromString": {"bench/onnx/file.py"},
    "read_onnx": {
        "bench/onnx/interface.py",  # for workers/check.py
        "bench/runtime/workers/check.py",
        "baselines/probe/encode_worker.py",
    },
    "onnx.load": {
        "bench/runtime/backends/onnxruntime_gpu.py",
        "bench/runtime/backends/torch.py",
        "bench/runtime/workers/locate.py",
        "bench/runtime/workers/precision.py",
        "bench/timing/workers/model_facts.py",
        "bench/timing/workers/roofline.py",
    },
    "ParquetFile": {
        "bench/submission/packed.py",
        "bench/submission/read_parquet.py",
        "bench/submission/read_embeddings.py",
        "bench/cohort/read_table.py",  # the holder's own table
    },
    "GzipFile": {
        "bench/submission/read_predictions.py",
        "bench/cohort/synthetic/mimic.py",  # writes
    },
    "parse_json": {
        "bench/documents.py",
        "bench/sandbox/reader.py",  # the worker's answers, as the next
        "bench/submission/packed.py",
        "bench/sandbox/read_worker.py",
    },
    "parse_toml": {"bench/documents.py", "bench/sandbox/read_worker.py"},
    "read_json": {  # caches of this machine, and the journal of a rename
        "bench/cohort/audit.py",
        "bench/cohort/image_cache.py",
        "bench/scoring/run.py",
        "bench/submission/store.py",
    },
    "read_toml": {"bench/actions/sites.py"},  # the board's own list of keys
    "toml_data": {"bench/documents.py", "bench/cohort/spec.py"},  # specs are configuration, see SECURITY.md
    "read_table": {"bench/documents.py", "bench/workspace.py", "baselines/networks/recipe.py"},  # too
    "ZipFile": {"bench/publish/releases.py"},  # written by `site freeze`
}


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def dotted(node: ast.AST) -> str:
    """``a.b`` of an attribute of a name; the last part of any other expression."""
    if isinstance(node, ast.Attribute):
        return f"{node.value.id}.{node.attr}" if isinstance(node.value, ast.Name) else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def test_every_module_that_parses_strangers_files_is_known() -> None:
    found: dict[str, set[str]] = {name: set() for name in PARSERS}
    for path in python_files("bench", "baselines"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = dotted(node.func)
                for name in PARSERS:
                    if called == name or ("." not in name and called.rpartition(".")[2] == name):
                        found[name].add(str(path.relative_to(ROOT)))
    for name, modules in found.items():
        assert modules <= PARSERS[name], (name, modules - PARSERS[name])


def test_every_worker_states_its_limits() -> None:
    """`Worker` takes limits as its third argument; nobody may pass None."""
    calls = 0
    for path in python_files("bench", "baselines"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and dotted(node.func) == "Worker":
                calls += 1
                assert len(node.args) == 3, f"{path}:{node.lineno}"
                assert not isinstance(node.args[2], ast.Constant), f"{path}:{node.lineno}"
    assert calls >= 12


@pytest.fixture
def handed_in(tmp_path: Path, good: pd.DataFrame) -> Path:
    (tmp_path / "submission.toml").write_text(MANIFEST + MODEL)
    (tmp_path / "m.onnx").write_bytes(linear_model().SerializeToString())
    good.to_csv(tmp_path / "p.csv", index=False)
    good.to_parquet(tmp_path / "p.parquet")
    return tmp_path


def refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("a stranger's file was parsed in the main process")


def test_commands_parse_nothing_themselves(
    handed_in: Path, space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command works while the functions that parse are broken in the main process."""
    for function in (
        "bench.sandbox.read_worker.document",
        "bench.submission.read_predictions.parse_predictions",
        "bench.submission.packed._open",
        "bench.onnx.file.read_onnx",
        "onnx.load",
        "onnx.load_model_from_string",
    ):
        monkeypatch.setattr(function, refuse)
    for words in (
        ("submit", handed_in / "p.csv", "--slug", "csv"),
        ("submit", handed_in / "p.parquet", "--slug", "parquet"),
        ("submit", "--model", handed_in / "m.onnx", "--slug", "model"),
        ("score", "--all", *QUICK),
        ("board",),
        ("compare", "csv", handed_in / "p.parquet", "--replicates", "100"),
        ("verify",),
    ):
        ran = cli(*words)
        assert ran.exit_code == 0, (words, ran.stderr)


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def restrictions(pid: int) -> dict[str, Any]:
    """What the kernel says of a process."""
    process = psutil.Process(pid)
    return {
        "no new privileges": status(pid)["NoNewPrivs"] == "1",
        "own network": Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink(),
        "core": process.rlimit(resource.RLIMIT_CORE)[0] == 0,
        "file size": process.rlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY,
        "address space": process.rlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY,
        "no token": "ACCESS_TOKEN" not in process.environ(),
    }


@linux
def test_proc_shows_the_sandbox_of_the_reader(
    handed_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCESS_TOKEN", "x")
    monkeypatch.setattr(reader, "_reader", reader._Reader())
    monkeypatch.setattr(reader, "_second", reader._Reader())
    read_manifest(handed_in / "submission.toml")
    try:
        (pid,) = reader.reader_pids()
        assert all(restrictions(pid).values()), restrictions(pid)
    finally:
        reader._reader.close()


def test_the_reader_outlives_the_thread_that_started_it(
    handed_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_reader", reader._Reader())
    with ThreadPoolExecutor(1) as pool:
        pool.submit(read_manifest, handed_in / "submission.toml").result()
        pids = reader.reader_pids()
    try:
        time.sleep(0.1)  # the system would end the process at once
        assert read_manifest(handed_in / "submission.toml").team == "A group"
        assert reader.reader_pids() == pids
    finally:
        reader._reader.close()


@linux
def test_a_forked_process_reads_in_several_threads_with_workers_of_its_own(
    handed_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_reader", reader._Reader())
    paths = [handed_in / "submission.toml"] * 6
    read_manifest(paths[0])
    parents = reader.reader_pids()
    lock = reader._reader._lock
    lock.acquire()  # as if another thread of the parent read a file
    if not (child := os.fork()):
        try:
            signal.alarm(60)  # ends a child that waits for that thread, which it does not have
            teams = reader.read_many(lambda path: read_manifest(path).team, paths)
            alone = not set(parents) & set(reader.reader_pids())
            reader._end_readers()
            os._exit(0 if alone and teams == ["A group"] * len(paths) else 1)
        finally:
            os._exit(2)
    lock.release()
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert read_manifest(paths[0]).team == "A group"
        assert reader.reader_pids() == parents
    finally:
        reader._reader.close()


@linux
def test_two_sandboxed_processes_read_many_files(
    handed_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results stay in the order of the files, and a file that cannot be read fails alone."""
    good = (handed_in / "submission.toml").read_text()
    paths = [tmp_path / f"{place}.toml" for place in range(12)]
    for place, path in enumerate(paths):
        path.write_text("broken" if place == 5 else good.replace("A group", f"Group {place}"))
    monkeypatch.setenv("ACCESS_TOKEN", "x")
    monkeypatch.setattr(reader, "_reader", reader._Reader())
    monkeypatch.setattr(reader, "_second", reader._Reader())
    monkeypatch.setattr(reader, "MANY", len(paths))
    monkeypatch.setattr(reader, "usable_cores", lambda: 2)

    def team(path: Path) -> str:
        try:
            return read_manifest(path).team
        except BenchError as error:
            return error.problems[0].code

    try:
        teams = reader.read_many(team, paths)
        pids = reader.reader_pids()
        assert all(all(restrictions(pid).values()) for pid in pids)
    finally:
        reader._reader.close()
        reader._second.close()
    assert teams == [f"Group {place}" if place != 5 else "manifest-invalid" for place in range(12)]
    assert len(pids) == 2


@linux
def test_proc_shows_the_sandbox_of_every_worker_of_a_timing(
    handed_in: Path, space: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCESS_TOKEN", "x")
    monkeypatch.setattr("bench.actions.time.QUICK", replace(SHORT, blocks=1))
    monkeypatch.setattr("bench.timing.time_entries.with_largest", partial(with_largest, cap=2))
    assert cli("submit", "--model", handed_in / "m.onnx", "--slug", "model").exit_code == 0
    found: dict[str, dict[str, Any]] = {}
    receive = Worker.receive

    def watched(self: Worker, *words: int) -> Any:
        answer = receive(self, *words)
        if self.alive:
            with_limits = restrictions(self.pid)
            module = psutil.Process(self.pid).cmdline()[-1]
            found[module] = with_limits
        return answer

    monkeypatch.setattr(Worker, "receive", watched)
    ran = cli("time", "model", "--quick", "--batch", "1", "--largest")
    convert(handed_in / "m.onnx", "fp16", handed_in)
    assert {
        "bench.runtime.workers.check",
        "bench.timing.workers.largest",
        "bench.timing.workers.block",
        "bench.timing.workers.model_facts",
        "bench.timing.workers.roofline",
        "bench.timing.workers.cold_start",
        "bench.runtime.workers.precision",
    } <= found.keys(), (found.keys(), ran.stderr)
    for module, parts in found.items():
        if module.endswith(".device"):  # opens no stranger's file
            parts.pop("address space")
        assert all(parts.values()), (module, parts)


@linux
def test_an_encoder_is_parsed_by_sandboxed_workers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnx import GraphProto, helper

    from baselines.probe.encoder import open_encoder

    monkeypatch.setenv("ACCESS_TOKEN", "x")
    monkeypatch.setattr("bench.documents.parse_toml", refuse)
    monkeypatch.setattr("bench.onnx.file.read_onnx", refuse)
    monkeypatch.setattr("onnx.ModelProto", refuse)
    found, send = [], Worker.send

    def watched(self: Worker, *words: Any, **options: Any) -> None:
        """Waits until the worker is confined: it cannot end before it has a request."""
        while not all(restrictions(self.pid).values()):
            assert self.alive
            time.sleep(0.01)
        found.append(psutil.Process(self.pid).cmdline()[-1])
        send(self, *words, **options)

    description = write_encoder(tmp_path)
    monkeypatch.setattr(Worker, "send", watched)
    encoder = open_encoder(description)
    addition = GraphProto()
    addition.node.append(helper.make_node("Neg", [encoder.description.features], ["less"]))
    addition.output.append(helper.make_tensor_value_info("less", 1, ["batch", 36]))
    encoder.write_extended(addition, tmp_path / "extended.onnx")
    assert found == [READ_WORKER, ENCODE_WORKER, ENCODE_WORKER]
    monkeypatch.undo()
    model = onnx.load(tmp_path / "extended.onnx")
    assert [node.op_type for node in model.graph.node] == ["AveragePool", "Flatten", "Neg"]
    assert [output.name for output in model.graph.output] == ["less"]


def test_an_encoder_outside_its_folder_is_not_opened(tmp_path: Path) -> None:
    from baselines.probe.encoder import open_encoder

    (tmp_path / "inner").mkdir()
    description = write_encoder(tmp_path).rename(tmp_path / "inner/encoder.toml")
    text = description.read_text()
    for name in ("../encoder.onnx", str(tmp_path / "encoder.onnx"), "x/../../encoder.onnx"):
        description.write_text(text.replace("encoder.onnx", name))
        with pytest.raises(BenchError, match="beside the description"):
            open_encoder(description)


def test_the_file_of_a_hospital_is_parsed_in_the_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its envelope and then its content; the content of an envelope with a wrong signature is not parsed."""
    pytest.importorskip("cryptography")
    from bench.federation import signature

    public = signature.new_key(tmp_path / "key.pem")
    key, path = signature.read_key(tmp_path / "key.pem"), tmp_path / "north.json"
    signature.write_statement(path, {"one": "0" * 64}, "about", {"x": 1}, key)
    parsed, ask = [], reader._Reader.ask

    def watched(self: Any, request: Any, *words: Any) -> Any:
        parsed.append(request["arguments"]["model"].partition(":")[2])
        return ask(self, request, *words)

    monkeypatch.setattr(reader._Reader, "ask", watched)
    monkeypatch.setattr("bench.documents.parse", refuse)
    assert signature.read_statement(path, "about", {"north": public})[1] == "north"
    assert parsed == ["Envelope", "Statement"]
    envelope = json.loads(path.read_text())
    envelope["payload"] = "e30="
    path.write_text(json.dumps(envelope))
    with pytest.raises(BenchError, match="signature"):
        signature.read_statement(path, "about", {"north": public})
    assert parsed[2:] == ["Envelope"]


def test_without_a_sandbox_nothing_is_read(handed_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(UNCONFINED, raising=False)
    monkeypatch.setattr(reader, "_reader", reader._Reader())
    monkeypatch.setattr(SandboxLimits, "command", without_sandbox)
    with pytest.raises(BenchError) as caught:
        read_manifest(handed_in / "submission.toml")
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("sandbox-missing", 3)
    assert "no network" in caught.value.problems[0].message
    monkeypatch.setenv(UNCONFINED, "1")
    assert read_manifest(handed_in / "submission.toml").team == "A group"
    reader._reader.close()


def without_sandbox(self: SandboxLimits, module: str) -> list[str]:
    """The command of a worker on a system that has neither namespaces nor Landlock."""
    code = "import sys; from bench.sandbox import launch; launch._system = lambda: None; "
    code += "launch.main(sys.argv[1:])"
    return [sys.executable, "-P", "-c", code, json.dumps(asdict(self)), module]


def test_parts_without_which_nothing_is_read() -> None:
    assert missing_parts(["number of processes: it cannot be limited for this user alone"]) == []
    assert missing_parts(["files read-only, no programs: the driver of a GPU needs more"]) == []
    network = "no network: a network namespace is not permitted here (Operation not permitted)"
    landlock = "files read-only, no programs: the kernel has no Landlock"
    assert missing_parts([network, landlock]) == [network, landlock]


def without_namespaces(self: SandboxLimits, module: str) -> list[str]:
    """The command of a worker on a system that permits no namespaces, as in many containers."""
    code = (
        "import ctypes, sys; from bench.sandbox import launch\n"
        "class System(ctypes.CDLL):\n"
        "    unshare = staticmethod(lambda flags: -1)\n"
        "launch._system = lambda: System(None, use_errno=True)\n"
        "launch.main(sys.argv[1:])\n"
    )
    return [sys.executable, "-P", "-c", code, json.dumps(asdict(self)), module]


@linux
@pytest.mark.skipif(platform.machine() not in _SOCKET_CALLS, reason="no filter for this processor")
def test_where_namespaces_are_not_permitted_no_socket_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(UNCONFINED, raising=False)
    monkeypatch.setattr(SandboxLimits, "command", without_namespaces)
    secret, allowed = tmp_path / "metadata.csv", tmp_path / "model.onnx"
    secret.write_text("labels")
    allowed.write_text("weights")
    request = {"do": "trespass", "secret": str(secret), "allowed": str(allowed), "folder": str(tmp_path)}
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        Worker("tests.runtime.hostile_worker", 60, SandboxLimits(readable=(str(allowed),))) as worker,
    ):
        worker.send({**request, "port": server.getsockname()[1]})
        header, _ = worker.receive()
        assert status(worker.pid)["Seccomp"] == "2"
    assert "no network" not in " ".join(header["lacking"])
    assert header["found"].pop("read what was handed over") == "done"
    assert set(header["found"].values()) == {"PermissionError"}, header["found"]
