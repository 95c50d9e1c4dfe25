"""A noisy row is measured again; blocks that ended are kept; a build does not count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cohort.cohort import Cohort
from bench.runtime.predict import predict
from bench.sandbox.worker_process import WorkerFailure
from bench.timing import time_model as subject
from bench.timing.record import BatchTiming, Instability, InstabilityCode, Roofline, Stability
from bench.timing.resume import Place, merged
from bench.timing.roofline import with_limit
from bench.timing.time_model import time_model
from tests.runtime.models import manifest
from tests.timing.fakes import SHORT
from tests.timing.records import record, row
from tests.timing.slow_build import LIMIT_S

pytestmark = pytest.mark.usefixtures("no_ceilings")


def trial(ms: float, known: float, *codes: InstabilityCode, **changes: Any) -> BatchTiming:
    """A trial's row: unstable for these reasons."""
    reasons = tuple(Instability(code=code, message=f"Invented by this test: {code}.") for code in codes)
    stability = Stability(stable=not codes, reasons=reasons, p50_half_width=known)
    return row(1, ms, stability=stability, **changes)


def result(
    trials: list[BatchTiming],
    cohort: Cohort,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    taken_s: float = 1.0,
) -> BatchTiming:
    """The row that comes of these trials, of at most three, each of which takes so long."""
    left = iter(trials)
    monkeypatch.setattr(subject, "_trial", lambda *_: (next(left), taken_s))
    protocol = replace(SHORT, trials=3, cold_starts=0)
    (found,) = time_model(model, manifest(), cohort, None, batches=(1,), protocol=protocol).batches
    return found


def test_a_stable_trial_is_the_last(cohort: Cohort, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy, calm = trial(3.0, 0.2, "p50-interval"), trial(2.0, 0.01)
    timing = result([noisy, calm, trial(1.0, 0.0)], cohort, model, monkeypatch)
    assert (timing.end_to_end.p50.value_ms, timing.stability.stable) == (2.0, True)
    assert [(t.p50_ms, t.stable, t.used) for t in timing.trials] == [(3.0, False, False), (2.0, True, True)]
    assert timing.stability.message == ""


def test_after_three_noisy_trials_the_best_known_counts(
    cohort: Cohort, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [trial(3.0, 0.2, "p50-interval"), trial(2.0, 0.06, "p50-interval"), trial(1.0, 0.1, "trend")]
    timing = result(trials, cohort, model, monkeypatch)
    assert (timing.end_to_end.p50.value_ms, timing.stability.stable) == (2.0, False)
    assert [t.used for t in timing.trials] == [False, True, False]
    assert "p50 is known to ±6%" in timing.stability.message
    assert "bench time m.onnx --backend onnxruntime-cpu --precision fp32 --again" in timing.stability.message


def test_no_trial_begins_that_would_not_end_within_the_limit(
    cohort: Cohort, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = [trial(3.0, 0.2, "p50-interval"), trial(2.0, 0.1, "p50-interval"), trial(1.0, 0.01)]
    assert len(result(noisy, cohort, model, monkeypatch, taken_s=0.4 * SHORT.limit_s).trials) == 2
    assert len(result(noisy, cohort, model, monkeypatch, taken_s=0.6 * SHORT.limit_s).trials) == 1


@pytest.mark.parametrize("code", ["telemetry", "precision"])
def test_faults_that_another_trial_would_not_mend_are_not_repeated(
    code: InstabilityCode, cohort: Cohort, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing = result([trial(1.0, 0.01, code)], cohort, model, monkeypatch)
    assert len(timing.trials) == 1


def test_blocks_that_ended_before_a_failure_are_kept(
    cohort: Cohort, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subject._run_block

    def failing(job: Any, batch: int, number: int, left_s: float) -> Any:
        if number == 2:
            raise WorkerFailure("timeout", "It did not end.")
        return real(job, batch, number, left_s)

    monkeypatch.setattr(subject, "_run_block", failing)
    stored = predict(model, manifest(), cohort, cohort.rows("test"))
    protocol = replace(SHORT, blocks=4)
    (found,) = time_model(model, manifest(), cohort, stored, batches=(2,), protocol=protocol).batches
    assert (found.status, found.blocks, found.ranked) == ("timeout", 2, False)
    assert found.message == "2 of 4 blocks had ended after 600 s, its limit."
    assert len(found.end_to_end.block_p50_ms) == 2
    assert found.end_to_end.p50.value_ms is not None
    assert found.parity.status == "passed"


@pytest.mark.full_size
def test_a_build_does_not_count_against_the_limit(
    cohort: Cohort, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.timing.time_model.WORKER", "tests.timing.slow_build")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    protocol = replace(SHORT, blocks=1, limit_s=LIMIT_S)
    (found,) = time_model(model, manifest(), cohort, None, batches=(1,), protocol=protocol).batches
    assert (found.status, found.message) == ("ok", "")
    protocol = replace(protocol, build_limit_s=2.0)
    (found,) = time_model(model, manifest(), cohort, None, batches=(1,), protocol=protocol).batches
    assert found.status == "timeout"


def test_a_cold_start_is_that_of_fresh_processes(cohort: Cohort, model: Path) -> None:
    protocol = replace(SHORT, blocks=1, cold_starts=2)
    (found,) = time_model(model, manifest(), cohort, None, batches=(3,), protocol=protocol).batches
    cold = found.cold_start
    assert cold.processes == 2
    assert cold.prepare_ms is not None
    assert cold.first_inference_ms is not None
    assert cold.total_ms is not None
    assert cold.total_ms > cold.prepare_ms + cold.first_inference_ms > 0


CEILINGS = Roofline(
    mflop_per_image=1.0, weight_mb=1.0, image_mb=1.0, device_gflop_per_s=10.0, device_gb_per_s=1000.0
)


def test_ceilings_are_measured_again_with_the_rows(tmp_path: Path) -> None:
    kept = record(row(1), roofline=CEILINGS)
    place = Place(tmp_path / "r.json", tmp_path / "lock", kept, (1,), ())
    assert place.roofline == CEILINGS
    assert replace(place, again=True).roofline is None


def test_rows_that_stay_are_held_against_the_new_ceilings() -> None:
    older = record(with_limit(row(1, 1.0), CEILINGS), with_limit(row(8, 8.0), CEILINGS), roofline=CEILINGS)
    assert [r.limit_fraction for r in older.batches] == [pytest.approx(0.1), pytest.approx(0.1)]
    better = CEILINGS.model_copy(update={"device_gflop_per_s": 40.0})
    whole = merged(older, record(with_limit(row(1, 0.5), better), roofline=better))
    assert [r.limit_fraction for r in whole.batches] == [pytest.approx(0.05), pytest.approx(0.025)]
    unknown = merged(older, record(row(1, 0.5), roofline=Roofline(reason="unknown")))
    assert [r.limit_fraction for r in unknown.batches] == [None, None]
