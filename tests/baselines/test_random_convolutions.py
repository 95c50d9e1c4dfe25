"""Random convolutions: the exported graph against the same steps in numpy and scipy."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from scipy.signal import correlate
from scipy.special import expit

from baselines.methods import random_convolutions as baseline
from baselines.probe.fixed import principal_components
from baselines.registry import find_baseline
from baselines.run import RunConfig, run_baseline
from bench.cohort.cohort import Cohort


def features_by_hand(pixels: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """(n, width) features by scipy's correlation, one image and one filter at a time."""
    rows = []
    for image in pixels / 255.0:
        padded = np.pad(image, baseline.FILTER_SIDE // 2)
        answers = np.stack([correlate(padded, f[0], mode="valid", method="direct") for f in filters])
        rectified = np.maximum(answers[:, :: baseline.STRIDE, :: baseline.STRIDE], 0)
        side = rectified.shape[1] // baseline.GRID
        shape = (len(filters), baseline.GRID, side, baseline.GRID, side)
        rows.append(rectified.reshape(shape).mean((2, 4)).reshape(-1))
    return np.array(rows)


def test_filters_are_fixed_by_the_seed_and_have_mean_0_and_norm_1() -> None:
    filters = baseline.random_filters(0)
    assert filters.shape == (32, 1, 9, 9)
    np.testing.assert_allclose(filters.mean((1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose((filters**2).sum((1, 2, 3)), 1, rtol=1e-5)
    np.testing.assert_array_equal(filters, baseline.random_filters(0))
    assert not np.array_equal(filters, baseline.random_filters(1))


def test_the_projection_whitens_the_training_features() -> None:
    generator = np.random.default_rng(3)
    features = (generator.normal(size=(400, 30)) @ generator.normal(size=(30, 30)) + 5).astype(np.float32)
    projection, offset = principal_components(features, 0)
    scores = features @ projection + offset
    np.testing.assert_allclose(scores.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(scores.T), np.eye(scores.shape[1]), atol=2e-2)


def test_the_graph_computes_what_the_steps_say(tiny: Cohort, tmp_path) -> None:
    ran = run_baseline("random-convolutions", tiny, tmp_path, RunConfig(quick=True))
    assert ran.model is not None
    pixels = np.random.default_rng(1).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    session = onnxruntime.InferenceSession(ran.model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": pixels[:, None].astype(np.float32) / 255})
    weights = {i.name: i for i in onnx.load(ran.model).graph.initializer}
    to_array = onnx.numpy_helper.to_array
    features = features_by_hand(pixels, baseline.random_filters(0).astype(np.float64))
    logits = features @ to_array(weights["probabilities/w"]) + to_array(weights["probabilities/b"])
    np.testing.assert_allclose(found, expit(logits), atol=2e-4)


def test_random_convolutions_need_no_torch() -> None:
    assert find_baseline("random-convolutions").needs_packages == ("onnx", "onnxruntime")
