"""Edited or impossible figures of a timing record are named by `bench verify`; honest records are not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.board.verify import timing_problems
from bench.submission.store import Submission, find_submission
from bench.timing.record import TimingRecord

DEMO = Path(__file__).parents[2] / "submissions" / "demo"
RECORD = "amd-epyc-onnxruntime-cpu-fp32.json"


def _entry(folder: Path, change: Callable[[dict[str, Any]], object]) -> Submission:
    """A copy of a timed entry of the demo whose stable row of the smallest batch was edited."""
    copy = folder / "pixels"
    shutil.copytree(DEMO / "pixels", copy)
    path = copy / "timings" / RECORD
    record = json.loads(path.read_text("utf-8"))
    row = record["batches"][0]
    assert row["stability"]["stable"] is True
    assert record["roofline"]["device_gflop_per_s"] is not None
    change(row)
    path.write_text(json.dumps(record), "utf-8")
    TimingRecord.model_validate(record)
    return find_submission(folder, "pixels")


def _faster(row: dict[str, Any], by: float) -> None:
    """Divide every latency, and multiply the throughput, by one factor."""
    for latency in (row["end_to_end"], row["compute"]):
        for name in ("p50", "p95", "p99"):
            for key in ("value_ms", "low_ms", "high_ms"):
                if latency[name][key] is not None:
                    latency[name][key] /= by
    row["throughput"]["images_per_s"] *= by


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row["throughput"].update(images_per_s=9e9), "do not follow from a median"),
        (lambda row: row["end_to_end"]["p50"].update(value_ms=1e6), "ascending order"),
        (lambda row: row["end_to_end"]["p50"].update(value_ms=0.0), "ascending order"),
        (lambda row: row["end_to_end"]["p50"].update(low_ms=1e5), "outside its interval"),
        (lambda row: _faster(row, 1e6), "more than the device was seen to do"),
        (lambda row: _faster(row, 1e6), "less than the work takes"),
    ],
)
def test_edited_figures_are_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    problems = timing_problems(_entry(tmp_path, change))
    assert {problem.code for problem in problems} == {"timing-inconsistent"}
    assert any(message in problem.message and "batch 1" in problem.message for problem in problems)


def test_an_unstable_row_is_not_compared_with_ceilings(tmp_path: Path) -> None:
    def change(row: dict[str, Any]) -> None:
        _faster(row, 1e6)
        row["stability"]["stable"] = False

    assert timing_problems(_entry(tmp_path, change)) == []


@pytest.mark.parametrize("slug", sorted(path.parent.name for path in DEMO.glob("*/timings")))
def test_records_of_the_demo_are_consistent(slug: str) -> None:
    assert timing_problems(find_submission(DEMO, slug)) == []
