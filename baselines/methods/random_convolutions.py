"""Random convolutions: fixed random filters, principal components and logistic regression in one ONNX file.

The filters are drawn, never trained (Saxe et al. 2011, "On random weights and unsupervised feature learning",
ICML). It needs no torch, so that an image model can be trained and timed after the smallest installation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from baselines.api import Baseline, Choices, Result, TrainingTask
from baselines.describe import describe
from bench.metrics.validation import Floats

if TYPE_CHECKING:
    from baselines.probe.encoder import Encoder, Features

SIDE = 64
FILTERS = 32
FILTER_SIDE = 9
STRIDE = 2
GRID = 8  # the rectified answers are averaged over GRID x GRID places
COMPONENTS = 128
PCA_IMAGES = 10_000
FEATURES = "features"
MODEL = "model.onnx"

DESCRIPTION = (
    f"{FILTERS} random filters of {FILTER_SIDE} by {FILTER_SIDE} pixels that are not trained, rectified and "
    f"averaged over {GRID} by {GRID} places; {COMPONENTS} principal components of the training images; "
    "logistic regression for each target with a penalty chosen on val ({chosen})."
)


def random_filters(seed: int) -> npt.NDArray[np.float32]:
    """(FILTERS, 1, FILTER_SIDE, FILTER_SIDE) filters of mean 0 and norm 1, the same on every machine."""
    from scipy.special import ndtri

    words = np.random.Philox(key=seed).random_raw(FILTERS * FILTER_SIDE**2)
    normal = ndtri(((words >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52)
    filters = normal.reshape(FILTERS, 1, FILTER_SIDE, FILTER_SIDE)
    filters -= filters.mean((2, 3), keepdims=True)
    filters /= np.sqrt((filters**2).sum((2, 3), keepdims=True))
    return np.asarray(filters, np.float32)


def build_encoder(task: TrainingTask) -> Encoder:
    """Write the filters as an ONNX encoder of 8-bit grey images into the run's folder."""
    from onnx import TensorProto, helper, numpy_helper

    from baselines.probe.encoder import Encoder, EncoderFile
    from bench.submission.manifest import ImageInput

    pooled = SIDE // STRIDE // GRID
    nodes = [
        helper.make_node(
            "Conv",
            ["image", "filters"],
            ["answers"],
            kernel_shape=[FILTER_SIDE] * 2,
            strides=[STRIDE] * 2,
            pads=[FILTER_SIDE // 2] * 4,
        ),
        helper.make_node("Relu", ["answers"], ["rectified"]),
        helper.make_node(
            "AveragePool", ["rectified"], ["pooled"], kernel_shape=[pooled] * 2, strides=[pooled] * 2
        ),
        helper.make_node("Flatten", ["pooled"], [FEATURES]),
    ]
    graph = helper.make_graph(
        nodes,
        "random-convolutions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", FILTERS * GRID**2])],
        [numpy_helper.from_array(random_filters(task.seed), "filters")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = task.folder / "encoder.onnx"
    path.write_bytes(model.SerializeToString())
    described = EncoderFile(
        schema="encoder/1",
        name="random convolutions",
        file=path.name,
        features=FEATURES,
        image=ImageInput(name="image", height=SIDE, width=SIDE),
        pretrained_weights="none",
        external_data="none",
    )
    return Encoder(described, path, model)


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


def run(task: TrainingTask) -> Result:
    """Encode, project, fit one regression for each target, and join everything in one ONNX file.

    Raises:
        BenchError: There is nothing to choose on (``baseline-no-training``).
    """
    from baselines.probe.encoder import encode
    from baselines.probe.head import QUICK_STRENGTHS, STRENGTHS, Probe, export_probe, fit_probe
    from baselines.tabular.fit import require_val
    from bench.submission.manifest import ModelInputs

    require_val(task)
    encoder = build_encoder(task)
    views = (("training", task.train), ("val", task.val), ("test", task.test))
    train, val, test = (encode(encoder, view, task.progress, name) for name, view in views)
    projection, offset = principal_components(train, task.seed)
    train_scores, val_scores = (
        (features @ projection + offset).astype(np.float32) for features in (train, val)
    )
    probes = {}
    for done, target in enumerate(task.targets):
        task.progress(f"fitting {target}", done, len(task.targets))
        fitted = fit_probe(
            train_scores,
            task.train.labels[target],
            val_scores,
            task.val.labels[target],
            QUICK_STRENGTHS if task.quick else STRENGTHS,
        )
        bias = fitted.bias + float(offset @ fitted.weights)
        probes[target] = Probe(projection @ fitted.weights, bias, fitted.strength)
    task.progress("fitted", len(task.targets), len(task.targets))
    outputs = export_probe(encoder, probes, task.folder / MODEL)
    chosen = ", ".join(f"{t} C = {p.strength:g}" for t, p in probes.items() if p.strength is not None)
    manifest = describe(
        task,
        "Random convolutions",
        DESCRIPTION.format(chosen=chosen),
        ("image",),
        parameters=(FILTERS * GRID**2 + 1) * len(probes),
        model=ModelInputs(image=encoder.said.image, outputs=outputs),
    )
    predictions = {target: probe.probabilities(test) for target, probe in probes.items()}
    return Result(manifest, predictions, task.folder / MODEL)


def side(quick: bool, choices: Choices) -> int:  # noqa: ARG001
    """Side of the images in pixels."""
    return SIDE


BASELINE = Baseline(
    "random-convolutions",
    "fixed random filters, logistic; one ONNX file, no torch",
    run,
    needs_images=True,
    needs_packages=("onnx", "onnxruntime"),
    side=side,
    quick=True,
)
