"""Tests on a GPU: every scope, graphs, parity, telemetry, and our median beside others'.

Skipped, with the reason, where a backend cannot be used.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cohort.cohort import Cohort
from bench.runtime.backends.registry import backends
from bench.runtime.predict import predict
from bench.timing.measure import device_times, latencies, timed_batches
from bench.timing.protocol import QUICK
from bench.timing.time_model import time_model
from tests.runtime.models import SIZE, cnn_model, manifest, save, tiny_cohort

pytestmark = pytest.mark.gpu

GPU_BACKENDS = [name for name, backend in backends().items() if backend.is_gpu and backend.precisions]
# trtexec averages eight timings of a tactic where a builder's default is one.
SAME_BUILD = ["--avgTiming=1", "--builderOptimizationLevel=3", "--memPoolSize=workspace:4096"]
PROTOCOL = replace(QUICK, blocks=2, measure_runs=400, limit_s=600.0)
IMAGES = {"image": np.random.default_rng(0).random((32, 1, SIZE, SIZE)).astype(np.float32)}


def usable(name: str) -> Any:
    """The backend, or a skipped test that says what is missing."""
    backend = backends()[name]
    found = backend.availability()
    if not found.ok:
        pytest.skip(f"{name}: {found.reason}")
    return backend


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(cnn_model(), tmp_path_factory.mktemp("model") / "m.onnx")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return tiny_cohort(tmp_path_factory.mktemp("cohort") / "c", 300)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize("name", GPU_BACKENDS)
def test_every_scope_with_parity_and_telemetry(
    name: str, precision: Any, model: Path, cohort: Cohort
) -> None:
    backend = usable(name)
    if precision not in backend.precisions:
        pytest.skip(f"{name} has no {precision}")
    stored = predict(model, manifest(), cohort, cohort.rows("test"))
    record = time_model(
        model,
        manifest(),
        cohort,
        stored,
        backend=name,
        precision=precision,
        batches=(1, 8),
        protocol=PROTOCOL,
    )
    assert record.is_gpu
    assert record.options["driver"]
    print(json.dumps(record.plain(), indent=1))
    for row in record.batches:
        assert row.status == "ok", row.message
        assert row.parity.status == "passed", row.parity.message
        assert row.end_to_end.p50.value_ms is not None
        assert row.telemetry is not None
        assert row.telemetry.samples > 0
        assert len(row.builds) == (PROTOCOL.blocks if name.startswith("tensorrt") else 0)
        if name.startswith(("tensorrt", "torch")):
            assert row.compute.p50.value_ms is not None
            assert row.compute.p50.value_ms <= row.end_to_end.p50.value_ms


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_with_and_without_a_graph_the_answers_are_equal(
    name: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = usable(name)
    captured = backend.prepare(model, "fp32", 32)
    answers = captured.infer(IMAGES)
    monkeypatch.setattr(
        "bench.runtime.backends.tensorrt_session.TensorRtSession._captured", lambda self: None
    )
    plain = backend.prepare(model, "fp32", 32)
    assert plain.options["cuda_graph"] is False
    np.testing.assert_allclose(plain.infer(IMAGES)["scores"], answers["scores"], atol=1e-5)


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx", "torch-eager", "torch-cudagraph"])
def test_device_time_is_that_of_a_hand_written_event_loop(name: str, model: Path) -> None:
    import torch

    session = usable(name).prepare(model, "fp32", 32)
    session.infer(IMAGES)
    session.run_block(50)
    ours, theirs = [], []
    for _ in range(20):  # both queue 50 runs behind a kernel that only waits
        block = session.run_block(50)
        assert block is not None
        ours.append(block.compute_ms)
        pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(50)]
        with torch.cuda.stream(session._stream):
            for event in (event for pair in pairs for event in pair):
                event.record(session._stream)
            session._stream.synchronize()
            torch.cuda._sleep(50_000_000)
            for start, end in pairs:
                start.record(session._stream)
                session._run()
                end.record(session._stream)
        session._stream.synchronize()
        theirs += [start.elapsed_time(end) for start, end in pairs]
    assert np.median(np.concatenate(ours)) == pytest.approx(np.median(theirs), rel=0.02)


@pytest.mark.parametrize("name", GPU_BACKENDS)
def test_no_answer_comes_before_the_work_is_done(name: str, model: Path) -> None:
    backend = usable(name)
    session = backend.prepare(model, backend.precisions[0], 8)
    assert len(latencies(session, timed_batches(IMAGES, 8), PROTOCOL)) >= PROTOCOL.measure_runs


def test_the_median_is_that_of_trtexec(model: Path) -> None:
    backend = usable("tensorrt")
    trtexec = shutil.which("trtexec")
    if trtexec is None:
        pytest.skip("trtexec is not installed")
    shape = f"image:32x1x{SIZE}x{SIZE}"
    done = subprocess.run(
        [
            trtexec,
            f"--onnx={model}",
            f"--shapes={shape}",
            "--noTF32",
            "--useCudaGraph",
            "--duration=3",
            *SAME_BUILD,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"GPU Compute Time:.*?median = ([\d.]+) ms", done.stdout)
    assert found is not None
    session = backend.prepare(model, "fp32", 32)
    session.infer(IMAGES)
    times = device_times(session, IMAGES, replace(PROTOCOL, measure_s=3.0))
    assert times is not None
    assert np.median(times.compute_ms) == pytest.approx(float(found.group(1)), rel=0.05)
