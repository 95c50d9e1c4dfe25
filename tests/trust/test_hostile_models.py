"""A model made to do harm ends as a finding against that submission, and the board goes on."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import helper

from bench.runtime.predict import Limits
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.runtime.models import (
    MODEL,
    SIZE,
    build,
    busy_model,
    hungry_model,
    linear_model,
    linear_weights,
    value,
)
from tests.tiny import MANIFEST

ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"


def named_with_escapes() -> onnx.ModelProto:
    """A model whose operators and outputs are named by what steers a terminal."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node(f"Mat{ESCAPES}", ["flat", "w"], ["scores"], domain=ESCAPES, name=ESCAPES),
    ]
    outputs = [value("scores", ["N", 2]), value(ESCAPES, ["N", 2])]
    return build(nodes, [value("image", ["N", 1, SIZE, SIZE])], outputs, {"w": linear_weights()})


def failing_with_escapes() -> onnx.ModelProto:
    """A model that the runtime refuses with a message that quotes names made of escapes."""
    nodes = [
        helper.make_node("Reshape", ["image", "shape"], ["flat"], name=ESCAPES),
        helper.make_node("MatMul", ["flat", "w"], ["scores"], name=ESCAPES),
    ]
    weights = {"w": linear_weights(), "shape": np.array([7, SIZE * SIZE], np.int64)}
    return build(nodes, [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])], weights)


def deep() -> onnx.ModelProto:
    """A model of 50,000 operators in a chain."""
    nodes = [helper.make_node("Flatten", ["image"], ["x0"])]
    nodes += [helper.make_node("Abs", [f"x{i}"], [f"x{i + 1}"]) for i in range(50_000)]
    nodes.append(helper.make_node("MatMul", ["x50000", "w"], ["scores"]))
    return build(
        nodes, [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])], {"w": linear_weights()}
    )


@pytest.fixture
def submit(space: Workspace, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Submit a model and return how that ended; the time limits are short."""
    quick = functools.partial(Limits, start_s=6.0, image_s=0.0)
    monkeypatch.setattr("bench.runtime.predict.Limits", quick)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    (tmp_path / "submission.toml").write_text(MANIFEST + MODEL)

    def run(model: onnx.ModelProto, *words: str) -> Any:
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        return cli("submit", "--model", tmp_path / "m.onnx", "--slug", "hostile", *words)

    return run


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (lambda: hungry_model(100), "model-memory"),
        pytest.param(lambda: busy_model(10_000, 700), "model-timeout", marks=pytest.mark.full_size),
        (lambda: busy_model(10**9, 2), "model-control-flow"),
        (named_with_escapes, "model-custom-operator"),
        (failing_with_escapes, "model-run"),
    ],
    ids=["100 GB", "for ever", "a billion passes", "escapes", "escapes at run time"],
)
def test_a_hostile_model_is_a_finding_and_the_board_goes_on(
    model: Any, code: str, submit: Any, space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    ran = submit(model(), "--json")
    assert ran.exit_code == 1
    assert code in ran.codes
    assert not any(c in ran.stderr for c in ESCAPES if not c.isprintable())
    assert not space.submission("chexchonet", "hostile").exists()
    good.to_csv(tmp_path / "good.csv", index=False)
    assert cli("submit", tmp_path / "good.csv", "--slug", "good").exit_code == 0
    assert cli("score", "good", "--replicates", "100", "--jobs", "1").exit_code == 0
    assert "good" in cli("board").stdout


@pytest.mark.parametrize("place", ["accept", "predict"])
def test_a_crash_of_the_parser_or_the_runtime_is_a_finding(
    place: str, submit: Any, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"bench.runtime.{place}.WORKER", "tests.runtime.failing_worker")
    ran = submit(linear_model(), "--json")
    assert ran.exit_code == 1
    assert ran.codes == ["model-check" if place == "accept" else "model-crashed"]
    assert "SIGSEGV" in ran.stderr
    assert not space.submission("chexchonet", "hostile").exists()


def test_a_very_deep_model_is_answered(submit: Any) -> None:
    assert submit(deep(), "--json").exit_code in (0, 1)


def test_a_good_model_passes_by_the_same_way(submit: Any, space: Workspace) -> None:
    ran = submit(linear_model(), "--json")
    assert ran.exit_code == 0
    assert (space.submission("chexchonet", "hostile") / "predictions.parquet").exists()
