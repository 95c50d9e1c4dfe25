"""The store holds whole entries or none: interruptions, replacing, and two processes at once."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cohort.cohort import Cohort
from bench.errors import BenchError
from bench.files import atomic_folder, atomic_path, canonical_json, write_atomic, write_json
from bench.submission import store as store_module
from bench.submission.manifest import Manifest
from bench.submission.store import find_submission, keep_model, list_submissions, store
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.tiny import MANIFEST

SAID = Manifest(name="A", team="T", date=datetime.date(2026, 1, 1), inputs=("image",))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_an_entry_is_stored_and_found(tmp_path: Path) -> None:
    made = store(tmp_path, "a", SAID, b"data")
    assert tree(tmp_path / "a").keys() == {"submission.toml", "predictions.parquet"}
    assert made.predictions.read_bytes() == b"data"
    assert find_submission(tmp_path, "a") == made
    assert list_submissions(tmp_path) == [made]
    assert list_submissions(tmp_path / "absent") == []
    with pytest.raises(BenchError, match="there are: a"):
        find_submission(tmp_path, "b")


def test_a_reported_entry_holds_no_predictions(tmp_path: Path) -> None:
    store(tmp_path, "a", SAID, None)
    assert list(tree(tmp_path / "a")) == ["submission.toml"]


def test_an_entry_gives_way_only_when_told_to_and_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    old = store(tmp_path, "a", SAID, b"old")
    old.scorecard.write_text("{}")
    old.timings.mkdir()
    (old.timings / "t.json").write_text("{}")
    before = tree(tmp_path)
    with pytest.raises(BenchError, match="slug-taken"):
        store(tmp_path, "a", SAID, b"new")
    assert tree(tmp_path) == before
    store(tmp_path, "a", SAID, b"new", replace=True)
    assert tree(tmp_path / "a").keys() == {"submission.toml", "predictions.parquet"}
    assert old.predictions.read_bytes() == b"new"


@pytest.mark.parametrize("place", ["writing", "disk full", "renaming", "exchanging"])
@pytest.mark.parametrize("there", [False, True], ids=["new", "replacing"])
def test_an_interrupted_store_leaves_what_was_there(
    place: str, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    store(folder, "other", SAID, b"other")
    if there:
        store(folder, "a", SAID, b"old")
    before = tree(folder)

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    def no_space(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    renamed = Path.replace

    def rename(self: Path, target: Path) -> Path:
        if target == folder / "a" and self.suffix == ".part":
            raise OSError(5, "Input/output error")
        return renamed(self, target)

    if place == "writing":
        monkeypatch.setattr(store_module, "write_atomic", stop)
    elif place == "disk full":
        monkeypatch.setattr(os, "fsync", no_space)
    else:
        monkeypatch.setattr(Path, "replace", rename)
        if place == "renaming":  # as on a file system that cannot exchange two folders
            monkeypatch.setattr("bench.files._exchange", lambda one, other: False)
        elif there:
            monkeypatch.setattr("bench.files._exchange", no_space)
    with pytest.raises((KeyboardInterrupt, OSError)):
        store(folder, "a", SAID, b"new", replace=there)
    monkeypatch.undo()
    assert tree(folder) == before
    assert [s.slug for s in list_submissions(folder)] == (["a", "other"] if there else ["other"])
    store(folder, "a", SAID, b"new", replace=there)  # and the lock was let go of
    assert (folder / "a" / "predictions.parquet").read_bytes() == b"new"


def test_leftovers_of_a_killed_process_are_no_entries(tmp_path: Path) -> None:
    store(tmp_path, "a", SAID, b"data")
    left = tmp_path / ".b.x1y2.part"
    left.mkdir()
    (left / "submission.toml").write_text("half")
    assert [s.slug for s in list_submissions(tmp_path)] == ["a"]


def test_an_interrupted_submit_says_so_and_stores_nothing(
    space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    good.to_csv(tmp_path / "p.csv", index=False)
    monkeypatch.setattr(store_module, "write_atomic", stop)
    ran = cli("submit", tmp_path / "p.csv", "--slug", "a")
    assert ran.exit_code == 130
    assert "Interrupted" in ran.stderr
    assert [p for p in space.store.rglob("*") if p.is_file() and p.name != ".lock"] == []


def test_of_two_submits_of_one_slug_exactly_one_wins(
    space: Workspace, good: pd.DataFrame, tmp_path: Path
) -> None:
    for name, shift in (("one", 0.0), ("two", 0.25)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "submission.toml").write_text(MANIFEST.replace("A model", name))
        good.assign(slvh=good.slvh / 2 + shift).to_csv(tmp_path / name / "p.csv", index=False)
    command = [sys.executable, "-m", "bench", "submit", "--slug", "same"]
    running = {
        name: subprocess.Popen(
            [*command, tmp_path / name / "p.csv"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    }
    said = {name: process.communicate(timeout=600) for name, process in running.items()}
    codes = {name: process.returncode for name, process in running.items()}
    assert sorted(codes.values()) == [0, 1], said
    winner = next(name for name, code in codes.items() if code == 0)
    loser = next(name for name, code in codes.items() if code == 1)
    assert "[slug-taken]" in said[loser][1]
    entry = find_submission(space.submissions("chexchonet"), "same")
    assert entry.manifest.name == winner
    stored = pd.read_parquet(entry.predictions)["slvh"]
    shift = 0.0 if winner == "one" else 0.25
    assert np.allclose(stored, good.sort_values("cxr_filename")["slvh"] / 2 + shift, atol=1e-15)


def test_many_processes_that_store_at_once_store_one_entry(tmp_path: Path) -> None:
    code = (
        "import sys, datetime, pathlib\n"
        "from bench.errors import BenchError\n"
        "from bench.submission.manifest import Manifest\n"
        "from bench.submission.store import store\n"
        "said = Manifest(name='A', team='T', date=datetime.date(2026, 1, 1), inputs=('image',))\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    store(pathlib.Path(sys.argv[1]), 'a', said, sys.argv[2].encode() * 100_000)\n"
        "except BenchError as error:\n"
        "    sys.exit(error.problems[0].code)\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "s"), str(k)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(3)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=600)[1].strip() for process in running]
    codes = [process.returncode for process in running]
    assert sorted(codes) == [0, 1, 1], said
    assert sorted(said) == ["", "slug-taken", "slug-taken"]
    winner = str(codes.index(0)).encode()
    assert (tmp_path / "s" / "a" / "predictions.parquet").read_bytes() == winner * 100_000
    assert [p.name for p in (tmp_path / "s").iterdir() if p.is_dir()] == ["a"]


def test_a_kept_model_is_whole_and_not_written_twice_and_what_died_is_cleared(tmp_path: Path) -> None:
    kept = tmp_path / "models" / "x.onnx"
    (tmp_path / "m.onnx").write_bytes(b"model")
    keep_model(tmp_path / "m.onnx", kept)
    assert kept.read_bytes() == b"model"
    (tmp_path / "models" / ".y.onnx.12345678.part").write_bytes(b"half a mo")
    keep_model(tmp_path / "absent.onnx", kept)
    assert kept.read_bytes() == b"model"
    assert sorted(p.name for p in kept.parent.iterdir()) == [".lock", "x.onnx"]


def test_a_slug_is_taken_before_the_predictions_are_read(
    space: Workspace, cohort: Cohort, cli: Cli, tmp_path: Path
) -> None:
    store(space.submissions("chexchonet"), "a", SAID, b"data")
    ran = cli("submit", tmp_path / "absent.csv", "--slug", "a", "--json")
    assert ran.codes == ["slug-taken"]


# Files


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"old")

    def half() -> None:
        with atomic_path(tmp_path / "a") as part:
            part.write_bytes(b"ne")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        half()
    assert tree(tmp_path) == {"a": b"old"}
    with atomic_path(tmp_path / "a") as part:
        part.write_bytes(b"new")
        assert (tmp_path / "a").read_bytes() == b"old"
    assert tree(tmp_path) == {"a": b"new"}


def test_a_folder_takes_the_place_of_the_old_one_when_it_is_whole(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "f") as part:
        (part / "x").write_bytes(b"1")
        assert not (tmp_path / "f").exists()
    with atomic_folder(tmp_path / "f") as part:
        (part / "y").write_bytes(b"2")
        assert tree(tmp_path / "f") == {"x": b"1"}
    assert tree(tmp_path) == {"f/y": b"2"}


DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(1e-6, 1e10)
    | st.sampled_from([0.0, -0.0, 1e-4, 9.99999999e-5, 999999999.5, 1e9, 1e15, 1e16, 5e-324]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(DOCUMENTS)
def test_canonical_json_is_what_json_writes_of_rounded_numbers(document: Any) -> None:
    def rounded(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.9g}") + 0.0
        if isinstance(value, list):
            return [rounded(item) for item in value]
        return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value

    text = json.dumps(rounded(document), sort_keys=True, indent=1, ensure_ascii=False)
    assert canonical_json(document).decode() == text + "\n"


def test_canonical_json_is_the_same_for_equal_content(tmp_path: Path) -> None:
    left = {"b": [1.0, 0.1 + 0.2, -0.0], "a": {"ü": None, "t": True}}
    right = {"a": {"t": True, "ü": None}, "b": (1.0, 0.3, 0.0)}
    assert canonical_json(left) == canonical_json(right)
    assert canonical_json({"x": 1 / 3}) == b'{\n "x": 0.333333333\n}\n'
    write_json(tmp_path / "a.json", left)
    assert (tmp_path / "a.json").read_bytes() == canonical_json(right)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, float("-inf")]])
def test_what_is_undefined_cannot_be_stored(value: object) -> None:
    with pytest.raises(ValueError, match="cannot be stored"):
        canonical_json({"x": value})


@pytest.mark.parametrize("value", [np.float64, {1, 2}, b"x", np.int64(1)])
def test_what_is_not_plain_cannot_be_stored(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be stored"):
        canonical_json(value)


def test_an_enlarged_image_was_smaller_before() -> None:
    keys = {"name": "A", "team": "B", "date": "2026-01-01", "inputs": ["image"]}
    declared = {"image_size": 224, "upsampled_from": 64, "zero_shot": True}
    assert Manifest.model_validate(keys | declared).upsampled_from == 64
    for wrong in ({"upsampled_from": 64}, {"image_size": 64, "upsampled_from": 64}):
        with pytest.raises(ValueError, match="less than image_size"):
            Manifest.model_validate(keys | wrong)
