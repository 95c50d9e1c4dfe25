"""Requirements of the GPU backends: a driver and packages, checked without loading a native library."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.environment import Fact, package_versions
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.runtime.backends.base import Availability, Device, DeviceTimes

# Oldest driver of each CUDA version (CUDA Toolkit Release Notes, table "CUDA Toolkit and Minimum Driver").
_OLDEST_DRIVER: Final = {12: 525, 13: 580}

_BLOCK_CYCLES: Final = (1_000_000, 400_000_000)
_CYCLES_PER_S: Final = 2e9


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as its driver describes it.

    Attributes:
        name: Such as ``NVIDIA H200``.
        capability: Compute capability, such as (9, 0); None where the driver does not report it.
        uuid: Such as ``GPU-12345678-…``; empty where the driver does not report it.
    """

    name: str
    capability: tuple[int, int] | None
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Driver:
    """The NVIDIA driver.

    Attributes:
        version: Such as ``580.82.07``.
        cuda: Newest CUDA version that it supports, such as (13, 0); None where it does not report it.
        gpus: In the driver's order.
    """

    version: str
    cuda: tuple[int, int] | None
    gpus: tuple[Gpu, ...]


@dataclass(frozen=True, slots=True)
class Needs:
    """Requirements of a GPU backend beside a driver.

    Attributes:
        modules: Import names.
        packages: What `pip install` is given for them; ``{cuda}`` stands for the driver's CUDA version.
        distribution: Must be installed under this name, where an import name does not tell.
        replaces: Distributions that must be uninstalled first.
        tensorrt_below: TensorRT must be older than this major version; None: any that is declared.
        tensorrt: Whether TensorRT's packages must match the driver's CUDA version.
        capabilities: Compute capabilities that it has kernels for; None: no such list.
    """

    modules: tuple[str, ...]
    packages: tuple[str, ...]
    distribution: str = ""
    replaces: tuple[str, ...] = ()
    tensorrt_below: int | None = None
    tensorrt: bool = False
    capabilities: tuple[tuple[int, int], ...] | None = None


def read_driver() -> Driver | None:
    """The NVIDIA driver with its GPUs; None without driver or device."""
    if find_spec("pynvml") is None:
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no driver, no device, no permission
        return None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        gpus = tuple(_gpu(pynvml, handle) for handle in handles)
        version, cuda = _text(pynvml.nvmlSystemGetDriverVersion()), None
        with suppress(pynvml.NVMLError):
            number = int(pynvml.nvmlSystemGetCudaDriverVersion())
            cuda = (number // 1000, number % 1000 // 10)
    except pynvml.NVMLError:  # a driver that does not answer
        return None
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
    return Driver(version, cuda, gpus) if gpus else None


def unified_memory_missing(devices: Path = Path("/dev"), tegra: Path = Path("/etc/nv_tegra_release")) -> bool:
    """Return whether the driver is there without the device file of unified memory, which CUDA opens first.

    Outside a sandbox CUDA has `nvidia-modprobe` make it, which is setuid; a sandboxed process gains no rights
    so. WSL (no ``nvidiactl``) and Tegra (a driver of its own) have no such file.

    Args:
        devices: The folder of device files.
        tegra: A file that only Tegra's system has.
    """
    there = (devices / "nvidiactl").exists() and not tegra.exists()
    return there and not (devices / "nvidia-uvm").exists()


def _gpu(nvml: Any, handle: Any) -> Gpu:
    capability = None
    with suppress(nvml.NVMLError):
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        capability = (int(major), int(minor))
    uuid = ""
    with suppress(nvml.NVMLError):
        uuid = _text(nvml.nvmlDeviceGetUUID(handle))
    return Gpu(_text(nvml.nvmlDeviceGetName(handle)), capability, uuid)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


VISIBLE_DEVICES: Final = "CUDA_VISIBLE_DEVICES"


@contextmanager
def only_gpu(device: str | None) -> Iterator[None]:
    """Let processes that are started within see one GPU only, so that every library computes on it.

    Args:
        device: ``cuda:N``, in the order of `nvidia-smi`, or of the environment variable
            ``CUDA_VISIBLE_DEVICES`` where that is set; None changes nothing.

    Raises:
        BenchError: There is no such device (``device-unknown``, exit 3).
    """
    if device is None:
        yield
        return
    before = os.environ.get(VISIBLE_DEVICES)
    os.environ[VISIBLE_DEVICES] = _visible(device, before)
    try:
        yield
    finally:
        if before is None:
            del os.environ[VISIBLE_DEVICES]
        else:
            os.environ[VISIBLE_DEVICES] = before


def _visible(device: str, visible: str | None) -> str:
    """Value of ``CUDA_VISIBLE_DEVICES`` that leaves one device of those that are visible."""
    driver = read_driver()
    uuids = [gpu.uuid for gpu in driver.gpus] if driver else []
    known = [name.strip() for name in visible.split(",")] if visible else uuids
    matched = re.fullmatch(r"cuda:(\d{1,3})", device)
    number = int(matched.group(1)) if matched else len(known)
    if number < len(known) and known[number]:
        return known[number]
    names = [f"cuda:{k}" for k in range(len(known))]
    if driver and not visible:
        names = [f"{name} ({gpu.name})" for name, gpu in zip(names, driver.gpus, strict=True)]
    verb = "is" if len(names) == 1 else "are"
    message = f"There is no device {device!r}; there {verb}: {', '.join(names) or 'none'}."
    raise BenchError(Problem("device-unknown", message, "--device"), EXIT_ENVIRONMENT)


def torch_cuda() -> str | None:
    """CUDA version that the installed PyTorch was built for; None for a build without CUDA.

    Read from its file of versions: importing PyTorch takes seconds.
    """
    spec = find_spec("torch")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        with suppress(OSError):
            text = (Path(folder) / "version.py").read_text("utf-8", "replace")
            match = re.search(r"^cuda\b[^=\n]*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
            return match.group(1) if match else None
    return None


def tensorrt_packages() -> dict[str, str]:
    """CUDA major version → version of the installed TensorRT that was built for it."""
    versions = package_versions(["tensorrt-cu12", "tensorrt-cu13"])
    return {name.removeprefix("tensorrt-cu"): version for name, version in versions.items()}


def nvml_handle(nvml: Any, properties: Any) -> Any | None:
    """NVML's handle of the device that torch computes on; None where NVML does not find it.

    Args:
        nvml: The module `pynvml`, initialised.
        properties: `torch.cuda.get_device_properties` of the device.
    """
    with suppress(nvml.NVMLError, AttributeError):
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{properties.uuid}")
    return None


def power_state(nvml: Any, handle: Any) -> dict[str, Fact]:
    """Settings of a GPU that change its speed, for the record; what it does not report is left out.

    Keys: ``gpu_index``, ``performance_state``, ``persistence_mode``, ``power_limit_w``,
    ``sm_clock_max_mhz``, ``application_clock_mhz``, ``pcie_generation``, ``pcie_width``, ``ecc``, ``mig``.
    """
    reads: dict[str, Callable[[], Fact]] = {
        "gpu_index": lambda: int(nvml.nvmlDeviceGetIndex(handle)),
        "performance_state": lambda: f"P{nvml.nvmlDeviceGetPerformanceState(handle)}",
        "persistence_mode": lambda: bool(nvml.nvmlDeviceGetPersistenceMode(handle)),
        "power_limit_w": lambda: round(nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000, 1),
        "sm_clock_max_mhz": lambda: int(nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)),
        "application_clock_mhz": lambda: int(
            nvml.nvmlDeviceGetApplicationsClock(handle, nvml.NVML_CLOCK_GRAPHICS)
        ),
        "pcie_generation": lambda: int(nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)),
        "pcie_width": lambda: int(nvml.nvmlDeviceGetMaxPcieLinkWidth(handle)),
        "ecc": lambda: bool(nvml.nvmlDeviceGetEccMode(handle)[0]),
        "mig": lambda: bool(nvml.nvmlDeviceGetMigMode(handle)[0]),
    }
    state: dict[str, Fact] = {}
    for name, read in reads.items():
        with suppress(nvml.NVMLError):
            state[name] = read()
    return state


def cuda_device(versions: dict[str, Fact]) -> Device:
    """The GPU that torch computes on: name, compute capability, memory, driver, CUDA, and `versions`."""
    import pynvml
    import torch

    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    pynvml.nvmlInit()
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        handle = nvml_handle(pynvml, properties)
        state = power_state(pynvml, handle) if handle is not None else {}
    finally:
        pynvml.nvmlShutdown()
    facts: dict[str, Fact] = {
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "driver": driver,
        "cuda": str(torch.version.cuda),
        "torch": str(torch.__version__),
    }
    return Device(str(properties.name), is_gpu=True, facts={**facts, **state, **versions})


def gpu_availability(needs: Needs) -> Availability:
    """Return whether a GPU is there and the packages fit it, with every reason against it.

    The remedy is one command where a command helps; what no command can change stands before it.
    """
    driver = read_driver()
    reasons: list[str] = []
    advice: list[str] = []
    remove: list[str] = []
    install: list[str] = []
    missing = [name for name in needs.modules if find_spec(name) is None]
    if needs.distribution and not package_versions([needs.distribution]):
        missing.insert(0, needs.distribution)
    packages = [text.format(cuda=_cuda_major(driver)) for text in needs.packages]
    if missing:
        reasons.append(f"not installed: {', '.join(missing)}")
        remove += [name for name in needs.replaces if package_versions([name])]
        install += packages
    if find_spec("pynvml") is None:
        reasons.append("not installed: pynvml, which reads the state of the GPU")
        install.append("nvidia-ml-py")
    elif driver is None:
        reasons.append("there is no NVIDIA GPU, or its driver does not answer")
        advice.append("run on a machine with an NVIDIA GPU and driver (`nvidia-smi` shows it)")
    elif unified_memory_missing():
        reasons.append(
            "the driver's device file /dev/nvidia-uvm is not there; in the sandbox, CUDA cannot have it made"
        )
        advice.append("run `sudo nvidia-modprobe -u -c=0` once after each start of the machine")
    reason, remedy = _torch_fault(driver)
    if reason:
        reasons.append(reason)
        advice += [remedy] if remedy else []
        install += [] if remedy else ["torch"]
    for fault, distributions in _tensorrt_faults(needs, driver):
        reasons.append(fault)
        remove += distributions
        install += packages
    if driver and needs.capabilities and (refused := _without_kernels(driver, needs.capabilities)):
        reasons.append(refused)
        advice.append("use the backend `tensorrt` on this GPU")
    if not reasons:
        return Availability(True)
    text = "; ".join(reasons)
    replaces_build = bool(reason and not remedy) or "tensorrt" in remove
    command = _pip_command(remove, install, force=replaces_build)
    remedy = "; ".join(filter(None, (*dict.fromkeys(advice), command)))
    return Availability(False, f"{text[0].upper()}{text[1:]}.", remedy)


def _pip_command(remove: list[str], install: list[str], *, force: bool) -> str:
    """One command that removes and installs distributions; empty where there is nothing to install.

    Args:
        remove: To be uninstalled first.
        install: Requirements.
        force: Whether an installed version is replaced by another build of the same version.
    """
    if not install:
        return ""
    first = f"pip uninstall -y {' '.join(dict.fromkeys(remove))} && " if remove else ""
    again = " --force-reinstall" if force else ""
    return f"{first}pip install{again} {' '.join(map(_quoted, dict.fromkeys(install)))}"


def _quoted(requirement: str) -> str:
    return f"'{requirement}'" if re.search(r"[<>\[]", requirement) else requirement


def _cuda_major(driver: Driver | None) -> int:
    """The CUDA version whose packages suit the driver; the newest where it is not known."""
    newest = max(_OLDEST_DRIVER)
    return min(newest, driver.cuda[0]) if driver and driver.cuda else newest


def _torch_fault(driver: Driver | None) -> tuple[str, str]:
    """Reason and advice where PyTorch is installed and cannot use the GPU; empty otherwise.

    No advice: another build of PyTorch must be installed.
    """
    if find_spec("torch") is None:
        return "", ""
    cuda = torch_cuda()
    if cuda is None:
        return "PyTorch here is a build without CUDA", ""
    major = int(cuda.split(".")[0])
    if driver and driver.cuda and major > driver.cuda[0]:
        return _too_old(driver, f"PyTorch here needs CUDA {cuda}"), _newer_driver(major)
    return "", ""


def _tensorrt_faults(needs: Needs, driver: Driver | None) -> list[tuple[str, list[str]]]:
    """Reasons why the installed TensorRT does not fit, each with the distributions to be uninstalled."""
    if not needs.tensorrt:
        return []
    faults = []
    for cuda, version in tensorrt_packages().items():
        distributions = ["tensorrt", f"tensorrt-cu{cuda}"]
        if driver and driver.cuda and int(cuda) > driver.cuda[0]:
            faults.append((_too_old(driver, f"TensorRT {version} here needs CUDA {cuda}"), distributions))
        elif needs.tensorrt_below and int(version.split(".")[0]) >= needs.tensorrt_below:
            reason = (
                f"it loads TensorRT {needs.tensorrt_below - 1} and TensorRT {version} is installed, of which "
                "an environment holds one version"
            )
            faults.append((reason, distributions))
    return faults


def _too_old(driver: Driver, needed: str) -> str:
    assert driver.cuda is not None
    return f"the driver {driver.version} supports CUDA {driver.cuda[0]}.{driver.cuda[1]} and {needed}"


def _newer_driver(cuda: int) -> str:
    oldest = _OLDEST_DRIVER.get(cuda)
    return f"update the NVIDIA driver{f' to {oldest} or newer' if oldest else ''}"


def _without_kernels(driver: Driver, capabilities: tuple[tuple[int, int], ...]) -> str:
    lacking = [gpu for gpu in driver.gpus if gpu.capability and gpu.capability not in capabilities]
    if len(lacking) < len(driver.gpus):
        return ""
    capability = lacking[0].capability
    assert capability is not None
    return f"it has no kernels for compute capability {capability[0]}.{capability[1]} ({lacking[0].name})"


def event_times(
    torch: Any,
    stream: Any,
    run: Callable[[], object],
    runs: int,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> DeviceTimes:
    """Device times between two events around each run, all queued while the device is held back.

    A device that waits for its host would show the host's time to start a run: it first works on a kernel
    that only waits, until all runs are queued. Every event is recorded once beforehand, since the first
    record creates it.

    Args:
        torch: The module.
        stream: What `run` puts its work on.
        run: Starts one run and does not wait for it.
        runs: How many.
        clock: Nanoseconds of the host.
    """
    pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(runs)]
    blocked, released = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    enqueue = []
    with torch.cuda.stream(stream):
        for event in (blocked, released, *(event for pair in pairs for event in pair)):
            event.record(stream)
        before = clock()
        run()
        one_s = (clock() - before) / 1e9
        stream.synchronize()
        blocked.record(stream)
        least, most = _BLOCK_CYCLES
        torch.cuda._sleep(int(min(most, max(least, 2 * runs * one_s * _CYCLES_PER_S))))
        released.record(stream)
        for start, end in pairs:
            start.record(stream)
            before = clock()
            run()
            enqueue.append((clock() - before) / 1e6)
            end.record(stream)
    stream.synchronize()
    return DeviceTimes(
        np.array([start.elapsed_time(end) for start, end in pairs]),
        np.array(enqueue),
        float(blocked.elapsed_time(released)),
    )
