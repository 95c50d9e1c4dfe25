"""PyTorch on an NVIDIA GPU: for a figure where TensorRT is not available."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.environment import Fact
from bench.runtime.backends.base import Availability, Device
from bench.runtime.backends.gpu import Needs, cuda_device, gpu_availability

if TYPE_CHECKING:
    from bench.runtime.backends.torch_session import Execution, TorchSession

_NEEDS: Final = Needs(modules=("torch", "onnx"), packages=("chexchobench[onnx]", "torch"))


class TorchBackend:
    """Translate the ONNX file and run it in the precision that the file is in.

    Args:
        execution: ``eager``, ``compile`` or ``cudagraph``.
        where: ``cuda``; tests run it on ``cpu``.
    """

    is_gpu = True
    precisions: tuple[str, ...] = ("fp32", "tf32", "fp16", "bf16")

    def __init__(self, execution: Execution, where: str = "cuda") -> None:
        self.name = f"torch-{execution}"
        self.label = f"PyTorch ({execution})"
        self._execution = execution
        self._where = where

    def availability(self) -> Availability:
        """Return whether PyTorch with CUDA, ONNX and a GPU with its driver are there."""
        return gpu_availability(_NEEDS)

    def device(self) -> Device:
        """The GPU, with the versions between it and the model."""
        return cuda_device({})

    def prepare(self, onnx_path: Path, precision: str, batch: int) -> TorchSession:
        """A session for exactly `batch` images."""
        import onnx
        import torch

        from bench.onnx.to_torch import CONVERTER, to_torch
        from bench.runtime.backends import torch_session

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        translated = to_torch(onnx.load(onnx_path, load_external_data=False))
        sizes = {name: tuple(batch if n < 0 else n for n in size) for name, size in translated.sizes.items()}
        facts: dict[str, Fact] = {"converter": CONVERTER, "tf32": precision == "tf32"}
        module = translated.module.to(self._where)
        return torch_session.TorchSession(
            module, sizes, translated.outputs, self._where, self._execution, facts
        )
