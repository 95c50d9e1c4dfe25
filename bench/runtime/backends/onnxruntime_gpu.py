"""ONNX Runtime on an NVIDIA GPU, through CUDA or through TensorRT; never through the CPU unnoticed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final

from bench.environment import Fact
from bench.runtime.backends.base import Availability, Device
from bench.runtime.backends.gpu import Needs, cuda_device, gpu_availability
from bench.runtime.backends.onnxruntime_cpu import OnnxRuntimeSession

CUDA: Final = "CUDAExecutionProvider"
TENSORRT_PROVIDER: Final = "TensorrtExecutionProvider"


class OnnxRuntimeGpu:
    """One of ONNX Runtime's GPU providers; operators that it lacks are an error, not a fallback.

    Args:
        name: Such as ``onnxruntime-cuda``.
        label: As shown.
        provider: Such as ``CUDAExecutionProvider``.
        needs: What must be installed.
        precisions: What it is known to run in as declared.
    """

    is_gpu = True

    def __init__(
        self, name: str, label: str, provider: str, needs: Needs, precisions: tuple[str, ...]
    ) -> None:
        self.name = name
        self.label = label
        self.precisions = precisions
        self._provider = provider
        self._needs = needs

    def availability(self) -> Availability:
        """Return whether the GPU build of ONNX Runtime, its packages and a GPU with its driver are there."""
        return gpu_availability(self._needs)

    def _library(self) -> Any:
        """ONNX Runtime, after the libraries of which its providers need one loaded already."""
        import onnxruntime

        if self._provider == TENSORRT_PROVIDER:
            import_module("tensorrt")
        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # CUDA from packages is in no folder that the loader searches
        return onnxruntime

    def device(self) -> Device:
        """The GPU, with the versions of everything between it and the model."""
        return cuda_device({"onnxruntime": str(self._library().__version__)})

    def prepare(self, onnx_path: Path, precision: str, batch: int) -> OnnxRuntimeSession:
        """A session on the provider and no other, for exactly `batch` images."""
        onnxruntime = self._library()
        options = session_options(onnxruntime, onnx_path, batch)
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        settings = {"use_tf32": "1" if precision == "tf32" else "0"} if self._provider == CUDA else {}
        session = onnxruntime.InferenceSession(  # with its fallback it would hide why the provider failed
            str(onnx_path), options, providers=[(self._provider, settings)], enable_fallback=0
        )
        facts: dict[str, Fact] = {"tf32": precision == "tf32", "graph_optimization": "all"}
        return OnnxRuntimeSession(session, self._provider, facts)


def session_options(onnxruntime: Any, onnx_path: Path, batch: int) -> Any:
    """Options with the free first size of every input set to the batch.

    With a known batch, sizes that a graph computes while it runs (``Shape`` and what follows) become
    constants; otherwise they would need the CPU.
    """
    import onnx

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    graph = onnx.load(onnx_path, load_external_data=False).graph
    sizes = {size.dim_param for value in graph.input for size in value.type.tensor_type.shape.dim[:1]}
    for name in sorted(sizes - {""}):
        options.add_free_dimension_override_by_name(name, batch)
    return options
