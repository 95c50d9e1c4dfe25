"""A model is run in a process of its own: right predictions, or a problem, never a crash of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from PIL import Image

from bench.cohort.cohort import Cohort
from bench.cohort.decode import ImageRule
from bench.cohort.images import read_batches
from bench.errors import BenchError, Problem
from bench.runtime.predict import Limits, predict
from bench.runtime.workers.predict import repeated
from bench.sandbox.launch import SandboxLimits
from tests.runtime.models import (
    SIZE,
    build,
    busy_model,
    hungry_model,
    linear_model,
    linear_weights,
    manifest,
    save,
    tiny_cohort,
    value,
    with_age_and_sex,
)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return tiny_cohort(tmp_path_factory.mktemp("cohort") / "c", 41)


def by_hand(cohort: Cohort, rows: np.ndarray, scale: float = 255.0) -> np.ndarray:
    """Logits of `linear_model` in float64, without ONNX."""
    pixels = np.concatenate(list(read_batches(cohort, rows, SIZE, SIZE, 7)))
    return (pixels.reshape(len(rows), -1) / scale) @ linear_weights().astype(np.float64)


@pytest.mark.parametrize("batch", [1, 8, 64])
def test_predictions_are_those_of_the_definition_in_the_order_asked_for(
    tmp_path: Path, cohort: Cohort, batch: int
) -> None:
    path = save(linear_model(), tmp_path / "m.onnx")
    rows = np.array([5, 3, 40, 0, 17, *range(20, 35)])
    steps: list[tuple[int, int]] = []
    predictions = predict(
        path, manifest(), cohort, rows, batch=batch, progress=lambda done, total: steps.append((done, total))
    )
    expected = 1 / (1 + np.exp(-by_hand(cohort, rows)))
    assert list(predictions) == ["a", "b"]
    np.testing.assert_allclose(predictions["a"], expected[:, 0], atol=1e-6)
    np.testing.assert_allclose(predictions["b"], expected[:, 1], atol=1e-6)
    assert steps[-1] == (20, 20)
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})


def test_images_are_resized_by_the_rule_of_the_manifest(tmp_path: Path) -> None:
    cohort = tiny_cohort(tmp_path / "c", 10)
    for file in (tmp_path / "c").rglob("*.png"):
        with Image.open(file) as image_file:
            larger = image_file.resize((3 * SIZE, 2 * SIZE), Image.Resampling.NEAREST)
        larger.save(file)
    path = save(linear_model(), tmp_path / "m.onnx")
    said = manifest()
    assert said.model is not None
    image = said.model.image.model_copy(update={"resize": "bicubic", "antialias": False})
    stated = said.model_copy(update={"model": said.model.model_copy(update={"image": image})})
    rows = np.arange(10)
    pixels = np.concatenate(list(read_batches(cohort, rows, SIZE, SIZE, 7, ImageRule("bicubic", False))))
    expected = pixels.reshape(10, -1) / 255.0 @ linear_weights().astype(np.float64)
    predictions = predict(path, stated, cohort, rows, batch=4)
    np.testing.assert_allclose(predictions["a"], 1 / (1 + np.exp(-expected[:, 0])), atol=1e-6)
    assert np.abs(predictions["a"] - predict(path, said, cohort, rows, batch=4)["a"]).max() > 1e-6


def test_age_and_sex_go_in_beside_the_image(tmp_path: Path, cohort: Cohort) -> None:
    path = save(with_age_and_sex(), tmp_path / "m.onnx")
    said = manifest({"a": "score"}, age="years", sex="male", activation="none")
    rows = np.arange(10)
    predicted = predict(path, said, cohort, rows, batch=4)["a"]
    pixels = np.concatenate(list(read_batches(cohort, rows, SIZE, SIZE, 10))).reshape(10, -1)
    male = (rows % 2 == 0).astype(float)
    np.testing.assert_allclose(predicted, pixels.mean(axis=1) / 255 + 0.05 + male / 10, atol=1e-6)


def test_images_are_repeated_to_fill_a_batch_of_fixed_size() -> None:
    image = np.arange(6).reshape(3, 2)
    images = repeated({"image": image}, 7)["image"]
    np.testing.assert_array_equal(images, image[[0, 1, 2, 0, 1, 2, 0]])
    assert repeated({"image": image}, 3)["image"] is image


def test_no_images_give_empty_columns(tmp_path: Path, cohort: Cohort) -> None:
    path = save(linear_model(), tmp_path / "m.onnx")
    predictions = predict(path, manifest(), cohort, np.arange(0))
    assert {name: len(column) for name, column in predictions.items()} == {"a": 0, "b": 0}


def scaled(factor: float) -> Any:
    """`linear_model` with its outputs multiplied."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["linear"]),
        helper.make_node("Mul", ["linear", "k"], ["scores"]),
    ]
    weights = {"w": linear_weights(), "k": np.array(factor, np.float32)}
    return build(nodes, [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])], weights)


def fault(
    model: Any, tmp_path: Path, cohort: Cohort, said: Any = None, limits: Limits | None = None
) -> tuple[str, str]:
    """Code and message of the first problem."""
    path = save(model, tmp_path / "m.onnx")
    with pytest.raises(BenchError) as caught:
        predict(path, said or manifest(), cohort, np.arange(6), limits=limits)
    assert caught.value.exit_code == 1
    problem = caught.value.problems[0]
    assert str(tmp_path) not in problem.message
    assert problem.where.startswith(str(path))
    return problem.code, problem.message


def test_limits_that_are_not_enforced_are_named_with_the_consequence(
    tmp_path: Path, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Limits, "sandbox", lambda *_, **__: SandboxLimits(readable=None))
    notices: list[Problem] = []
    path = save(linear_model(), tmp_path / "m.onnx")
    predict(path, manifest(), cohort, np.arange(6), notices=notices)
    (notice,) = notices
    assert (notice.code, notice.severity, notice.where) == ("model-confinement", "notice", str(path))
    assert "no programs: the driver of a GPU needs more" in notice.message
    assert "whose author you do not trust" in notice.message


def test_nan_and_values_that_are_no_probabilities(tmp_path: Path, cohort: Cohort) -> None:
    code, message = fault(scaled(np.nan), tmp_path, cohort)
    assert (code, message) == ("model-values", "6 of 6 predictions are NaN or infinite.")
    code, message = fault(scaled(100), tmp_path, cohort, manifest(activation="none"))
    assert code == "predictions-out-of-range"
    path = save(scaled(100), tmp_path / "m.onnx")
    free = manifest(activation="none", scores="uncalibrated")
    predictions = predict(path, free, cohort, np.arange(6))
    np.testing.assert_allclose(predictions["a"], 100 * by_hand(cohort, np.arange(6))[:, 0], rtol=1e-4)


def test_a_model_that_the_runtime_refuses(tmp_path: Path, cohort: Cohort) -> None:
    nodes = [
        helper.make_node("Reshape", ["image", "shape"], ["flat"]),  # the batch of 2 is baked in
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
    ]
    weights = {"w": linear_weights(), "shape": np.array([2, SIZE * SIZE], np.int64)}
    model = build(nodes, [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])], weights)
    code, message = fault(model, tmp_path, cohort)
    assert code == "model-run"
    assert "reshape" in message.lower()


def test_outputs_of_another_length(tmp_path: Path, cohort: Cohort) -> None:
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["each"]),
        helper.make_node("ReduceMean", ["each"], ["scores"], axes=[0], keepdims=1),
    ]
    model = build(
        nodes,
        [value("image", ["N", 1, SIZE, SIZE])],
        [value("scores", ["M", 2])],
        {"w": linear_weights()},
        opset=17,
    )
    code, message = fault(model, tmp_path, cohort)
    assert (code, "(1, 2) for 6 images" in message) == ("model-run", True)


def test_a_model_that_never_ends_is_ended(tmp_path: Path, cohort: Cohort) -> None:
    code, message = fault(busy_model(10_000, 700), tmp_path, cohort, limits=Limits(start_s=2.0, image_s=0.0))
    assert (code, message) == ("model-timeout", "It did not end within 2 s.")


def test_a_model_that_eats_memory_is_ended(tmp_path: Path, cohort: Cohort) -> None:
    code, _ = fault(hungry_model(20), tmp_path, cohort, limits=Limits(memory_mb=4096))
    assert code == "model-memory"


def test_a_crash_of_the_runtime_is_a_problem(
    tmp_path: Path, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runtime.predict.WORKER", "tests.runtime.failing_worker")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    code, message = fault(linear_model(), tmp_path, cohort)
    assert code == "model-crashed"
    assert "SIGSEGV" in message


def test_a_process_that_answers_other_columns_is_a_problem(
    tmp_path: Path, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runtime.predict.WORKER", "tests.runtime.hostile_worker")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    code, message = fault(linear_model(), tmp_path, cohort)
    assert (code, message) == ("model-crashed", "The answer of the process has no column for a.")


def test_missing_images_end_the_run(tmp_path: Path) -> None:
    cohort = tiny_cohort(tmp_path / "c", 8)
    (tmp_path / "c" / "images" / "i005.png").unlink()
    path = save(linear_model(), tmp_path / "m.onnx")
    with pytest.raises(BenchError) as caught:
        predict(path, manifest(), cohort, np.arange(8), batch=2)
    assert caught.value.problems[0].code == "images-unreadable"


def test_an_unavailable_backend_stops_before_anything_runs(tmp_path: Path, cohort: Cohort) -> None:
    path = save(linear_model(), tmp_path / "m.onnx")
    with pytest.raises(BenchError) as caught:
        predict(path, manifest(), cohort, np.arange(4), backend="nonsense")
    assert caught.value.problems[0].code == "backend-unknown"
