"""Planted cheats fail, and honest models do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from bench.cohort.cohort import Cohort
from bench.errors import BenchError
from bench.runtime.accept import checked_model
from bench.runtime.backends.onnxruntime_cpu import OnnxRuntimeCpu
from bench.runtime.outputs import OutputSelector
from bench.runtime.predict import predict
from bench.timing.inputs import timed_inputs
from bench.timing.model_facts import control_flow, precision_fault, stored_precision
from bench.timing.record import TimingRecord
from bench.timing.time_model import time_model
from bench.timing.unseen import Integrity, check_integrity, predict_images, repeated_share, unseen_images
from tests.runtime.models import cnn_model, manifest, save
from tests.runtime.test_precision import conv_model
from tests.runtime.torch_models import FULL_SIZE, export, full_size_network
from tests.timing import cheats
from tests.timing.fakes import BRIEF, SHORT, FakeClock, FakeSession

pytestmark = pytest.mark.usefixtures("no_ceilings")

PICKS = [OutputSelector("a", "scores", False)]
BATCHES = [pytest.param(1, marks=pytest.mark.full_size), 8]


@pytest.fixture(scope="module")
def truth(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    """All test images and the honest network's logits."""
    path = save(cheats.honest(), tmp_path_factory.mktemp("honest") / "m.onnx")
    images = timed_inputs(manifest(), cohort, None, 40).arrays["image"]
    return images, OnnxRuntimeCpu().prepare(path, "fp32", 40).infer({"image": images})["scores"]


def timed(model: onnx.ModelProto, cohort: Cohort, folder: Path, batch: int) -> TimingRecord:
    """The record of a model whose stored predictions are what it gave when it was submitted."""
    path = save(model, folder / "m.onnx")
    stored = predict(path, manifest(), cohort, cohort.rows("test"))
    return time_model(path, manifest(), cohort, stored, batches=(batch,), protocol=BRIEF)


@pytest.mark.parametrize("batch", BATCHES)
def test_a_table_of_answers_behind_an_if_fails(
    batch: int, cohort: Cohort, truth: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    record = timed(cheats.table_by_if(*truth), cohort, tmp_path, batch)
    (row,) = record.batches
    assert record.control_flow == ("If",)
    assert (row.parity.status, row.ranked) == ("failed", False)
    assert row.parity.max_difference is not None
    assert row.parity.max_difference < 1e-4  # the predictions themselves are right
    assert row.parity.unseen_ratio is not None
    assert row.parity.unseen_ratio > 3
    assert "may hold a table of answers" in row.parity.message


@pytest.mark.parametrize("batch", BATCHES)
def test_a_table_of_answers_without_an_if_fails(
    batch: int, cohort: Cohort, truth: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    record = timed(cheats.table_by_argmin(*truth), cohort, tmp_path, batch)
    (row,) = record.batches
    assert (record.control_flow, row.parity.status) == ((), "failed")
    assert row.parity.unseen_repeats == 1.0
    assert "100% of images that are not in the test set got exactly the predictions" in row.parity.message


@pytest.mark.parametrize("batch", BATCHES)
def test_a_small_network_for_constant_batches_gains_nothing(
    batch: int, cohort: Cohort, tmp_path: Path
) -> None:
    record = timed(cheats.small_for_constant_batches(), cohort, tmp_path, batch)
    (row,) = record.batches
    assert record.control_flow == ("If",)
    if batch == 1:  # every batch of one image is constant: the small network's predictions are others
        assert row.parity.status == "failed"
    else:  # no timed batch is constant: what is timed is the network
        assert row.parity.status == "passed", row.parity.message


def test_a_small_network_for_constant_batches_is_refused_when_it_is_submitted(
    cohort: Cohort, tmp_path: Path
) -> None:
    path = save(cheats.small_for_constant_batches(), tmp_path / "m.onnx")
    with pytest.raises(BenchError) as caught:
        predict(path, manifest(), cohort, cohort.rows("test"), independent=True)
    assert [problem.code for problem in caught.value.problems] == ["model-batch-dependent"]


def test_a_table_that_interpolates_is_a_known_limit(
    cohort: Cohort, truth: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """A small model that fits the predictions of another cannot be recognised by its file or its speed.

    docs/measurements/timing.md says so; a check that finds it changes this test and that page.
    """
    model = cheats.table_by_interpolation(*truth)
    path = save(model, tmp_path / "honest-looking.onnx")
    images, answers = truth
    found = OnnxRuntimeCpu().prepare(path, "fp32", 40).infer({"image": images})["scores"]
    np.testing.assert_allclose(found, answers, atol=1e-3)
    (row,) = timed(model, cohort, tmp_path, 8).batches
    assert row.parity.status == "passed", row.parity.message
    assert row.parity.unseen_repeats == 0.0


@pytest.mark.parametrize("batch", BATCHES)
def test_outputs_that_depend_on_the_batch_fail(batch: int, cohort: Cohort, tmp_path: Path) -> None:
    (row,) = timed(cheats.relative_to_the_batch(), cohort, tmp_path, batch).batches
    assert row.parity.status == "failed"


def test_a_lower_precision_inside_the_file_is_not_ranked_as_single(cohort: Cohort, tmp_path: Path) -> None:
    record = timed(cheats.hidden_half_precision(), cohort, tmp_path, 8)
    (row,) = record.batches
    assert record.stored_precision == {"fp16": 1, "fp32": 4}
    assert (row.stability.stable, row.ranked) == (False, False)
    assert "precision" in [reason.code for reason in row.stability.reasons]
    assert any("1 in fp16 of 5" in reason.message for reason in row.stability.reasons)


def test_a_session_that_remembers_its_answers_fails() -> None:
    class Remembering(FakeSession):
        known: set[bytes] = set()  # noqa: RUF012

        def infer(self, inputs):
            key = inputs["image"].tobytes()
            self.clock.advance(0.1 if key in self.known else 5.0)
            self.known.add(key)
            return {"scores": inputs["image"].reshape(len(inputs["image"]), -1).mean(axis=1)}

    clock = FakeClock()
    session = Remembering(clock, lambda _: 0.0)
    inputs = {"image": np.random.default_rng(0).random((16, 1, 4, 4)).astype(np.float32)}
    for _ in range(2):
        checked = predict_images(session, inputs, 16, 1, PICKS, clock)
    found = check_integrity(session, inputs, 1, PICKS, checked, np.full(400, 0.1), clock)
    assert found.pass_ratio == pytest.approx(1)
    assert found.unseen_ratio == pytest.approx(50)
    assert len(found.faults) == 1


def test_a_slow_parity_pass_gives_away_a_session_that_knows_when_it_is_timed() -> None:
    clock = FakeClock()
    session = FakeSession(clock, lambda _: 5.0)
    inputs = {"image": np.random.default_rng(0).random((16, 1, 4, 4)).astype(np.float32)}
    checked = predict_images(session, inputs, 16, 2, PICKS, clock)
    found = check_integrity(session, inputs, 2, PICKS, checked, np.full(400, 1.0), clock)
    assert found.pass_ratio == pytest.approx(5)
    assert "5 times as long when parity was checked" in found.faults[0]


def test_another_program_that_slows_down_some_passes_is_not_cheating() -> None:
    clock = FakeClock()
    session = FakeSession(clock, lambda run: 9.0 if run < 8 + 32 else 1.0)
    inputs = {"image": np.random.default_rng(0).random((16, 1, 4, 4)).astype(np.float32)}
    checked = predict_images(session, inputs, 16, 2, PICKS, clock)
    found = check_integrity(session, inputs, 2, PICKS, checked, np.full(400, 1.0), clock)
    assert found.pass_ratio == pytest.approx(1)
    assert found.faults == ()


DISTURBANCES: dict[str, Callable[[np.random.Generator], float]] = {
    "half by 2.5 ms": lambda generator: 2.5 * (generator.random() < 0.5),
    "most by 10 ms": lambda generator: 10.0 * (generator.random() < 0.7),
    "all by 1.5 ms on average": lambda generator: generator.exponential(1.5),
}


@pytest.mark.parametrize("seed", range(7))
@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_another_program_that_slows_down_runs_is_not_cheating(disturbance: str, seed: int) -> None:
    """Runs that wait for a core take ten times as long; unseen images are affected as others are."""
    clock = FakeClock()
    generator = np.random.default_rng(seed)
    session = FakeSession(clock, lambda _: 1.0 + DISTURBANCES[disturbance](generator))
    inputs = {"image": generator.random((40, 1, 4, 4)).astype(np.float32)}
    checked = predict_images(session, inputs, 40, 8, PICKS, clock)
    found = check_integrity(session, inputs, 8, PICKS, checked, np.full(400, 1.0), clock)
    assert found.faults == ()


@pytest.mark.parametrize("seed", range(7))
@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_another_program_that_slows_down_runs_hides_no_table(disturbance: str, seed: int) -> None:
    """Not even where it also ran while the model was timed."""
    clock = FakeClock()
    generator = np.random.default_rng(seed)
    inputs = {"image": generator.random((40, 1, 4, 4)).astype(np.float32)}
    known = {image.tobytes() for image in inputs["image"]}

    class Table(FakeSession):
        def infer(self, inputs):
            other = any(image.tobytes() not in known for image in inputs["image"])
            self.clock.advance(DISTURBANCES[disturbance](generator) + (1.0 if other else 0.06))
            return {"scores": inputs["image"].reshape(len(inputs["image"]), -1).mean(axis=1)}

    session = Table(clock, lambda _: 0.0)
    checked = predict_images(session, inputs, 40, 8, PICKS, clock)
    timed = np.array([0.06 + DISTURBANCES[disturbance](generator) for _ in range(400)])
    found = check_integrity(session, inputs, 8, PICKS, checked, timed, clock)
    assert found.unseen_ratio > 3
    assert "may hold a table of answers" in found.faults[-1]


def test_no_two_checks_use_the_same_unseen_images() -> None:
    """Else a file could hold them in its table."""

    class Noting(FakeSession):
        def infer(self, inputs):
            given.append(inputs["image"].tobytes())
            return super().infer(inputs)

    clock = FakeClock()
    inputs = {"image": np.random.default_rng(0).random((16, 1, 4, 4)).astype(np.float32)}
    sets = []
    for _ in range(2):
        given: list[bytes] = []
        session = Noting(clock, lambda _: 1.0)
        checked = predict_images(session, inputs, 16, 1, PICKS, clock)
        check_integrity(session, inputs, 1, PICKS, checked, np.full(400, 1.0), clock)
        sets.append(set(given))
    assert sets[0] & sets[1] == {array.tobytes() for array in inputs["image"][:, None]}


@pytest.mark.parametrize("family", list(FULL_SIZE))
@pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "torchscript"])
@pytest.mark.full_size
def test_honest_networks_of_full_depth_pass(
    family: str, dynamo: bool, cohort: Cohort, tmp_path: Path
) -> None:
    side = 64
    export(full_size_network(family, side), tmp_path / "m.onnx", dynamo=dynamo, side=side)
    said = manifest(image={"height": side, "width": side})
    with checked_model(tmp_path / "m.onnx", said, cohort.spec) as model:  # refuses one with errors
        assert model.sha256
    rows = cohort.rows("test")
    stored = predict(tmp_path / "m.onnx", said, cohort, rows, independent=True)
    patient = replace(SHORT, limit_s=900.0, measure_runs=5, longest_s=0.1, least_runs=5)
    record = time_model(tmp_path / "m.onnx", said, cohort, stored, batches=(8,), protocol=patient)
    (row,) = record.batches
    assert (row.status, row.message) == ("ok", "")
    assert row.parity.status == "passed", row.parity.message
    assert row.parity.unseen_repeats == 0.0
    assert (record.control_flow, set(record.stored_precision or {})) == ((), {"fp32"})


@pytest.mark.parametrize("make", [cheats.honest, cnn_model, conv_model])
@pytest.mark.parametrize("batch", BATCHES)
def test_honest_models_pass(
    make: Callable[[], onnx.ModelProto], batch: int, cohort: Cohort, tmp_path: Path
) -> None:
    record = timed(make(), cohort, tmp_path, batch)
    (row,) = record.batches
    assert row.parity.status == "passed", row.parity.message
    assert row.parity.unseen_repeats == 0.0
    assert record.control_flow == ()
    assert set(record.stored_precision) == {"fp32"}


def test_a_model_of_few_different_predictions_is_not_taken_for_a_table() -> None:
    constant = {"a": np.full(32, 0.2)}
    assert repeated_share({"a": np.full(8, 0.2)}, constant) is None
    distinct = {"a": np.arange(32.0)}
    assert repeated_share({"a": np.array([3.0, 0.5])}, distinct) == 0.5
    assert Integrity(1.0, 2.1, None).faults == ()


def test_unseen_images_are_new_and_keep_their_form() -> None:
    generator = np.random.default_rng(0)
    inputs = {
        "image": generator.random((10, 3, 4, 4)).astype(np.float32),
        "age": np.arange(10, dtype=np.float32)[:, None],
    }
    found = unseen_images(inputs, 32, generator)
    assert found["image"].shape == (32, 3, 4, 4)
    assert found["image"].dtype == np.float32
    assert found["age"].shape == (32, 1)
    assert found["image"].min() >= 0
    assert found["image"].max() <= 1
    differences = np.abs(found["image"][:, None] - inputs["image"][None]).max(axis=(2, 3, 4))
    assert differences.min() > 0.05


def test_facts_of_a_file() -> None:
    assert control_flow(cheats.small_for_constant_batches()) == ("If",)
    assert stored_precision(conv_model()).keys() == {"fp32"}
    assert precision_fault({"fp32": 5}, "fp32") == ""
    assert precision_fault({"fp16": 5}, "fp16") == ""
    assert precision_fault({"int8": 2, "fp32": 1}, "int8") == ""
    assert "2 in int8 of 3" in precision_fault({"int8": 2, "fp32": 1}, "fp16")
