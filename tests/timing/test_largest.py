"""The largest batch that fits, on models that are planted to fit up to a size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from bench.choices import Precision
from bench.cohort.cohort import Cohort
from bench.errors import BenchError
from bench.runtime.predict import Limits
from bench.timing.time_entries import with_largest
from tests.runtime.models import SIZE, build, linear_weights, manifest, save, tiny_cohort, value

PIXELS = SIZE * SIZE


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return tiny_cohort(tmp_path_factory.mktemp("cohort") / "c", 12)


def greedy_model(megabytes_per_image: int) -> object:
    """A model whose one run asks for so much memory for each image."""
    repeats = megabytes_per_image * 2**20 // (4 * PIXELS)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Tile", ["flat", "repeats"], ["huge"]),
        helper.make_node("ReduceMean", ["huge", "axis"], ["level"], keepdims=1),
        helper.make_node("MatMul", ["flat", "w"], ["linear"]),
        helper.make_node("Add", ["linear", "level"], ["scores"]),
    ]
    weights = {
        "repeats": np.array([1, repeats], np.int64),
        "axis": np.array([1], np.int64),
        "w": linear_weights(),
    }
    return build(nodes, [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])], weights)


def test_the_batch_is_doubled_until_memory_runs_out(cohort: Cohort, tmp_path: Path) -> None:
    path = save(greedy_model(150), tmp_path / "m.onnx")  # type: ignore[arg-type]
    small = Limits(memory_mb=1200)
    result = with_largest((1,), path, manifest(), cohort, "onnxruntime-cpu", Precision.FP32, limits=small)
    assert max(result) < 8  # which would be 1.2 GB of its own
    ample = with_largest((1,), path, manifest(), cohort, "onnxruntime-cpu", Precision.FP32, cap=2)
    assert ample == (1, 2)


def test_nothing_beyond_the_cap_is_tried(cohort: Cohort, tmp_path: Path) -> None:
    path = save(greedy_model(1), tmp_path / "m.onnx")  # type: ignore[arg-type]
    assert with_largest((1, 8), path, manifest(), cohort, "onnxruntime-cpu", Precision.FP32, cap=31) == (
        1,
        8,
        16,
    )
    assert with_largest((1, 8), path, manifest(), cohort, "onnxruntime-cpu", Precision.FP32, cap=8) == (1, 8)


def test_only_memory_and_time_mean_that_a_batch_does_not_fit(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(greedy_model(1), tmp_path / "m.onnx")  # type: ignore[arg-type]
    monkeypatch.setattr("bench.timing.time_entries.WORKER", "tests.runtime.failing_worker")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    with pytest.raises(BenchError) as caught:
        with_largest((1,), path, manifest(), cohort, "onnxruntime-cpu", Precision.FP32, cap=2)
    (problem,) = caught.value.problems
    assert problem.code == "timing-largest"
    assert "Batch 2 could not be tried" in problem.message
