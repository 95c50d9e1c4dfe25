"""Frozen encoder: its ONNX file, its description, and the features it computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from baselines.api import TrainingTask, UnlabelledImages
from baselines.tabular.fit import require_val
from bench.documents import Document, read_toml
from bench.errors import BenchError, Problem, raise_errors
from bench.onnx.file import read_onnx
from bench.onnx.graph import graph_problems
from bench.onnx.interface import interface_problems
from bench.progress import StageProgress
from bench.runtime.backends.registry import DEFAULT_BACKEND, require_backend
from bench.runtime.inputs import image_tensor
from bench.sandbox.launch import SandboxLimits
from bench.sandbox.worker_process import Worker, WorkerFailure
from bench.submission.manifest import ImageInput, ModelInputs, Text

BATCH = 32
START_S, IMAGE_S = 120.0, 5.0  # time limits of the encoder's process
MEMORY_MB = 16_384
WORKER = "baselines.probe.encode_worker"
CODE = "baseline-encoder"

Features = npt.NDArray[np.float32]


class EncoderFile(Document):
    """Description of an encoder: ``encoder.toml``."""

    schema_: Literal["encoder/1"] = Field(alias="schema")
    name: str = Field(min_length=1, max_length=100, description="As the board shows it.")
    file: str = Field(min_length=1, description="The ONNX file, beside this one or below.")
    features: str = Field(min_length=1, description="Output with the features, float32 (N, width).")
    image: ImageInput = Field(description="How an image goes in, as in a submission's [model.image].")
    description: str = Field(default="", max_length=800)
    pretrained_weights: Text = Field(description="What it was trained from and on.")
    external_data: Text = Field(description="Data beyond the cohort that it has seen.")


@dataclass(frozen=True)
class Encoder:
    """Encoder whose file was checked without running it.

    Attributes:
        description: Its description.
        path: Its ONNX file.
        model: The parsed `onnx.ModelProto`.
    """

    description: EncoderFile
    path: Path
    model: Any


def read_description(path: Path) -> EncoderFile:
    """Read the description of an encoder.

    Raises:
        BenchError: Invalid description (``baseline-encoder``), every fault listed.
    """
    description = read_toml(EncoderFile, path, CODE)
    if description.image.height != description.image.width:
        message = (
            f"image: {description.image.height} by {description.image.width} pixels; a square is needed."
        )
        raise BenchError(Problem(CODE, message, where=str(path)))
    return description


def open_encoder(path: Path) -> Encoder:
    """Open an encoder by its description; the ONNX file is parsed as data and checked.

    Raises:
        BenchError: Invalid description (``baseline-encoder``), invalid graph, or an input or output with
            another name, type or shape; every fault listed.
    """
    description = read_description(path)
    onnx_path = path.parent / description.file
    model = read_onnx(onnx_path)
    declared = ModelInputs(image=description.image, outputs={"features": f"{description.features}:0"})
    where = str(onnx_path)
    faults, _ = graph_problems(model, where)
    raise_errors([*faults, *interface_problems(model, declared, where)])
    return Encoder(description, onnx_path, model)


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
