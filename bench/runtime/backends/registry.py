"""Backends by name: those of this package, and those of plug-ins.

Another package adds a backend by an entry point in the group ``bench.backends`` that names an object with the
members of `bench.runtime.backends.base.Backend`.
"""

from __future__ import annotations

from typing import Final

from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem, did_you_mean
from bench.plugins import load_plugins
from bench.runtime.backends.base import Availability, Backend, Device
from bench.runtime.backends.gpu import Needs
from bench.runtime.backends.onnxruntime_cpu import OnnxRuntimeCpu
from bench.runtime.backends.onnxruntime_gpu import CUDA, TENSORRT_PROVIDER, OnnxRuntimeGpu
from bench.runtime.backends.tensorrt import TensorRtBackend
from bench.runtime.backends.torch import TorchBackend
from bench.sandbox.launch import SandboxLimits
from bench.sandbox.worker_process import Worker, WorkerFailure

DEFAULT_BACKEND = "onnxruntime-cpu"

TENSORRT: Final = Needs(
    modules=("tensorrt", "torch"), packages=("tensorrt-cu{cuda}>=10.13,<12", "torch"), tensorrt=True
)
TENSORRT_RTX: Final = Needs(
    modules=("tensorrt_rtx", "torch"),
    packages=("tensorrt_rtx", "torch"),
    capabilities=((7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1)),
)
ORT_CUDA: Final = Needs(
    modules=("torch",),
    packages=("onnxruntime-gpu", "torch"),
    distribution="onnxruntime-gpu",
    replaces=("onnxruntime",),
)
ORT_TENSORRT: Final = Needs(  # its provider is linked to TensorRT 10
    modules=("tensorrt", "torch"),
    packages=("onnxruntime-gpu", "tensorrt-cu{cuda}<11", "torch"),
    distribution="onnxruntime-gpu",
    replaces=("onnxruntime",),
    tensorrt=True,
    tensorrt_below=11,
)


GROUP = "bench.backends"
"""Entry points of other packages that add backends."""


def backends() -> dict[str, Backend]:
    """Every backend, available or not, by name: those of this package, then those of plug-ins.

    Raises:
        PluginError: A plug-in cannot be used.
    """
    known = built_in()
    return known | load_plugins(GROUP, "backend", _fault, set(known))


def find_backend(name: str) -> Backend:
    """The backend with this name, available or not; plug-ins are loaded only for a name that is not built in.

    Raises:
        BenchError: There is none (``backend-unknown``).
        PluginError: A plug-in cannot be used.
    """
    if name in (known := built_in()) or name in (known := backends()):
        return known[name]
    message = f"There is no backend {name!r}; there are: {', '.join(known)}.{did_you_mean(name, known)}"
    raise BenchError(Problem("backend-unknown", message))


def _fault(plugin: object) -> str:
    """Reason why a plug-in's object is not a backend; empty where it is one."""
    members = ("name", "label", "is_gpu", "precisions", "availability", "device", "prepare")
    if isinstance(plugin, type):
        return "is a class; it must be an object"
    if missing := [member for member in members if not hasattr(plugin, member)]:
        return f"is not a backend: it lacks {', '.join(missing)}"
    return ""


def built_in() -> dict[str, Backend]:
    """The backends of this package by name."""
    listed: tuple[Backend, ...] = (
        OnnxRuntimeCpu(),
        TensorRtBackend("tensorrt", "TensorRT", TENSORRT),
        TensorRtBackend("tensorrt-rtx", "TensorRT-RTX", TENSORRT_RTX),
        OnnxRuntimeGpu("onnxruntime-cuda", "ONNX Runtime (CUDA)", CUDA, ORT_CUDA, ("fp32", "tf32", "fp16")),
        OnnxRuntimeGpu(  # its engines are built with TF32 on and it offers no way to clear it
            "onnxruntime-tensorrt", "ONNX Runtime (TensorRT)", TENSORRT_PROVIDER, ORT_TENSORRT, ("tf32",)
        ),
        TorchBackend("eager"),
        TorchBackend("compile"),
        TorchBackend("cudagraph"),
    )
    return {backend.name: backend for backend in listed}


def availabilities() -> dict[str, Availability]:
    """For each backend whether it can be used here, and if not what is missing and what mends it."""
    return {name: backend.availability() for name, backend in backends().items()}


def require_backend(name: str, precision: str = "fp32") -> Backend:
    """A backend that can be used here, in a precision that it has.

    Raises:
        BenchError: There is none of this name (``backend-unknown``), it cannot be used here
            (``backend-unavailable``, exit 3, with what mends it), or it lacks the precision
            (``precision-unsupported``, exit 3).
    """
    backend = find_backend(name)
    availability = backend.availability()
    if not availability.ok:
        message = f"{backend.label} cannot be used here. {availability.reason}"
        raise BenchError(
            Problem("backend-unavailable", message, remedy=availability.remedy), EXIT_ENVIRONMENT
        )
    if precision not in backend.precisions:
        message = f"{backend.label} runs models in {', '.join(backend.precisions)} here, not in {precision}."
        raise BenchError(Problem("precision-unsupported", message), EXIT_ENVIRONMENT)
    return backend


WORKER = "bench.runtime.workers.device"
LIMIT_S: Final = 120.0


def device_of(backend: str) -> Device:
    """The processor of an available backend, with the versions between it and a model.

    Raises:
        BenchError: Its library crashed or refused (``backend-unavailable``, exit 3).
    """
    try:
        with Worker(WORKER, LIMIT_S, SandboxLimits.for_gpu()) as worker:
            worker.send({"backend": backend})
            answer, _ = worker.receive()
    except WorkerFailure as failure:
        message = f"{backend} could not say what it computes on. {failure.message}"
        raise BenchError(Problem("backend-unavailable", message), EXIT_ENVIRONMENT) from failure
    return Device(answer["name"], is_gpu=answer["is_gpu"], facts=answer["facts"])
