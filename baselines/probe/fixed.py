"""Fixed features in ONNX: encoders that are not trained, and principal components of what they give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from baselines.api import TrainingTask
from baselines.probe.encoder import Encoder, Features
from bench.metrics.validation import Floats
from bench.submission.manifest import EncoderFile, ImageInput

COMPONENTS = 128
PCA_IMAGES = 10_000
IMAGE = "image"
FEATURES = "features"
OPSET, IR_VERSION = 17, 8


def fixed_encoder(
    task: TrainingTask,
    name: str,
    side: int,
    nodes: Sequence[Any],
    last: str,
    width: int,
    constants: Sequence[Any],
) -> Encoder:
    """Write an encoder of 8-bit grey images into the run's folder.

    Args:
        task: Whose folder.
        name: Name of the encoder.
        side: Side of the images in pixels.
        nodes: ONNX nodes from ``image`` (N, 1, side, side).
        last: Their last output, which is flattened.
        width: Number of features.
        constants: ONNX initialisers of the nodes.
    """
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [*nodes, helper.make_node("Flatten", [last], [FEATURES])],
        name.replace(" ", "-"),
        [helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, ["batch", 1, side, side])],
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", width])],
        list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    path = task.folder / "encoder.onnx"
    path.write_bytes(model.SerializeToString())
    described = EncoderFile(
        schema="encoder/1",
        name=name,
        file=path.name,
        features=FEATURES,
        image=ImageInput(name=IMAGE, height=side, width=side),
        pretrained_weights="none",
        external_data="none",
    )
    return Encoder(described, path)


def principal_components(features: Features, seed: int) -> tuple[Floats, Floats]:
    """Whitening projection of the training features.

    Args:
        features: (n, width) features of the training images, of which at most PCA_IMAGES are used.
        seed: Of the randomised decomposition.

    Returns:
        (width, k) projection and (k,) offset; `features @ projection + offset` has mean 0 and variance 1.
    """
    from sklearn.decomposition import PCA

    chosen = np.unique(
        np.linspace(0, len(features) - 1, min(len(features), PCA_IMAGES)).round().astype(np.intp)
    )
    sample = features[chosen]
    mean, spread = sample.mean(0), sample.std(0)
    spread[spread < 1e-6] = np.inf
    fitted: Any = PCA(
        min(COMPONENTS, *sample.shape), svd_solver="randomized", random_state=seed, whiten=True
    ).fit((sample - mean) / spread)
    whitening = fitted.components_.T / np.sqrt(fitted.explained_variance_ + 1e-12)
    projection = whitening / spread[:, None]
    offset = -(mean @ projection) - fitted.mean_ @ whitening
    return projection, offset
