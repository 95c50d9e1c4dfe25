"""Whole runs on ONNX Runtime, each block in a process of its own, and every way that one can end."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.choices import Precision
from bench.cohort.cohort import Cohort
from bench.documents import read_json
from bench.errors import BenchError
from bench.files import sha256_file, write_json
from bench.metrics.discrimination import auroc
from bench.runtime.predict import Limits, predict
from bench.sandbox.launch import KEPT_VARIABLES
from bench.timing.record import TimingRecord, device_slug
from bench.timing.time_model import time_model
from tests.runtime.models import (
    busy_model,
    hungry_model,
    linear_model,
    manifest,
    save,
    tiny_cohort,
    with_age_and_sex,
)
from tests.timing.fakes import BRIEF, SHORT

pytestmark = pytest.mark.usefixtures("no_ceilings")


@pytest.fixture(scope="module")
def stored(cohort: Cohort, model: Path) -> dict[str, np.ndarray]:
    return predict(model, manifest(), cohort, cohort.rows("test"))


@pytest.fixture(scope="module")
def record(cohort: Cohort, model: Path, stored: dict[str, np.ndarray]) -> TimingRecord:
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(sys, "argv", ["/home/ann/bin/bench", "time", "tiny", "--data=/secret/place/c"])
    try:
        return time_model(
            model, manifest(), cohort, stored, slug="tiny", batches=(1, 3), protocol=replace(SHORT, blocks=3)
        )
    finally:
        monkeypatch.undo()


def test_a_record_holds_what_was_measured_and_with_what(
    record: TimingRecord, cohort: Cohort, model: Path
) -> None:
    assert (record.slug, record.cohort, record.backend) == ("tiny", "tiny", "onnxruntime-cpu")
    assert (record.is_gpu, record.precision, record.inputs) == (False, "fp32", "cohort images")
    assert record.model_sha256 == sha256_file(model)
    assert record.fingerprint == cohort.split.fingerprint
    assert record.device == record.environment["cpu"]
    assert record.options["provider"] == "CPUExecutionProvider"
    assert record.options["onnxruntime"]
    assert record.argv == ("bench", "time", "tiny", "--data=c")
    assert record.protocol.name == "quick"
    assert record.roofline.mflop_per_image == pytest.approx(2e-6 * 24 * 24 * 2)
    assert record.roofline.device_gflop_per_s is not None
    assert [row.batch for row in record.batches] == [1, 3]


def test_each_row_has_every_figure(record: TimingRecord) -> None:
    for row in record.batches:
        assert (row.status, row.message, row.blocks) == ("ok", "", 3)
        found = row.end_to_end
        assert found.n >= 3 * SHORT.measure_runs
        assert len(found.block_p50_ms) == 3
        assert found.p50.low_ms <= found.p50.value_ms <= found.p50.high_ms
        assert found.p50_se_ms is not None
        assert row.compute.p50.value_ms is None
        assert "no device events" in row.compute.reason
        assert row.throughput.images_per_s > 0
        assert row.throughput.in_flight == 2
        assert row.cold_start.prepare_ms > 0
        assert row.stability.stable is not None
        assert row.peak_memory_mb > 10
        assert row.load_curve is not None
        assert [point.in_flight for point in row.load_curve] == [1, 2, 4]
        assert row.load_curve[1].images_per_s == pytest.approx(row.throughput.images_per_s)
        assert all(point.latency.p50.value_ms > 0 for point in row.load_curve)
        assert row.pipeline is not None
        assert 0 < row.pipeline.decode_ms < row.pipeline.latency.p50.value_ms


def test_requests_of_one_image_arrive_at_random(record: TimingRecord) -> None:
    one, three = record.batches
    assert three.server is None
    assert one.server is not None
    rates = [rate.requests_per_s for rate in one.server.rates]
    assert rates == sorted(rates)
    assert len(rates) == 4
    assert one.server.bound_ms == 100
    within = [r.requests_per_s for r in one.server.rates if (r.latency.p99.value_ms or np.inf) <= 100]
    assert one.server.requests_per_s == max(within, default=None)


def test_p99_is_null_where_there_are_too_few_runs(cohort: Cohort, model: Path) -> None:
    protocol = replace(SHORT, measure_s=0.0, measure_runs=20)
    found = time_model(model, manifest(), cohort, None, batches=(1,), protocol=protocol).batches[0].end_to_end
    assert (found.n, found.p99.value_ms) == (40, None)
    assert found.p99.reason == "40 runs; a 95% interval needs 368"
    assert found.p90.value_ms is not None


def test_the_timed_sessions_reproduced_the_predictions(record: TimingRecord) -> None:
    for row in record.batches:
        assert (row.parity.status, row.parity.images) == ("passed", 40)  # a fast model: all images
        assert row.parity.max_difference < 1e-6
        assert row.parity.auroc_difference == 0.0


def test_a_record_is_stored_and_read_back_without_ids_and_paths(record: TimingRecord, tmp_path: Path) -> None:
    path = tmp_path / record.file_name
    write_json(path, record.plain())
    assert path.name == f"{device_slug(record.device)}-onnxruntime-cpu-fp32.json"
    again = read_json(TimingRecord, path, "timing-invalid")
    assert again.batches[0].batch == 1
    assert again.row(1).end_to_end.p50.value_ms == pytest.approx(record.row(1).end_to_end.p50.value_ms)
    assert again.row(64) is None
    text = path.read_text()
    assert not [word for word in ("i000", "p0", "/home", "/tmp", "secret", "NaN") if word in text]
    assert json.loads(text)["schema"] == "timing/1.1"


def test_only_stable_rows_with_parity_are_ranked(record: TimingRecord) -> None:
    row = record.batches[0]
    steady = row.model_copy(update={"stability": row.stability.model_copy(update={"stable": True})})
    assert steady.ranked
    assert not steady.model_copy(update={"status": "timeout"}).ranked
    failed = row.parity.model_copy(update={"status": "failed"})
    assert not steady.model_copy(update={"parity": failed}).ranked
    assert not row.model_copy(update={"stability": row.stability.model_copy(update={"stable": None})}).ranked


def test_a_session_that_gives_other_predictions_fails_parity_and_stays(
    cohort: Cohort, model: Path, stored: dict[str, np.ndarray]
) -> None:
    wrong = manifest(image={"scale": 1.0})  # the normalisation was forgotten
    found = time_model(model, wrong, cohort, stored, batches=(1, 4), protocol=BRIEF)
    for row in found.batches:
        assert (row.status, row.parity.status, row.ranked) == ("ok", "failed", False), row.message
        assert row.end_to_end.p50.value_ms is not None
        assert row.parity.message
    swapped = {"a": stored["b"], "b": stored["a"]}
    found = time_model(model, manifest(), cohort, swapped, batches=(4,), protocol=BRIEF)
    assert "permuted" in found.batches[0].parity.message


def test_ages_and_sexes_go_into_the_timed_session(cohort: Cohort, tmp_path: Path) -> None:
    path = save(with_age_and_sex(), tmp_path / "m.onnx")
    said = manifest({"a": "score"}, age="years", sex="male", activation="none")
    predictions = predict(path, said, cohort, cohort.rows("test"))
    (row,) = time_model(path, said, cohort, predictions, batches=(2,), protocol=BRIEF).batches
    assert row.parity.status == "passed", row


def test_int8_is_calibrated_on_training_images_and_has_no_gate(
    cohort: Cohort, model: Path, stored: dict[str, np.ndarray]
) -> None:
    with pytest.raises(BenchError) as caught:  # every image of this cohort is test
        time_model(model, manifest(), cohort, stored, precision=Precision.INT8, batches=(2,), protocol=BRIEF)
    assert caught.value.problems[0].code == "precision-calibration"
    parts = np.where(np.arange(len(cohort)) % 2, "train", "test")
    halved = replace(cohort, split=replace(cohort.split, parts=parts))
    test = {target: values[halved.rows("test")] for target, values in stored.items()}
    found = time_model(
        model, manifest(), halved, test, precision=Precision.INT8, batches=(2,), protocol=BRIEF
    )
    assert found.precision == "int8"
    assert found.file_name.endswith("-onnxruntime-cpu-int8.json")
    assert found.model_sha256 == sha256_file(model) != found.options["transformed_sha256"]
    assert (found.options["transform"], found.options["calibration_images"]) == ("qdq-int8/1", 20)
    (row,) = found.batches
    assert (row.status, row.parity.status, row.ranked) == ("ok", "not_checked", False)
    assert 1e-6 < row.parity.max_difference < 0.2
    rows = halved.rows("test")
    assert set(found.own_auroc) == {"a"}  # of b there is one class in the test set
    assert found.own_auroc["a"] == pytest.approx(auroc(halved.targets["a"][rows], test["a"]), abs=0.05)


def test_without_images_random_pixels_are_timed_and_parity_is_not_checked(
    tmp_path: Path, model: Path
) -> None:
    cohort = tiny_cohort(tmp_path / "c", 12)
    for path in (tmp_path / "c" / "images").iterdir():
        path.unlink()
    (tmp_path / "c" / "images").rmdir()
    found = time_model(model, manifest(), cohort, {"a": np.zeros(12)}, batches=(1,), protocol=BRIEF)
    assert found.inputs == "random pixels"
    assert found.batches[0].status == "ok"
    assert found.batches[0].parity.status == "not_checked"
    assert "not available" in found.batches[0].parity.message


def failed_row(
    model: Any, cohort: Cohort, tmp_path: Path, limits: Limits | None = None, **changes: Any
) -> tuple[str, str]:
    """Status and message of the one row of a model that cannot be timed; all its figures are null."""
    path = save(model, tmp_path / "m.onnx")
    protocol = replace(SHORT, **changes)
    steps: list[tuple[int, int]] = []
    (row,) = time_model(
        path, manifest(), cohort, None, batches=(2,), protocol=protocol, limits=limits,
        progress=lambda done, total: steps.append((done, total)),
    ).batches  # fmt: skip
    assert row.end_to_end.p50.value_ms is None
    assert row.end_to_end.p50.reason
    assert row.throughput.images_per_s is None
    assert (row.stability.stable, row.parity.status, row.ranked) == (None, "not_checked", False)
    assert str(tmp_path) not in row.message
    assert steps[-1] == (2, 2)
    return row.status, row.message


def test_a_time_limit_is_a_result(cohort: Cohort, tmp_path: Path) -> None:
    status, message = failed_row(busy_model(10_000, 700), cohort, tmp_path, limit_s=2.0)
    assert (status, message) == ("timeout", "0 of 2 blocks had ended after 2 s, its limit.")


def test_too_little_memory_is_a_result(cohort: Cohort, tmp_path: Path) -> None:
    assert failed_row(hungry_model(20), cohort, tmp_path, Limits(memory_mb=4096))[0] == "out-of-memory"


def test_a_crash_is_a_result(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.timing.time_model.WORKER", "tests.runtime.failing_worker")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    status, message = failed_row(linear_model(), cohort, tmp_path)
    assert status == "crashed"
    assert "SIGSEGV" in message


@pytest.mark.parametrize("kind", ["queueing", "one-behind"])
def test_a_backend_that_answers_early_is_a_failed_row(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("bench.timing.time_model.WORKER", "tests.timing.early")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.setenv("EARLY_KIND", kind)
    monkeypatch.setattr("bench.sandbox.launch.KEPT_VARIABLES", (*KEPT_VARIABLES, "EARLY_KIND"))
    status, message = failed_row(linear_model(), cohort, tmp_path)
    assert status == "failed"
    assert "returned before" in message or "before its work is done" in message


def test_a_model_that_fails_at_one_batch_size_is_timed_at_the_others(cohort: Cohort, tmp_path: Path) -> None:
    from onnx import helper

    from tests.runtime.models import SIZE, build, linear_weights, value

    nodes = [
        helper.make_node("Reshape", ["image", "shape"], ["flat"]),  # a batch of 2 is baked in
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
    ]
    weights = {"w": linear_weights(), "shape": np.array([2, SIZE * SIZE], np.int64)}
    odd = build(nodes, [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])], weights)
    path = save(odd, tmp_path / "m.onnx")
    found = time_model(path, manifest(), cohort, None, batches=(1, 2, 3), protocol=BRIEF)
    assert [row.status for row in found.batches] == ["failed", "ok", "failed"]
    assert "reshape" in found.batches[0].message.lower()
    assert found.device != "unknown"


@pytest.mark.parametrize("batches", [(), (0,), (1, 1), (-3, 2)])
def test_batch_sizes_that_make_no_sense(cohort: Cohort, model: Path, batches: tuple[int, ...]) -> None:
    with pytest.raises(BenchError) as caught:
        time_model(model, manifest(), cohort, None, batches=batches, protocol=SHORT)
    assert caught.value.problems[0].code == "timing-batch"


def test_an_unavailable_backend_exits_3(cohort: Cohort, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runtime.backends.gpu.read_driver", lambda: None)
    with pytest.raises(BenchError) as caught:
        time_model(model, manifest(), cohort, None, backend="tensorrt", protocol=SHORT)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("device", "slug"),
    [
        ("AMD EPYC 7R13 48-Core Processor", "amd-epyc-7r13-48-core"),
        ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", "intel-xeon-platinum-8481c-cpu"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"),
        ("../../etc/passwd", "etc-passwd"),
        ("", "unknown"),
        ("x" * 200, "x" * 48),
    ],
)
def test_device_names_make_file_names(device: str, slug: str) -> None:
    assert device_slug(device) == slug
