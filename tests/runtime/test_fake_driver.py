"""Backends that are ready with each driver: the real pynvml and command line on a fake `libnvidia-ml`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if shutil.which("cc") is None:
    pytest.skip("needs a C compiler", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the fake library."""
    folder = tmp_path_factory.mktemp("nvml")
    source, target = Path(__file__).with_name("fake_nvml.c"), folder / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", str(target), str(source)], check=True)
    return folder


def packages(folder: Path, torch_cuda: str | None, **distributions: str) -> Path:
    """A folder of packages that stand before the installed ones: torch for a CUDA version, and others."""
    (folder / "torch").mkdir(parents=True)
    (folder / "torch" / "__init__.py").write_text("raise ImportError('not to be imported')\n")
    (folder / "torch" / "version.py").write_text(
        f"__version__ = '2.13.0'\ndebug = False\ncuda: Optional[str] = {torch_cuda!r}\nhip = None\n"
    )
    for name, version in distributions.items():
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        if name.startswith("tensorrt"):
            module = folder / ("tensorrt_rtx" if "rtx" in name else "tensorrt")
            module.mkdir(exist_ok=True)
            (module / "__init__.py").write_text("raise ImportError('not to be imported')\n")
    return folder


def run(library: Path, code: str, before: Path | None = None, **variables: str) -> Any:
    """The JSON that a Python process prints, on the fake driver."""
    path = os.pathsep.join(map(str, filter(None, (before, ROOT))))
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "PYTHONPATH": path, **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def availability(library: Path, before: Path, **variables: str) -> dict[str, tuple[bool, str, str]]:
    code = (
        "import json; from bench.runtime.backends.registry import availabilities; "
        "print(json.dumps({n: (a.ok, a.reason, a.remedy) for n, a in availabilities().items()}))"
    )
    return {name: tuple(answer) for name, answer in run(library, code, before, **variables).items()}


def test_a_fitting_environment_is_ready(library: Path, tmp_path: Path) -> None:
    before = packages(
        tmp_path / "p", "13.0", tensorrt_cu13="10.16.1", tensorrt="10.16.1", onnxruntime_gpu="1.31"
    )
    found = availability(library, before)
    ready = {name for name, (ok, _, _) in found.items() if ok}
    assert ready == {
        *("onnxruntime-cpu", "tensorrt", "onnxruntime-cuda", "onnxruntime-tensorrt"),
        *("torch-eager", "torch-compile", "torch-cudagraph"),
    }


def test_torch_without_cuda_is_not_ready_and_the_remedy_helps(library: Path, tmp_path: Path) -> None:
    before = packages(tmp_path / "p", None, tensorrt_cu13="11.4.0", tensorrt="11.4.0")
    for name in ("tensorrt", "torch-eager"):
        ok, reason, remedy = availability(library, before)[name]
        assert (ok, reason) == (False, "PyTorch here is a build without CUDA.")
        assert remedy == "pip install --force-reinstall torch"


def test_a_missing_tensorrt_is_installed_for_the_drivers_cuda_version(library: Path, tmp_path: Path) -> None:
    before = packages(tmp_path / "p", "12.6")
    new = availability(library, before, FAKE_CUDA="13000")["tensorrt"]
    assert new[1:] == ("Not installed: tensorrt.", "pip install 'tensorrt-cu13>=10.13,<12' torch")
    old = availability(library, before, FAKE_CUDA="12080")["tensorrt"]
    assert old[2] == "pip install 'tensorrt-cu12>=10.13,<12' torch"


def test_packages_that_are_too_new_for_the_driver_are_found_before_a_run(
    library: Path, tmp_path: Path
) -> None:
    before = packages(tmp_path / "p", "13.0", tensorrt_cu13="11.4.0", tensorrt="11.4.0")
    ok, reason, remedy = availability(library, before, FAKE_CUDA="12080")["tensorrt"]
    assert not ok
    assert "the driver 570.86.15 supports CUDA 12.8 and PyTorch here needs CUDA 13.0" in reason.replace(
        "The", "the"
    )
    assert "TensorRT 11.4.0 here needs CUDA 13" in reason
    assert remedy.startswith("update the NVIDIA driver to 580 or newer")
    assert "tensorrt-cu12" in remedy


def test_onnx_runtimes_provider_needs_tensorrt_10(library: Path, tmp_path: Path) -> None:
    before = packages(tmp_path / "p", "13.0", tensorrt_cu13="11.4.0", onnxruntime_gpu="1.31.1")
    found = availability(library, before)
    assert found["tensorrt"][0]
    ok, reason, remedy = found["onnxruntime-tensorrt"]
    assert not ok
    assert "It loads TensorRT 10 and TensorRT 11.4.0 is installed" in reason
    assert "pip uninstall -y tensorrt tensorrt-cu13 && pip install --force-reinstall" in remedy
    assert "'tensorrt-cu13<11'" in remedy


def test_tensorrt_rtx_has_no_kernels_for_an_h100(library: Path, tmp_path: Path) -> None:
    before = packages(tmp_path / "p", "13.0", tensorrt_rtx="1.7.1.116")
    ok, reason, remedy = availability(library, before, FAKE_CAPABILITY="90")["tensorrt-rtx"]
    assert (ok, remedy) == (False, "use the backend `tensorrt` on this GPU")
    assert "no kernels for compute capability 9.0 (NVIDIA H100 80GB HBM3)" in reason
    assert availability(library, before, FAKE_CAPABILITY="89")["tensorrt-rtx"][0]


def test_a_missing_driver_is_named_first(library: Path, tmp_path: Path) -> None:
    before = packages(tmp_path / "p", "13.0", tensorrt_cu13="11.4.0")
    ok, reason, remedy = availability(library, before, FAKE_NO_DRIVER="1")["tensorrt"]
    assert (ok, remedy.startswith("run on a machine with an NVIDIA GPU")) == (False, True)
    assert reason == "There is no NVIDIA GPU, or its driver does not answer."


SAMPLE = """
import json, pynvml, time
from types import SimpleNamespace
from bench.runtime.backends.gpu import nvml_handle, power_state
from bench.timing.telemetry import Sampler
pynvml.nvmlInit()
handle = nvml_handle(pynvml, SimpleNamespace(uuid="12345678-1234-1234-1234-000000000001"))
if handle is None:
    print("null")
else:
    with Sampler(pynvml, handle) as sampler:
        time.sleep(0.2)
    print(json.dumps({"trace": sampler.trace.plain(), "state": power_state(pynvml, handle)}))
"""


def test_the_real_pynvml_is_read(library: Path) -> None:
    found = run(library, SAMPLE, FAKE_REASONS=str(0x02 | 0x04 | 0x20), FAKE_PROCESSES="3")
    trace = found["trace"]
    assert set(trace["clock_mhz"]) == {1980.0}
    assert trace["reasons"] == ["software thermal slowdown"]
    assert (trace["power_capped"], trace["clock_set"]) == (True, True)
    assert (trace["foreign_processes"], trace["energy_j"]) == (2, 60.0)
    assert found["state"] == {
        "gpu_index": 1,
        "performance_state": "P0",
        "persistence_mode": True,
        "power_limit_w": 700.0,
        "sm_clock_max_mhz": 1980,
        "pcie_generation": 5,
        "pcie_width": 16,
        "ecc": True,
        "mig": False,
    }


def test_a_mig_slice_that_nvml_does_not_find_has_no_sampler(library: Path) -> None:
    assert run(library, SAMPLE, FAKE_MIG="1") is None


VISIBLE = """
import json, os, sys
from bench.errors import BenchError
from bench.runtime.backends.gpu import only_gpu
try:
    with only_gpu(sys.argv[1]):
        inside = os.environ["CUDA_VISIBLE_DEVICES"]
    print(json.dumps([inside, os.environ.get("CUDA_VISIBLE_DEVICES")]))
except BenchError as error:
    print(json.dumps([error.problems[0].code, error.problems[0].message]))
"""


def visible(library: Path, device: str, **variables: str) -> list[str | None]:
    code = VISIBLE.replace("sys.argv[1]", repr(device))
    return list(run(library, code, None, FAKE_COUNT="2", **variables))


def test_one_gpu_is_chosen_by_its_uuid(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible(library, "cuda:1") == ["GPU-12345678-1234-1234-1234-000000000001", None]
    assert visible(library, "cuda:1", CUDA_VISIBLE_DEVICES="3,GPU-abc") == ["GPU-abc", "3,GPU-abc"]
    names = "cuda:0 (NVIDIA H100 80GB HBM3), cuda:1 (NVIDIA H100 80GB HBM3)"
    for wrong in ("cuda:2", "1", "cuda"):
        assert visible(library, wrong) == [
            "device-unknown",
            f"There is no device '{wrong}'; there are: {names}.",
        ]
    assert visible(library, "cuda:0", FAKE_NO_DRIVER="1")[0] == "device-unknown"


DOCTOR = """
import json, os, sys
import bench.cli.main, bench.cli.options, bench.cohort.tables
import bench.environment, bench.runtime.backends.registry
printed = []
for before, variables in json.loads(sys.argv[1]):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.environ.update(variables)
        sys.path.insert(0, before)
        sys.argv = ["bench", "doctor"]
        os.dup2(writer, 1)
        bench.cli.main.main()
        sys.exit("the command returned")
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        printed.append(file.read())
    assert os.wait()[1] == 0
print(json.dumps(printed))
"""


def doctor(library: Path, *cases: tuple[Path, dict[str, str]]) -> list[str]:
    """What the command prints for each (packages, variables), in processes that share their imports."""
    listed = json.dumps([(str(before), {"COLUMNS": "200", **variables}) for before, variables in cases])
    return list(run(library, DOCTOR.replace("sys.argv[1]", repr(listed))))


def test_doctor_shows_gpus_and_the_cuda_versions_of_driver_and_packages(
    library: Path, tmp_path: Path
) -> None:
    before = packages(tmp_path / "p", "13.0", tensorrt_cu13="11.4.0", tensorrt="11.4.0")
    text, without = doctor(
        library, (before, {"FAKE_COUNT": "2", "FAKE_CUDA": "12080"}), (before, {"FAKE_NO_DRIVER": "1"})
    )
    assert "NVIDIA driver: 570.86.15; CUDA versions: driver 12.8, torch 13.0, tensorrt 11.4.0 13" in text
    assert "cuda:1: NVIDIA H100 80GB HBM3, compute capability 9.0" in text
    assert "NVIDIA driver: none that answers" in without


ENVIRONMENTS: list[tuple[str | None, dict[str, str]]] = [
    (None, {}),
    (None, {"tensorrt_cu13": "11.4.0", "tensorrt": "11.4.0"}),
    ("12.6", {}),
    ("13.0", {"tensorrt_cu13": "11.4.0", "onnxruntime_gpu": "1.31.1"}),
    ("13.0", {"tensorrt_cu13": "10.16.1", "tensorrt": "10.16.1", "onnxruntime_gpu": "1.31.1"}),
]
DRIVERS: list[dict[str, str]] = [{}, {"FAKE_CUDA": "12080"}, {"FAKE_NO_DRIVER": "1"}]


def test_doctor_says_ready_or_what_makes_it_ready_and_never_itself(library: Path, tmp_path: Path) -> None:
    folders = [packages(tmp_path / str(k), cuda, **found) for k, (cuda, found) in enumerate(ENVIRONMENTS)]
    cases = [(folder, driver) for folder in folders for driver in DRIVERS]
    for case, text in zip(cases, doctor(library, *cases), strict=True):
        lines = text.splitlines()
        states = [k for k, line in enumerate(lines) if ": ready" in line or ": not ready. " in line]
        assert len(states) == 8, case
        for place in states:
            following = lines[place + 1] if place + 1 < len(lines) else ""
            if ": ready" in lines[place]:
                assert not following.startswith("    to do:"), case
            else:
                remedy = following.removeprefix("    to do: ")
                assert remedy != following, case
                assert "bench doctor" not in remedy, case
                assert "bench time --list" not in remedy, case
                assert remedy.count("pip uninstall") <= 1, case


def test_the_command_line_lists_what_is_ready(library: Path, tmp_path: Path) -> None:
    before = packages(tmp_path / "p", None)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "PYTHONPATH": f"{before}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "time", "--list"],
        env={**environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bench time --list" not in done.stdout
    assert "pip install --force-reinstall torch" in done.stdout
    assert "onnxruntime-cpu" in done.stdout
