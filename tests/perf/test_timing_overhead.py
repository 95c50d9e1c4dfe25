"""Overhead of the measuring loop: its median beside a bare loop's, interleaved in one run."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from bench.runtime.backends.onnxruntime_cpu import OnnxRuntimeCpu
from bench.timing.measure import latencies, timed_batches
from bench.timing.protocol import FULL
from tests.runtime.models import SIZE, build, save, value

ROUNDS = 25
RUNS = 60


def convolutions(path: Path) -> Path:
    """A model of about a millisecond per image."""
    generator = np.random.default_rng(0)
    weights = {
        "w1": generator.normal(0, 0.1, (32, 1, 3, 3)).astype(np.float32),
        "w2": generator.normal(0, 0.1, (32, 32, 3, 3)).astype(np.float32),
        "w3": generator.normal(0, 0.1, (32, 2)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c2"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w3"], ["scores"]),
    ]
    model = build(nodes, [value("image", ["N", 1, SIZE, SIZE])], [value("scores", ["N", 2])], weights)
    return save(model, path)


@pytest.mark.perf
def test_the_median_is_within_two_percent_of_a_bare_loop(tmp_path: Path) -> None:
    session = OnnxRuntimeCpu().prepare(convolutions(tmp_path / "m.onnx"), "fp32", 8)
    images = np.random.default_rng(1).random((32, 1, SIZE, SIZE)).astype(np.float32)
    batches = timed_batches({"image": images}, 8)
    raw = session._session
    protocol = replace(FULL, warmup_s=0.0, warmup_runs=5, measure_s=0.0, measure_runs=RUNS)

    def bare() -> list[float]:
        durations = []
        for run in range(RUNS):
            inputs = batches[run % len(batches)]
            before = time.perf_counter()
            raw.run(None, inputs)
            durations.append(1000 * (time.perf_counter() - before))
        return durations

    ours, theirs = [], []
    for number in range(ROUNDS):
        steps = [lambda: ours.append(latencies(session, batches, protocol)), lambda: theirs.append(bare())]
        for step in steps if number % 2 else reversed(steps):
            step()
    harness, loop = float(np.median(np.concatenate(ours))), float(np.median(np.concatenate(theirs)))
    print(f"harness {harness:.4f} ms, bare loop {loop:.4f} ms, ratio {harness / loop:.4f}")
    assert abs(harness / loop - 1) < 0.02
