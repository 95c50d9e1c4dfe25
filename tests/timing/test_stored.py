"""Records on disk: rows are merged, other conditions never share a record, and nothing stored is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.choices import Precision
from bench.documents import read_json
from bench.errors import BenchError
from bench.files import write_json
from bench.runtime.backends.base import Device
from bench.timing.protocol import FULL, QUICK
from bench.timing.record import Roofline, TimingRecord
from bench.timing.resume import Conditions, Place, find_place, merged
from tests.timing.records import DEVICE, record, row

NOW = Conditions(
    model_sha256="a" * 64,
    fingerprint="f" * 64,
    inputs="cohort images",
    backend="onnxruntime-cpu",
    precision=Precision.FP32,
    device=Device(DEVICE, is_gpu=False, facts={"onnxruntime": "1.0"}),
    protocol=FULL,
    cores=2,
)
NEWER = replace(NOW, device=Device(DEVICE, is_gpu=False, facts={"onnxruntime": "2.0"}))
NEW_OPTIONS = {"onnxruntime": "2.0", "intra_op_threads": 2}


def place(folder: Path, now: Conditions, *batches: int, again: bool = False) -> Place:
    return find_place(folder / "timings", folder / ".lock", now, batches, again=again)


def stored(folder: Path, found: TimingRecord) -> Path:
    path = folder / "timings" / found.file_name
    write_json(path, found.plain())
    return path


def medians(path: Path) -> dict[int, float | None]:
    document = read_json(TimingRecord, path, "timing-invalid")
    return {r.batch: r.end_to_end.p50.value_ms for r in document.batches}


def test_a_record_under_equal_conditions_differs_in_nothing() -> None:
    assert NOW.differences(record()) == []
    assert NOW.file_name == record().file_name


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (replace(NOW, model_sha256="b" * 64), "model"),
        (replace(NOW, fingerprint="e" * 64), "split"),
        (replace(NOW, inputs="random pixels"), "inputs"),
        (replace(NOW, cores=4), "cores: 2, now 4"),
        (NEWER, "onnxruntime: 1.0, now 2.0"),
        (replace(NOW, device=Device("Other", is_gpu=False, facts={"onnxruntime": "1.0"})), "device"),
        (replace(NOW, protocol=QUICK), "protocol: full, now quick"),
    ],
)
def test_every_condition_counts(now: Conditions, word: str) -> None:
    (found,) = now.differences(record())
    assert word in found


def test_another_version_of_the_harness_is_another_condition() -> None:
    assert NOW.differences(record(harness_version="0.0.0"))[0].startswith("harness: 0.0.0, now")


def test_rows_are_merged_by_batch_size_and_the_newer_counts() -> None:
    joined = merged(record(row(1, 1.0), row(8, 2.0)), record(row(32, 9.0), row(8, 3.0)))
    assert [(r.batch, r.end_to_end.p50.value_ms) for r in joined.batches] == [(1, 1.0), (8, 3.0), (32, 9.0)]


def test_finished_rows_are_not_measured_again(tmp_path: Path) -> None:
    assert place(tmp_path, NOW, 1, 8).left == (1, 8)
    path = stored(tmp_path, record(row(1), row(32, status="crashed")))
    assert place(tmp_path, NOW, 1, 8, 32).left == (8,)
    assert place(tmp_path, NOW, 1).left == ()
    assert place(tmp_path, NOW, 1, 8, again=True).left == (1, 8)
    place(tmp_path, NOW, 8).keep(record(row(8, 4.0)))
    assert medians(path) == {1: 1.0, 8: 4.0, 32: 1.0}


def test_each_row_is_on_disk_as_soon_as_it_is_kept(tmp_path: Path) -> None:
    new = place(tmp_path, NOW, 1, 8)
    new.keep(record(row(1, 5.0)))
    assert medians(new.path) == {1: 5.0}
    assert place(tmp_path, NOW, 1, 8).left == (8,)  # as after an interruption


def test_a_row_that_somebody_else_stored_meanwhile_is_not_lost(tmp_path: Path) -> None:
    mine, theirs = place(tmp_path, NOW, 1), place(tmp_path, NOW, 8)
    theirs.keep(record(row(8, 8.0)))
    mine.keep(record(row(1, 1.5)))
    assert medians(mine.path) == {1: 1.5, 8: 8.0}


def test_a_record_of_other_conditions_gives_way_only_when_all_its_rows_are_measured_again(
    tmp_path: Path,
) -> None:
    path = stored(tmp_path, record(row(1, 1.0), row(64, 6.0)))
    found = place(tmp_path, NEWER, 1, 8)
    assert found.left == (1, 8, 64)
    assert found.changed == ("onnxruntime: 1.0, now 2.0",)
    found.keep(record(row(1, 2.0), options=NEW_OPTIONS))
    found.keep(record(row(8, 2.5), options=NEW_OPTIONS))
    assert medians(path) == {1: 1.0, 64: 6.0}
    resumed = place(tmp_path, NEWER, 1, 8)
    assert resumed.left == (64,)
    resumed.keep(record(row(64, 7.0), options=NEW_OPTIONS))
    assert medians(path) == {1: 2.0, 8: 2.5, 64: 7.0}
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert place(tmp_path, NEWER, 1, 8, 64).left == ()


def test_a_part_of_a_third_set_of_conditions_is_thrown_away(tmp_path: Path) -> None:
    stored(tmp_path, record(row(1)))
    place(tmp_path, NEWER, 1, 8).keep(record(row(1, 2.0), options=NEW_OPTIONS))
    third = replace(NEWER, cores=7)
    assert place(tmp_path, third, 1, 8).left == (1, 8)


def test_a_quick_trial_takes_no_place_in_a_full_record(tmp_path: Path) -> None:
    path = stored(tmp_path, record(row(1)))
    quick = replace(NOW, protocol=QUICK)
    found = place(tmp_path, quick, 1)
    assert (found.left, found.kept) == ((), record(row(1)))
    with pytest.raises(BenchError) as caught:
        place(tmp_path, quick, 1, 8)
    assert caught.value.problems[0].code == "timing-protocol"
    assert "(batch 8)" in caught.value.problems[0].message
    assert place(tmp_path, quick, 1, 8, again=True).left == (1, 8)
    assert medians(path) == {1: 1.0}


def test_the_full_protocol_replaces_a_quick_trial(tmp_path: Path) -> None:
    stored(tmp_path, record(row(1), protocol=QUICK))
    assert place(tmp_path, NOW, 8).left == (8, 1)


def test_the_ceilings_are_measured_once_for_a_record(tmp_path: Path) -> None:
    known = Roofline(mflop_per_image=1.0, device_gflop_per_s=10.0, device_gb_per_s=5.0)
    stored(tmp_path, record(row(1), roofline=known))
    assert place(tmp_path, NOW, 8).roofline == known
    stored(tmp_path, record(row(1)))
    assert place(tmp_path, NOW, 8).roofline is None


def test_a_damaged_record_is_reported_and_not_replaced(tmp_path: Path) -> None:
    path = stored(tmp_path, record())
    path.write_text("{")
    with pytest.raises(BenchError) as caught:
        place(tmp_path, NOW, 1)
    assert caught.value.problems[0].code == "timing-invalid"
    assert path.read_text() == "{"
