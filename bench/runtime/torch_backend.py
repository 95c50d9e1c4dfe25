"""PyTorch: named here so that whoever asks for it learns why a submitted model cannot be timed with it."""

from __future__ import annotations

from pathlib import Path

from bench.runtime.backend import Availability, Device, Session

_REASON = (
    "A submission is an ONNX file, which PyTorch cannot run; a converter would have to prove that it changes "
    "nothing before a figure could stand under the entry's name."
)
_REMEDY = "use `--backend tensorrt` or `--backend onnxruntime-cuda` on a GPU, `onnxruntime-cpu` anywhere"


class TorchBackend:
    """Never available.

    Args:
        name: Such as ``torch-compile``.
    """

    is_gpu = True
    precisions: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self.label = f"PyTorch ({name.removeprefix('torch-')})"

    def availability(self) -> Availability:
        """Not ok, with the reason."""
        return Availability(False, _REASON, _REMEDY)

    def device(self) -> Device:
        """Refuses."""
        raise RuntimeError(_REASON)

    def prepare(self, onnx_path: Path, precision: str, batch: int) -> Session:  # noqa: ARG002
        """Refuses."""
        raise RuntimeError(_REASON)
