"""Backends: what is ready and what is missing, and that none takes another's place."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import BenchError
from bench.runtime.backends.gpu import (
    Driver,
    Needs,
    gpu_availability,
    read_driver,
    unified_memory_missing,
)
from bench.runtime.backends.onnxruntime_cpu import OnnxRuntimeCpu, OnnxRuntimeSession
from bench.runtime.backends.registry import availabilities, backends, require_backend
from tests.runtime.models import SIZE, linear_model, linear_weights, save

NAMES = [
    "onnxruntime-cpu",
    "tensorrt",
    "tensorrt-rtx",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
    "torch-eager",
    "torch-compile",
    "torch-cudagraph",
]


def test_every_backend_says_whether_it_is_ready() -> None:
    found = availabilities()
    assert list(found) == NAMES
    assert found["onnxruntime-cpu"].ok
    for name, answer in found.items():
        assert answer.ok or (answer.reason and answer.remedy), name


def test_asking_loads_no_heavy_library() -> None:
    code = (
        "import sys; from bench.runtime.backends.registry import availabilities; availabilities(); "
        "print([m for m in ('torch', 'onnxruntime', 'onnx', 'pandas', 'tensorrt') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(read_driver() is not None, reason="a GPU is there")
@pytest.mark.parametrize("name", NAMES[1:])
def test_a_gpu_backend_without_a_gpu_exits_3_with_a_remedy(name: str) -> None:
    with pytest.raises(BenchError) as caught:
        require_backend(name, "bf16")
    assert caught.value.exit_code == 3
    (problem,) = caught.value.problems
    assert problem.code == "backend-unavailable"
    assert "GPU" in problem.message
    assert problem.remedy


def test_a_missing_device_file_is_found_before_cuda_fails_in_the_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tegra = tmp_path / "nv_tegra_release"
    assert not unified_memory_missing(tmp_path, tegra), "no driver, or that of WSL"
    (tmp_path / "nvidiactl").touch()
    assert unified_memory_missing(tmp_path, tegra)
    monkeypatch.setattr("bench.runtime.backends.gpu.read_driver", lambda: Driver("580.82", (13, 0), ()))
    monkeypatch.setattr("bench.runtime.backends.gpu.unified_memory_missing", lambda: True)
    found = gpu_availability(Needs((), ()))
    assert not found.ok
    assert "nvidia-modprobe -u -c=0" in found.remedy
    (tmp_path / "nvidia-uvm").touch()
    assert not unified_memory_missing(tmp_path, tegra)
    (tmp_path / "nvidia-uvm").unlink()
    tegra.touch()
    assert not unified_memory_missing(tmp_path, tegra)


def test_missing_packages_and_a_missing_gpu_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runtime.backends.gpu.find_spec", lambda name: None)
    answer = backends()["tensorrt"].availability()
    assert "not installed: tensorrt" in answer.reason.lower()
    assert "pynvml" in answer.reason
    assert "pip install" in answer.remedy


def test_unknown_backends_and_precisions() -> None:
    with pytest.raises(BenchError) as caught:
        require_backend("tensorflow")
    assert caught.value.problems[0].code == "backend-unknown"
    assert "onnxruntime-cpu" in caught.value.problems[0].message
    with pytest.raises(BenchError) as caught:
        require_backend("onnxruntime-cpu", "tf32")
    assert (caught.value.exit_code, caught.value.problems[0].code) == (3, "precision-unsupported")


def test_without_onnxruntime_the_cpu_backend_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runtime.backends.onnxruntime_cpu.find_spec", lambda name: None)
    with pytest.raises(BenchError) as caught:
        require_backend("onnxruntime-cpu")
    assert caught.value.exit_code == 3
    assert "chexchobench[onnx]" in caught.value.problems[0].remedy


def test_a_session_answers_records_its_settings_and_serves_two_threads(tmp_path: Path) -> None:
    backend = OnnxRuntimeCpu()
    session = backend.prepare(save(linear_model(), tmp_path / "m.onnx"), "fp32", 4)
    images = np.random.default_rng(0).random((4, 1, SIZE, SIZE)).astype(np.float32)
    expected = images.reshape(4, -1) @ linear_weights()
    np.testing.assert_allclose(session.infer({"image": images})["scores"], expected, rtol=1e-4, atol=1e-5)
    assert session.options["provider"] == "CPUExecutionProvider"
    assert session.options["intra_op_threads"] >= 1  # type: ignore[operator]
    assert session.run_block(3) is None
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda lane: lane.infer({"image": images})["scores"], session.lanes(2)))
    np.testing.assert_array_equal(answers[0], answers[1])
    assert not backend.device().is_gpu


def test_another_provider_than_the_one_asked_for_is_an_error() -> None:
    class Quiet:
        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

        def get_outputs(self) -> list[Any]:
            return []

    with pytest.raises(RuntimeError, match="requested CUDAExecutionProvider, got CPUExecutionProvider"):
        OnnxRuntimeSession(Quiet(), "CUDAExecutionProvider", {})
