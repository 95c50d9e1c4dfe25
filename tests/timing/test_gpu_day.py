"""The GPU day on a CPU: resumed, within its time, and no figure that was not measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.gpu import day as subject
from tests.gpu.day import MARKS, ROOT, Day, run, steps, tables
from tests.timing.records import record, row

PAGE = f"# Timing\n\n{MARKS[0]}\nNone yet.\n{MARKS[1]}\n\nThe rest.\n"


@pytest.fixture
def day(tmp_path: Path) -> Day:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "timing.md").write_text(PAGE)
    return Day(tmp_path / "day", tmp_path / "docs", quick=True)


def fake_steps(found: dict[str, dict[str, Any]], called: list[str]) -> Any:
    def step(name: str) -> dict[str, Any]:
        called.append(name)
        return found[name]

    return lambda _: iter([(name, lambda n=name: step(n)) for name in found])


def test_without_a_gpu_the_pages_stay_and_every_step_says_why(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runtime.backends.gpu.read_driver", lambda: None)
    names = [name for name, _ in steps(day)]
    assert not [name for name in names if name.startswith("time ")]
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert subject.trtexec(day, "cnn-small") == {"problem": "trtexec is not installed"}
    assert subject.train(day) == {"problem": "torch finds no GPU"}
    subject.write_tables(day, {"train": {"problem": "torch finds no GPU"}})
    assert (day.docs / "timing.md").read_text() == PAGE
    assert not (day.docs / "gpu").exists()


def test_a_step_that_ended_is_not_run_again_and_none_begins_too_late(
    day: Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    found: dict[str, dict[str, Any]] = {"a": {"x": 1}, "b": {"x": 2}}
    monkeypatch.setattr(subject, "steps", fake_steps(found, called))
    assert run(day, -1.0) == {}
    assert run(day, 1.0) == found
    assert run(day, 1.0) == found
    assert called == ["a", "b"]
    assert json.loads(day.results.read_text()) == found


def test_tables_hold_measured_figures_only() -> None:
    text = tables([record(row(1, 2.0))], {"train": {"problem": "none"}, "trtexec a": {"problem": "none"}})
    assert "| one | ONNX Runtime (CPU) | fp32 | Fake CPU | 1 | not measured | 2 | 500 | stable |" in text
    assert "trtexec" not in text
    assert "densenet121-echo" not in text


def test_the_page_has_the_marks_once() -> None:
    text = (ROOT / "docs" / "measurements" / "timing.md").read_text()
    assert [text.count(mark) for mark in MARKS] == [1, 1]


@pytest.mark.full_size
def test_the_small_network_is_submitted_timed_and_written(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "NETWORKS", {"cnn-small": subject.NETWORKS["cnn-small"]})
    monkeypatch.setattr(subject, "BATCHES", (1,))
    monkeypatch.setattr(subject, "PRECISIONS", ("fp32",))
    chosen = Day(day.folder, day.docs, quick=True, on_cpu=True)
    real = dict(steps(chosen))
    wanted = ("entries", "time cnn-small onnxruntime-cpu fp32")
    monkeypatch.setattr(subject, "steps", lambda _: iter([(name, real[name]) for name in wanted]))
    run(chosen, 5.0)
    page = (day.docs / "timing.md").read_text()
    assert page.startswith("# Timing")
    assert page.endswith("\n\nThe rest.\n")
    assert page.count("| cnn-small | ONNX Runtime (CPU) | fp32 |") == 1
    assert len(list((day.docs / "gpu").iterdir())) == 1
