"""A frozen encoder: one ONNX file, what its user says about it, and the features that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from baselines.api import UnlabelledImages
from bench.documents import Document, read_toml
from bench.errors import BenchError, Problem, raise_errors
from bench.onnx.file import read_onnx
from bench.onnx.graph import graph_problems
from bench.onnx.interface import interface_problems
from bench.progress import StageProgress
from bench.runtime.backends.registry import DEFAULT_BACKEND, require_backend
from bench.runtime.inputs import image_tensor
from bench.runtime.worker_process import Worker, WorkerFailure
from bench.submission.manifest import ImageInput, ModelInputs, Text

BATCH = 32
START_S, IMAGE_S = 120.0, 5.0  # that the encoder's process may take
MEMORY_MB = 16_384
WORKER = "baselines.probe.encode_worker"
CODE = "baseline-encoder"

Features = npt.NDArray[np.float32]


class EncoderFile(Document):
    """What the user of an encoder says about it: ``encoder.toml``."""

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
    """An encoder whose file was checked and not run.

    Attributes:
        said: What its user says.
        path: The ONNX file.
        model: The parsed `onnx.ModelProto`.
    """

    said: EncoderFile
    path: Path
    model: Any


def read_description(path: Path) -> EncoderFile:
    """What the user of an encoder says about it.

    Raises:
        BenchError: ``baseline-encoder``, every fault listed.
    """
    said = read_toml(EncoderFile, path, CODE)
    if said.image.height != said.image.width:
        message = f"image: {said.image.height} by {said.image.width} pixels; a square is needed."
        raise BenchError(Problem(CODE, message, where=str(path)))
    return said


def open_encoder(path: Path) -> Encoder:
    """An encoder by its description; the ONNX file is parsed as data and checked, never trusted.

    Raises:
        BenchError: What is wrong with the description (``baseline-encoder``) or with the file, every fault
            listed: a stranger's graph, an input or output of another name, type or shape.
    """
    said = read_description(path)
    onnx_path = path.parent / said.file
    model = read_onnx(onnx_path)
    declared = ModelInputs(image=said.image, outputs={"features": f"{said.features}:0"})
    where = str(onnx_path)
    raise_errors([*graph_problems(model, where), *interface_problems(model, declared, where)])
    return Encoder(said, onnx_path, model)


def encode(encoder: Encoder, view: UnlabelledImages, progress: StageProgress, what: str) -> Features:
    """(n, width) features of a view's images, computed in a process of its own.

    Args:
        encoder: The encoder.
        view: Whose images.
        progress: Told how many are done.
        what: Words for the progress.

    Raises:
        BenchError: The encoder failed, or gave numbers that are not finite (``baseline-encoder``).
    """
    require_backend(DEFAULT_BACKEND)
    side, parts, done = encoder.said.image.height, [], 0
    request = {
        "model": str(encoder.path),
        "backend": DEFAULT_BACKEND,
        "features": encoder.said.features,
        "batch": BATCH,
        "memory_mb": MEMORY_MB,
    }
    try:
        with Worker(WORKER, START_S + IMAGE_S * len(view)) as worker:
            worker.send(request)
            worker.receive()
            for pixels in view.pixels(side, side, batch=BATCH):
                worker.send({}, {encoder.said.image.name: image_tensor(pixels, encoder.said.image)})
                parts.append(worker.receive()[1]["features"])
                done += len(pixels)
                progress(f"encoding {what} images", done, len(view))
    except WorkerFailure as failure:
        message = f"The encoder stopped after {done:,} of {len(view):,} images: {failure.message}"
        raise BenchError(Problem(CODE, message, where=str(encoder.path))) from failure
    return _finite(np.concatenate(parts), encoder)


def _finite(features: Features, encoder: Encoder) -> Features:
    if bad := int((~np.isfinite(features).all(1)).sum()):
        message = f"The features of {bad:,} of {len(features):,} images are NaN or infinite."
        raise BenchError(Problem(CODE, message, where=str(encoder.path)))
    return features
