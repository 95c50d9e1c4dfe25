"""Frozen encoder: its ONNX file, its description, and the features it computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from baselines.api import TrainingTask, UnlabelledImages
from baselines.tabular.fit import require_val
from bench.documents import MAX_TOML_BYTES
from bench.errors import BenchError, Problem, raise_errors
from bench.files import atomic_path
from bench.onnx.file import MODEL_LIMIT_BYTES, refuse_folder_or_large, require_onnx, unreadable
from bench.progress import StageProgress
from bench.runtime.backends.registry import DEFAULT_BACKEND, require_backend
from bench.runtime.inputs import image_tensor
from bench.sandbox.bounded_read import open_bounded
from bench.sandbox.launch import SandboxLimits
from bench.sandbox.reader import read_document
from bench.sandbox.worker_process import Worker, WorkerFailure, problem_of
from bench.submission.manifest import EncoderFile, ModelInputs

BATCH = 32
START_S, IMAGE_S = 120.0, 5.0  # time limits of the encoder's process
FILE_S = 60.0  # of the process that checks or extends its file
MEMORY_MB = 16_384
WORKER = "baselines.probe.encode_worker"
CODE = "baseline-encoder"

Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Encoder:
    """Encoder whose file was checked without running it; only a sandboxed process parses the file.

    Attributes:
        description: Its description.
        path: Its ONNX file.
    """

    description: EncoderFile
    path: Path

    def write_extended(self, addition: Any, target: Path) -> None:
        """Write the encoder with what is computed from its features.

        Args:
            addition: `onnx.GraphProto` whose nodes, constants and inputs are appended to those of the
                encoder, and whose outputs replace the encoder's.
            target: The new ONNX file.

        Raises:
            BenchError: The process that extends the file failed (``baseline-encoder``).
        """
        data = addition.SerializeToString()
        with _file_worker(self.path) as worker, atomic_path(target) as part:
            worker.send({"do": "extend", "model": str(self.path), "bytes": len(data)})
            worker.send_bytes([data])
            size = int(worker.receive()[0]["bytes"])
            if not 0 < size <= MODEL_LIMIT_BYTES:
                raise WorkerFailure("crashed", "It gave no valid answer.")
            part.unlink()
            worker.receive_file(part, size)


@contextmanager
def _file_worker(path: Path) -> Iterator[Worker]:
    """Yield the sandboxed process that may read an encoder's file; its failures are problems of the file."""
    limits = SandboxLimits(MEMORY_MB, readable=(str(path.resolve()),))
    try:
        with Worker(WORKER, FILE_S, limits) as worker:
            yield worker
    except (WorkerFailure, KeyError, TypeError, ValueError) as error:
        message = error.message if isinstance(error, WorkerFailure) else "No valid answer."
        raise BenchError(Problem(CODE, f"The process that reads it failed: {message}", str(path))) from error


def read_description(path: Path) -> EncoderFile:
    """Read the description of an encoder in the sandboxed worker.

    Raises:
        BenchError: Invalid description (``baseline-encoder``), every fault listed.
    """
    description, _ = read_document(EncoderFile, path, CODE, limit=MAX_TOML_BYTES, toml=True)
    if Path(description.file).is_absolute() or ".." in Path(description.file).parts:
        raise BenchError(Problem(CODE, "file: it must be beside the description or below.", str(path)))
    if description.image.height != description.image.width:
        message = (
            f"image: {description.image.height} by {description.image.width} pixels; a square is needed."
        )
        raise BenchError(Problem(CODE, message, where=str(path)))
    return description


def open_encoder(path: Path) -> Encoder:
    """Open an encoder by its description; a sandboxed process parses the ONNX file as data and checks it.

    Raises:
        BenchError: Invalid description (``baseline-encoder``), invalid graph, or an input or output with
            another name, type or shape; every fault listed.
    """
    description = read_description(path)
    onnx_path = path.parent / description.file
    require_onnx()
    refuse_folder_or_large(onnx_path)
    with open_bounded(onnx_path, MODEL_LIMIT_BYTES, unreadable(onnx_path)):
        pass  # refuses a file that cannot be read
    declared = ModelInputs(image=description.image, outputs={"features": f"{description.features}:0"})
    with _file_worker(onnx_path) as worker:
        worker.send({"do": "check", "model": str(onnx_path), "declared": declared.plain()})
        problems = [problem_of(item) for item in worker.receive()[0]["problems"]]
    raise_errors(problems)
    return Encoder(description, onnx_path)


def encode_parts(encoder: Encoder, task: TrainingTask) -> tuple[Features, Features, Features]:
    """Compute the features of the training, val and test images.

    Raises:
        BenchError: There is nothing to choose on (``baseline-no-training``), or as `encode`.
    """
    require_val(task)
    parts = (("training", task.train), ("val", task.val), ("test", task.test))
    train, val, test = (encode(encoder, view, task.progress, name) for name, view in parts)
    return train, val, test


def encode(encoder: Encoder, view: UnlabelledImages, progress: StageProgress, part: str) -> Features:
    """Compute features (n, width) of a view's images in a sandboxed process.

    Args:
        encoder: The encoder.
        view: The images.
        progress: Progress callback.
        part: Name of the view in progress messages.

    Raises:
        BenchError: The encoder failed, or a feature is not finite (``baseline-encoder``).
    """
    require_backend(DEFAULT_BACKEND)
    side, parts, encoded = encoder.description.image.height, [], 0
    request = {
        "do": "encode",
        "model": str(encoder.path),
        "backend": DEFAULT_BACKEND,
        "features": encoder.description.features,
        "batch": BATCH,
        "memory_mb": MEMORY_MB,
    }
    try:
        limits = SandboxLimits(MEMORY_MB, readable=(str(encoder.path.resolve()),))
        with Worker(WORKER, START_S + IMAGE_S * len(view), limits) as worker:
            worker.send(request)
            worker.receive()
            for pixels in view.pixels(side, side, batch=BATCH):
                worker.send(
                    {}, {encoder.description.image.name: image_tensor(pixels, encoder.description.image)}
                )
                parts.append(worker.receive()[1]["features"])
                encoded += len(pixels)
                progress(f"encoding {part} images", encoded, len(view))
    except WorkerFailure as failure:
        message = f"The encoder stopped after {encoded:,} of {len(view):,} images: {failure.message}"
        raise BenchError(Problem(CODE, message, where=str(encoder.path))) from failure
    return _finite(np.concatenate(parts), encoder)


def _finite(features: Features, encoder: Encoder) -> Features:
    if bad := int((~np.isfinite(features).all(1)).sum()):
        message = f"The features of {bad:,} of {len(features):,} images are NaN or infinite."
        raise BenchError(Problem(CODE, message, where=str(encoder.path)))
    return features
