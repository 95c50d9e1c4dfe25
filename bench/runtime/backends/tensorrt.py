"""TensorRT and TensorRT-RTX: two products with one interface; their figures never share a name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from bench.runtime.backends.base import Availability, Device
from bench.runtime.backends.gpu import Needs, cuda_device, gpu_availability
from bench.runtime.backends.tensorrt_build import build_engine
from bench.runtime.backends.tensorrt_session import TensorRtSession, load_engine


class TensorRtBackend:
    """Build an engine for each session, one batch size each.

    Args:
        name: ``tensorrt`` or ``tensorrt-rtx``.
        label: As shown.
        needs: What must be installed; the first module is the library.
    """

    is_gpu = True
    precisions: tuple[str, ...] = ("fp32", "tf32", "fp16", "bf16", "int8")

    def __init__(self, name: str, label: str, needs: Needs) -> None:
        self.name = name
        self.label = label
        self._needs = needs

    def _library(self) -> Any:
        return import_module(self._needs.modules[0])

    def availability(self) -> Availability:
        """Return whether the package, torch with CUDA and a GPU that it supports are there."""
        return gpu_availability(self._needs)

    def device(self) -> Device:
        """The GPU, with the versions of everything between it and the model."""
        return cuda_device({self._needs.modules[0]: str(self._library().__version__)})

    def prepare(self, onnx_path: Path, precision: str, batch: int) -> TensorRtSession:
        """Build, load and bind an engine for exactly `batch` images."""
        trt = self._library()
        built = build_engine(trt, onnx_path.read_bytes(), precision, batch)
        return TensorRtSession(trt, load_engine(trt, built), batch)
