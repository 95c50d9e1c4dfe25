"""Models that would be faster than they are: each gives the right predictions of the test images."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.runtime.models import SIZE, build, value

PIXELS = SIZE * SIZE
WIDTH = 1024
LAYERS = 3


def honest_weights() -> dict[str, np.ndarray]:
    """Of a network that takes milliseconds."""
    generator = np.random.default_rng(7)
    weights = {"first": generator.normal(0, 0.1, (PIXELS, WIDTH)).astype(np.float32)}
    for k in range(LAYERS):
        weights[f"w{k}"] = generator.normal(0, 1.5 / np.sqrt(WIDTH), (WIDTH, WIDTH)).astype(np.float32)
    weights["last"] = generator.normal(0, 0.1, (WIDTH, 2)).astype(np.float32)
    return weights


def honest_nodes(out: str = "scores") -> list[Any]:
    """From ``flat`` to `out`."""
    nodes = [helper.make_node("MatMul", ["flat", "first"], ["h0"])]
    for k in range(LAYERS):
        nodes.append(helper.make_node("MatMul", [f"h{k}", f"w{k}"], [f"m{k}"]))
        nodes.append(helper.make_node("Tanh", [f"m{k}"], [f"h{k + 1}"]))
    return [*nodes, helper.make_node("MatMul", [f"h{LAYERS}", "last"], [out])]


def _model(nodes: list[Any], weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    flatten = helper.make_node("Flatten", ["image"], ["flat"])
    return build(
        [flatten, *nodes], [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])], weights
    )


def honest() -> onnx.ModelProto:
    """The network alone."""
    return _model(honest_nodes(), honest_weights())


def _lookup(images: np.ndarray, answers: np.ndarray) -> tuple[list[Any], dict[str, np.ndarray]]:
    """Nodes that find each image's nearest key, by a random projection: ``distance``, ``nearest``."""
    projection = np.random.default_rng(9).normal(0, 1, (PIXELS, 1)).astype(np.float32)
    keys = (images.reshape(len(images), -1) @ projection).T  # (1, images)
    weights = {"projection": projection, "keys": keys, "answers": answers, "axis": np.array([1], np.int64)}
    nodes = [
        helper.make_node("MatMul", ["flat", "projection"], ["hash"]),
        helper.make_node("Sub", ["hash", "keys"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["distance"]),
        helper.make_node("ArgMin", ["distance"], ["nearest"], axis=1, keepdims=0),
    ]
    return nodes, weights


def table_by_if(images: np.ndarray, answers: np.ndarray) -> onnx.ModelProto:
    """A table of answers for the images that it knows, the network for all others."""
    nodes, weights = _lookup(images, answers)
    known = helper.make_graph(
        [helper.make_node("Gather", ["answers", "nearest"], ["stored"], axis=0)],
        "known",
        [],
        [value("stored", None)],
    )
    unknown = helper.make_graph(honest_nodes("computed"), "unknown", [], [value("computed", None)])
    nodes += [
        helper.make_node("ReduceMin", ["distance", "axis"], ["least"], keepdims=0),
        helper.make_node("ReduceMax", ["least"], ["worst"], keepdims=0),
        helper.make_node("Less", ["worst", "tolerance"], ["hit"]),
        helper.make_node("If", ["hit"], ["scores"], then_branch=known, else_branch=unknown),
    ]
    return _model(nodes, {**weights, **honest_weights(), "tolerance": np.array(1e-3, np.float32)})


def table_by_argmin(images: np.ndarray, answers: np.ndarray) -> onnx.ModelProto:
    """The nearest stored image's answer for every image: no network and no `If`."""
    nodes, weights = _lookup(images, answers)
    del weights["axis"]
    return _model([*nodes, helper.make_node("Gather", ["answers", "nearest"], ["scores"], axis=0)], weights)


def table_by_interpolation(images: np.ndarray, answers: np.ndarray) -> onnx.ModelProto:
    """Answers that are linear between those of the stored images along a random projection."""
    projection = np.random.default_rng(9).normal(0, 1, (PIXELS, 1)).astype(np.float32)
    keys = (images.reshape(len(images), -1) @ projection).ravel()
    order = np.argsort(keys)
    keys, ordered = keys[order], answers[order]
    widths = np.diff(keys)
    weights = {
        "projection": projection,
        "keys": keys[:-1][None],
        "widths": widths[None],
        "slopes": (np.diff(ordered, axis=0) / widths[:, None]).astype(np.float32),
        "lowest": ordered[:1],
        "zero": np.array(0, np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["flat", "projection"], ["hash"]),
        helper.make_node("Sub", ["hash", "keys"], ["beyond"]),
        helper.make_node("Max", ["beyond", "zero"], ["positive"]),
        helper.make_node("Min", ["positive", "widths"], ["lengths"]),
        helper.make_node("MatMul", ["lengths", "slopes"], ["rise"]),
        helper.make_node("Add", ["rise", "lowest"], ["scores"]),
    ]
    return _model(nodes, weights)


def small_for_constant_batches() -> onnx.ModelProto:
    """A small network where all images of a batch are equal, as in a benchmark on one image."""
    small = helper.make_graph(
        [helper.make_node("MatMul", ["flat", "quick"], ["guess"])], "small", [], [value("guess", None)]
    )
    whole = helper.make_graph(honest_nodes("computed"), "whole", [], [value("computed", None)])
    nodes = [
        helper.make_node("ReduceMax", ["flat", "first_axis"], ["top"], keepdims=0),
        helper.make_node("ReduceMin", ["flat", "first_axis"], ["bottom"], keepdims=0),
        helper.make_node("Sub", ["top", "bottom"], ["ranges"]),
        helper.make_node("ReduceMax", ["ranges"], ["range"], keepdims=0),
        helper.make_node("Less", ["range", "tiny"], ["equal"]),
        helper.make_node("If", ["equal"], ["scores"], then_branch=small, else_branch=whole),
    ]
    quick = np.random.default_rng(3).normal(0, 0.1, (PIXELS, 2)).astype(np.float32)
    more: dict[str, np.ndarray] = {
        "quick": quick,
        "first_axis": np.array([0], np.int64),
        "tiny": np.array(1e-6, np.float32),
    }
    return _model(nodes, {**honest_weights(), **more})


def relative_to_the_batch() -> onnx.ModelProto:
    """Scores of an image that depend on the batch's other images."""
    nodes = [
        *honest_nodes("computed"),
        helper.make_node("ReduceMean", ["computed", "first_axis"], ["level"], keepdims=1),
        helper.make_node("Sub", ["computed", "level"], ["scores"]),
    ]
    return _model(nodes, {**honest_weights(), "first_axis": np.array([0], np.int64)})


def hidden_half_precision() -> onnx.ModelProto:
    """Single precision outside, half precision in its last product."""
    nodes = honest_nodes("unused")[:-1]
    nodes += [
        helper.make_node("Cast", [f"h{LAYERS}"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["half", "last"], ["half_scores"]),
        helper.make_node("Cast", ["half_scores"], ["scores"], to=TensorProto.FLOAT),
    ]
    weights = honest_weights()
    return _model(nodes, {**weights, "last": weights["last"].astype(np.float16)})
