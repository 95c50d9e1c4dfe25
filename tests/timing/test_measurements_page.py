"""The page of measurements says what the stored record says."""

from __future__ import annotations

from pathlib import Path

from bench.documents import read_json
from bench.timing.record import TimingRecord

ROOT = Path(__file__).parents[2]
RECORD = "docs/measurements/timing-cnn-small.json"


def test_every_row_of_the_table_is_a_row_of_the_record() -> None:
    text = (ROOT / "docs" / "measurements" / "timing.md").read_text("utf-8")
    assert RECORD in text
    record = read_json(TimingRecord, ROOT / RECORD, "timing-invalid")
    section = text.split("## The demo's small CNN on a CPU")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(record.batches)
    for cells, row in zip(rows, record.batches, strict=True):
        latency = row.end_to_end
        assert row.throughput.images_per_s is not None
        assert row.limit_fraction is not None
        assert cells == [
            str(row.batch),
            f"{latency.p50.value_ms:.3f}",
            f"{latency.p50.low_ms:.3f} to {latency.p50.high_ms:.3f}",
            f"{latency.p50_se_ms:.3f}",
            f"{latency.p95.value_ms:.3f}",
            f"{row.throughput.images_per_s:,.0f}",
            f"{100 * row.limit_fraction:.0f}%",
            "stable" if row.stability.stable else "unstable",
            row.parity.status,
        ]


def test_no_record_of_a_gpu_is_stored_while_the_page_says_so() -> None:
    text = (ROOT / "docs" / "measurements" / "timing.md").read_text("utf-8")
    records = [
        read_json(TimingRecord, p, "timing-invalid") for p in ROOT.glob("submissions/*/*/timings/*.json")
    ]
    assert ("There is no figure of a GPU" in text) == (not any(record.is_gpu for record in records))
