"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy.typing as npt

from bench.environment import Fact, cpu_name, usable_cores
from bench.runtime.backends.base import Arrays, Availability, Device, DeviceTimes

PROVIDER = "CPUExecutionProvider"


class OnnxRuntimeCpu:
    """ONNX Runtime's CPU provider with one thread for each core it may use.

    It has no kernels of its own for half precision and would quietly compute in float32: fp16 and bf16 are
    not offered.
    """

    name = "onnxruntime-cpu"
    label = "ONNX Runtime (CPU)"
    is_gpu = False
    precisions: tuple[str, ...] = ("fp32", "int8")

    def availability(self) -> Availability:
        """Return whether `onnxruntime` is installed."""
        if find_spec("onnxruntime") is None:
            return Availability(
                False, "The package `onnxruntime` is not installed.", "pip install 'chexchobench[onnx]'"
            )
        return Availability(True)

    def device(self) -> Device:
        """This machine's processor."""
        import onnxruntime

        return Device(cpu_name(), is_gpu=False, facts={"onnxruntime": onnxruntime.__version__})

    def prepare(self, onnx_path: Path, precision: str, batch: int) -> OnnxRuntimeSession:  # noqa: ARG002
        """A session on the CPU provider and no other; `batch` changes nothing, sizes are free."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(onnx_path), options, providers=[PROVIDER])
        return OnnxRuntimeSession(
            session,
            PROVIDER,
            {
                "intra_op_threads": options.intra_op_num_threads,
                "inter_op_threads": options.inter_op_num_threads,
                "execution_mode": "sequential",
                "graph_optimization": "all",
            },
        )


class OnnxRuntimeSession:
    """An `onnxruntime.InferenceSession` that runs on the provider that was requested.

    Args:
        session: The session.
        provider: What it must run on; ONNX Runtime quietly takes the CPU for a provider it cannot have.
        options: Settings to be recorded.

    Raises:
        RuntimeError: It runs on another provider.
    """

    def __init__(self, session: Any, provider: str, options: dict[str, Fact]) -> None:
        providers = list(session.get_providers())
        if providers[:1] != [provider] or set(providers) - {provider, PROVIDER}:
            raise RuntimeError(f"requested {provider}, got {', '.join(providers)}")
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self.options: dict[str, Fact] = {"provider": provider, **options}

    def infer(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name."""
        return dict(zip(self._outputs, self._session.run(None, inputs), strict=True))

    def run_block(self, runs: int) -> DeviceTimes | None:  # noqa: ARG002
        """None: a CPU has no clock beside the host's."""
        return None

    def lanes(self, count: int) -> Sequence[OnnxRuntimeSession]:
        """The session itself: it may be called from several threads."""
        return [self] * count
