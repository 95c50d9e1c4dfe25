"""Speed beside AUROC: settings stay apart, only ranked rows count, and the front is the one by definition."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.board.model import Entry
from bench.board.pareto import pareto_front, speed_columns, why_unranked
from bench.timing.record import Instability, Parity, Stability, TimingRecord
from tests.timing.records import record, row

UNSTABLE = Stability(stable=False, reasons=(Instability(code="trend", message="Latency changes by 9%."),))
FAILED = Parity(status="failed", message="7 of 9 images differ.")


def entry(slug: str, auroc: float | None, *records: TimingRecord) -> Entry:
    card: Any = SimpleNamespace(target=lambda name: SimpleNamespace(ranked=SimpleNamespace(value=auroc)))
    manifest: Any = None
    return Entry(slug, manifest, card, records)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=12))
def test_the_front_is_what_no_other_point_dominates(values: list[tuple[int, int]]) -> None:
    points = [(f"e{i:02}", float(ms), float(auroc)) for i, (ms, auroc) in enumerate(values)]
    front = pareto_front(points)
    expected = {
        (ms, auroc)
        for _, ms, auroc in points
        if not any(m <= ms and a >= auroc and (m, a) != (ms, auroc) for _, m, a in points)
    }
    places = {name: (ms, auroc) for name, ms, auroc in points}
    assert {places[name] for name in front} == expected
    assert len(front) == len(expected)
    assert [places[name][0] for name in front] == sorted(places[name][0] for name in front)


def test_only_stable_rows_with_parity_are_ranked_and_on_the_front() -> None:
    entries = [
        entry("slow", 0.9, record(row(1, 9.0))),
        entry("fast", 0.7, record(row(1, 1.0))),
        entry("beaten", 0.6, record(row(1, 2.0))),
        entry("shaky", 0.99, record(row(1, 0.1, stability=UNSTABLE))),
        entry("wrong", 0.99, record(row(1, 0.1, parity=FAILED))),
        entry("broken", 0.99, record(row(1, 0.1, status="crashed", message="Ended by SIGSEGV."))),
        entry("untimed", 0.95),
    ]
    (column,) = speed_columns(entries, "a")
    assert [r.slug for r in column.rows] == ["fast", "beaten", "slow", "broken", "shaky", "wrong"]
    assert [r.slug for r in column.rows if r.on_front] == ["fast", "slow"]
    assert [r.why for r in column.rows[3:]] == [
        "crashed: Ended by SIGSEGV.",
        "unstable: Latency changes by 9%.",
        "parity failed: 7 of 9 images differ.",
    ]


def test_settings_never_share_a_column() -> None:
    gpu: dict[str, Any] = {
        "device": "GPU",
        "is_gpu": True,
        "backend": "tensorrt",
        "backend_label": "TensorRT",
    }
    one = entry(
        "one",
        0.8,
        record(row(1), row(8)),
        record(row(1, 0.1), **gpu),
        record(row(1, 0.2), **gpu, precision="fp16"),
        record(row(1, 0.2), **gpu | {"backend_label": "TensorRT-RTX"}),
    )
    found = speed_columns([one], "a")
    assert [(c.setting.is_gpu, c.setting.backend, c.setting.precision) for c in found] == [
        (True, "TensorRT", "fp16"),
        (True, "TensorRT", "fp32"),
        (True, "TensorRT-RTX", "fp32"),
        (False, "ONNX Runtime (CPU)", "fp32"),
    ]
    assert [len(c.rows) for c in speed_columns([one], "a", 8)] == [1]


@pytest.mark.parametrize("auroc", [None, 0.5])
def test_an_entry_without_an_auroc_is_on_no_front(auroc: float | None) -> None:
    (column,) = speed_columns([entry("one", auroc, record(row(1)))], "a")
    assert column.rows[0].on_front == (auroc is not None)


def test_int8_stands_with_the_auroc_of_its_own_predictions() -> None:
    own = record(row(1), precision="int8", own_auroc={"a": 0.71})
    none = record(row(1), precision="int8")
    assert [c.rows[0].auroc for c in speed_columns([entry("one", 0.9, own)], "a")] == [0.71]
    assert [c.rows[0].auroc for c in speed_columns([entry("one", 0.9, none)], "a")] == [None]


def test_a_row_without_parity_says_so() -> None:
    unchecked = Parity(status="not_checked", message="The cohort's images are not available.")
    assert (
        why_unranked(row(1, parity=unchecked)) == "parity not checked: The cohort's images are not available."
    )
    assert why_unranked(row(1)) == ""
