"""What a GPU backend needs: a driver and its packages, looked for without loading a native library."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import bench
from bench.runtime.backend import Availability, Device, Session


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


def gpu_availability(packages: Sequence[str], install: str) -> Availability:
    """Whether a GPU is there and packages are installed, with every reason that stands against it.

    Args:
        packages: Names to import.
        install: The command that installs them.
    """
    reasons, remedies = [], []
    if missing := [name for name in packages if find_spec(name) is None]:
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


class GpuBackend:
    """A GPU backend as far as it can be judged without running it.

    Args:
        name: Key, such as ``tensorrt``.
        label: As shown.
        packages: What it imports.
        install: The command that installs them.
    """

    precisions: tuple[str, ...] = ("fp32",)

    def __init__(self, name: str, label: str, packages: Sequence[str], install: str) -> None:
        self.name = name
        self.label = label
        self._packages = tuple(packages)
        self._install = install

    def availability(self) -> Availability:
        """Never ok: says what is missing, and where nothing is, that this version has no runner for it."""
        found = gpu_availability(self._packages, self._install)
        if not found.ok:
            return found
        reason = (
            f"The GPU and the packages are there; harness {bench.__version__} cannot run {self.label} yet."
        )
        return Availability(False, reason, "use `--backend onnxruntime-cpu`")

    def device(self) -> Device:
        """Refuses: see `availability`."""
        raise RuntimeError(self.availability().reason)

    def prepare(self, onnx_path: Path, precision: str, batch: int) -> Session:  # noqa: ARG002
        """Refuses: see `availability`."""
        raise RuntimeError(self.availability().reason)
