"""Worker processes: messages arrive whole, and every way of ending has a code and spares this process."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench.sandbox.launch import SandboxLimits
from bench.sandbox.messages import names_memory, read_message, write_message
from bench.sandbox.worker_process import Worker, WorkerFailure, scrubbed

ROOT = Path(__file__).resolve().parents[2]
WORKER = "tests.runtime.failing_worker"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


DTYPES = st.sampled_from(["<f4", "<f8", "<f2", "u1", "<i8", "?", ">f4"])


@given(
    st.dictionaries(
        st.text(max_size=20),
        DTYPES.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, min_side=0))),
    ),
    st.dictionaries(st.text(max_size=9), st.integers() | st.text() | st.none() | st.lists(st.booleans())),
)
def test_messages_arrive_as_they_were_sent(arrays: dict[str, np.ndarray], header: dict[str, object]) -> None:
    stream = io.BytesIO()
    write_message(stream, header, arrays)
    write_message(stream, {"next": 1})
    stream.seek(0)
    found_header, found = read_message(stream)
    assert found_header == header
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert read_message(stream) == ({"next": 1}, {})
    with pytest.raises(EOFError):
        read_message(stream)


def test_a_message_that_breaks_off_is_an_end(tmp_path: Path) -> None:
    stream = io.BytesIO()
    write_message(stream, {"a": 1}, {"x": np.arange(100.0)})
    for length in (3, 20, len(stream.getvalue()) - 1):
        with pytest.raises(EOFError):
            read_message(io.BytesIO(stream.getvalue()[:length]))


def test_objects_are_never_sent() -> None:
    with pytest.raises(TypeError, match="not of numbers"):
        write_message(io.BytesIO(), {}, {"x": np.array([{}], dtype=object)})


def test_non_contiguous_arrays_arrive() -> None:
    stream = io.BytesIO()
    array = np.arange(24).reshape(4, 6)[::2, ::3]
    write_message(stream, {}, {"x": array})
    stream.seek(0)
    np.testing.assert_array_equal(read_message(stream)[1]["x"], array)


def test_output_of_libraries_does_not_disturb_the_answer() -> None:
    big = np.random.default_rng(0).random((300, 1000))
    with Worker(WORKER, 600, SandboxLimits()) as worker:
        worker.send({"end": "echo"}, {"x": big})
        header, arrays = worker.receive()
    np.testing.assert_array_equal(arrays["x"], big)
    assert 10 < header["peak_memory_mb"] < 1000


@pytest.mark.parametrize(
    ("end", "kind", "said"),
    [
        ("raise", "failed", "the graph is odd"),
        ("segfault", "crashed", "SIGSEGV"),
        ("exit", "crashed", "status 7"),
        ("native-memory", "out-of-memory", "bad_alloc"),
        ("abort", "out-of-memory", "memory limit"),
    ],
)
def test_every_kind_of_failure_has_its_name(end: str, kind: str, said: str) -> None:
    with Worker(WORKER, 600, SandboxLimits()) as worker:
        worker.send({"end": end})
        with pytest.raises(WorkerFailure) as caught:
            worker.receive()
    assert caught.value.kind == kind
    assert said in caught.value.message


def test_the_memory_limit_is_enforced() -> None:
    with Worker(WORKER, 600, SandboxLimits()) as worker:
        worker.send({"end": "eat", "memory_mb": 2048})
        with pytest.raises(WorkerFailure) as caught:
            worker.receive()
    assert caught.value.kind == "out-of-memory"


def test_the_time_limit_is_enforced() -> None:
    with Worker(WORKER, 0.7, SandboxLimits()) as worker:
        worker.send({"end": "hang"})
        with pytest.raises(WorkerFailure) as caught:
            worker.receive()
    assert caught.value.kind == "timeout"
    assert "0.7 s" in caught.value.message


def test_sending_to_a_worker_that_has_ended() -> None:
    with Worker(WORKER, 600, SandboxLimits()) as worker:
        worker.send({"end": "raise"})
        worker._process.wait()
        with pytest.raises(WorkerFailure) as caught:
            worker.send({"end": "raise"}, {"x": np.zeros(100_000)})
    assert caught.value.kind == "failed"
    assert "odd" in caught.value.message


def test_leaving_ends_the_process() -> None:
    with Worker(WORKER, 600, SandboxLimits()) as worker:
        worker.send({"end": "hang"})
    assert worker._process.poll() is not None


def test_an_interrupted_parent_takes_its_worker_along() -> None:
    code = (
        "from bench.sandbox.launch import SandboxLimits\nfrom bench.sandbox.worker_process import Worker\n"
        f"with Worker({WORKER!r}, 60, SandboxLimits()) as worker:\n"
        "    worker.send({'end': 'hang'})\n"
        "    print(worker._process.pid, flush=True)\n"
        "    worker.receive()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # A shell in the background hands down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.send_signal(signal.SIGINT)
        assert parent.wait(timeout=300) != 0
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_messages_hold_no_paths() -> None:
    path = Path("/home/someone/models/m.onnx")
    said = scrubbed(f"Load model from {path} failed:\n  bad {path}", path)
    assert said == "Load model from m.onnx failed: bad m.onnx"
    assert len(scrubbed("x" * 5000, path)) == 500


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)", True),
        ("OutOfMemory: Requested amount of GPU memory (8589934592 bytes) could not be allocated", True),
        ("CUDA error: CUDA_ERROR_OUT_OF_MEMORY", True),
        ("no execution context could be made: probably the device is out of memory", True),
        ("Failed to allocate memory for requested buffer of size 16777216", True),
        ("std::bad_alloc", True),
        ("the runtime refused the engine: built for another compute capability", False),
        ("cannot load libnvinfer.so.10", False),
    ],
)
def test_every_librarys_words_for_too_little_memory(text: str, memory: bool) -> None:
    assert names_memory(text) is memory
