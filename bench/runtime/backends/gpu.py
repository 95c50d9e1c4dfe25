"""What a GPU backend needs: a driver and its packages, looked for without loading a native library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.environment import Fact, package_versions
from bench.runtime.backends.base import Availability, Device, Milliseconds


def gpu_names() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs that the driver shows; empty without driver or device."""
    if find_spec("pynvml") is None:
        return ()
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no driver, no device, no permission
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        names = [pynvml.nvmlDeviceGetName(handle) for handle in handles]
    finally:
        pynvml.nvmlShutdown()
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def cuda_device(versions: dict[str, Fact]) -> Device:
    """The GPU that torch computes on: name, compute capability, memory, driver, CUDA, and `versions`."""
    import pynvml
    import torch

    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    pynvml.nvmlInit()
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
    finally:
        pynvml.nvmlShutdown()
    facts: dict[str, Fact] = {
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "driver": driver.decode() if isinstance(driver, bytes) else str(driver),
        "cuda": str(torch.version.cuda),
        "torch": str(torch.__version__),
    }
    return Device(str(properties.name), is_gpu=True, facts={**facts, **versions})


def gpu_availability(packages: Sequence[str], install: str, distribution: str = "") -> Availability:
    """Whether a GPU is there and packages are installed, with every reason that stands against it.

    Args:
        packages: Names to import.
        install: The command that installs them.
        distribution: Installed under this name in the package index, where an import name does not tell.
    """
    reasons, remedies = [], []
    missing = [name for name in packages if find_spec(name) is None]
    if distribution and not package_versions([distribution]):
        missing.insert(0, distribution)
    if missing:
        reasons.append(f"not installed: {', '.join(missing)}")
        remedies.append(install)
    if find_spec("pynvml") is None:
        reasons.append("not installed: pynvml, which tells what the GPU does")
        remedies.append("pip install nvidia-ml-py")
    elif not gpu_names():
        reasons.append("there is no NVIDIA GPU, or its driver does not answer")
        remedies.append("run on a machine with an NVIDIA GPU and driver (`nvidia-smi` shows it)")
    if not reasons:
        return Availability(True)
    text = "; ".join(reasons)
    return Availability(False, f"{text[0].upper()}{text[1:]}.", "; ".join(remedies))


def event_times(torch: Any, stream: Any, run: Callable[[], object], runs: int) -> Milliseconds:
    """(runs,) milliseconds between two device events around each run.

    Args:
        torch: The module.
        stream: What `run` puts its work on.
        run: Starts one run and does not wait for it.
        runs: How many.
    """
    pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(runs)]
    with torch.cuda.stream(stream):
        for start, end in pairs:
            start.record(stream)
            run()
            end.record(stream)
    stream.synchronize()
    return np.array([start.elapsed_time(end) for start, end in pairs])
