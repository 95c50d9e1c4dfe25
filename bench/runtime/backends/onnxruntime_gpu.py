"""ONNX Runtime on an NVIDIA GPU, through CUDA or through TensorRT; never through the CPU unnoticed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bench.runtime.backends.base import Availability, Device
from bench.runtime.backends.gpu import cuda_device, gpu_availability
from bench.runtime.backends.onnxruntime_cpu import OnnxRuntimeSession

_DISTRIBUTION: Final = "onnxruntime-gpu"


class OnnxRuntimeGpu:
    """One of ONNX Runtime's GPU providers; operators that it lacks are an error, not a fallback.

    Args:
        name: Such as ``onnxruntime-cuda``.
        label: As shown.
        provider: Such as ``CUDAExecutionProvider``.
        packages: What has to be installed besides, by import name.
        precisions: What it is known to run in as declared.
    """

    is_gpu = True

    def __init__(
        self, name: str, label: str, provider: str, packages: tuple[str, ...], precisions: tuple[str, ...]
    ) -> None:
        self.name = name
        self.label = label
        self.precisions = precisions
        self._provider = provider
        self._packages = packages

    def availability(self) -> Availability:
        """Whether the GPU build of ONNX Runtime, its packages and a GPU with its driver are there."""
        install = f"pip uninstall onnxruntime && pip install {' '.join((_DISTRIBUTION, *self._packages))}"
        return gpu_availability((*self._packages, "torch"), install, distribution=_DISTRIBUTION)

    def device(self) -> Device:
        """The GPU, with the versions of everything between it and the model."""
        import onnxruntime

        return cuda_device({"onnxruntime": onnxruntime.__version__})

    def prepare(self, onnx_path: Path, precision: str, batch: int) -> OnnxRuntimeSession:  # noqa: ARG002
        """A session on the provider and no other."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        settings = {"use_tf32": "1" if precision == "tf32" else "0"} if "CUDA" in self._provider else {}
        session = onnxruntime.InferenceSession(
            str(onnx_path), options, providers=[(self._provider, settings)]
        )
        return OnnxRuntimeSession(
            session, self._provider, {"tf32": precision == "tf32", "graph_optimization": "all"}
        )
