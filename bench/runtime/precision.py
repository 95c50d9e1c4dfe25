"""Precision as a transform of the ONNX file: hashed, recorded, and made in a sandboxed process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.environment import Fact
from bench.errors import BenchError, Problem
from bench.files import sha256_file
from bench.runtime.backends.base import Arrays
from bench.sandbox.launch import SandboxLimits
from bench.sandbox.worker_process import Worker, WorkerFailure

WORKER = "bench.runtime.workers.precision"
CONVERT_LIMIT_S: Final = 600.0
MEMORY_MB: Final = 16_384  # of a calibration, which holds the results of all operators

# Precision → name and version of the transform; those not named run the file as it is.
TRANSFORMS: Final = {
    "fp16": "cast-fp16/1",
    "bf16": "cast-bf16/1",
    "int8": "qdq-int8/1",
}


@dataclass(frozen=True, slots=True)
class Converted:
    """A model in the precision that it is to run in.

    Attributes:
        path: The file to run.
        facts: What was done to it, for the record: transform, SHA-256, types of its tensors.
    """

    path: Path
    facts: dict[str, Fact]


def convert(onnx_path: Path, precision: str, folder: Path, calibration: Arrays | None = None) -> Converted:
    """Convert a model to `precision`.

    Args:
        onnx_path: In float32.
        precision: ``fp32`` and ``tf32`` leave the file alone; ``fp16`` and ``bf16`` cast it; ``int8``
            quantises convolutions and matrix products, symmetric, weights per channel, biases left alone.
        folder: Where the new file is written.
        calibration: Name → (images, …) inputs of training images, for ``int8``.

    Raises:
        BenchError: The model cannot be converted to this precision (``precision-failed``).
    """
    if precision not in TRANSFORMS:
        return Converted(onnx_path, {})
    target = folder / f"{onnx_path.stem}-{precision}.onnx"
    request = {"model": str(onnx_path), "target": str(target), "precision": precision}
    try:
        limits = SandboxLimits(MEMORY_MB, file_mb=4096, readable=(str(onnx_path),), writable=str(folder))
        with Worker(WORKER, CONVERT_LIMIT_S, limits) as worker:
            worker.send(request, calibration)
            facts, _ = worker.receive()
        if target.is_symlink() or not target.is_file():
            raise WorkerFailure("crashed", "It wrote no file.")
    except WorkerFailure as failure:
        message = f"The model cannot be converted to {precision}: {failure.message}"
        raise BenchError(Problem("precision-failed", message, str(onnx_path))) from failure
    done: dict[str, Fact] = {"transform": TRANSFORMS[precision], "transformed_sha256": sha256_file(target)}
    return Converted(target, {**done, **facts})
