"""Two processes on the CPU, started by Lightning, train what one process trains."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from baselines.networks.tensors import FILLING, EpochSampler, SharedSampler
from bench.workspace import create_workspace
from tests.baselines.conftest import SPEC, write_tiny
from tests.baselines.two_processes import main as train
from tests.conftest import Cli

ROOT = Path(__file__).parents[2]


def _run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for name in ("LOCAL_RANK", "NODE_RANK", "MASTER_PORT", "BENCH_DATA"):
        environment.pop(name, None)
    argv = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, cwd=folder, env=environment)


def test_processes_share_every_batch_and_miss_no_row(monkeypatch: pytest.MonkeyPatch):
    alone = list(EpochSampler(70, seed=1, batch=16))
    shares = []
    for rank in range(2):
        monkeypatch.setattr("baselines.networks.tensors.own_rank", lambda rank=rank: rank)
        sampler = EpochSampler(70, seed=1, batch=16, processes=2)
        shares.append(np.array(list(sampler)).reshape(-1, 8))
        assert len(sampler) == 32
    assert np.hstack(shares).ravel().tolist() == alone
    dealt = []
    for rank in range(2):
        monkeypatch.setattr("baselines.networks.tensors.own_rank", lambda rank=rank: rank)
        shared = SharedSampler(31, processes=2)
        dealt.append(list(shared))
        assert len(dealt[-1]) == len(shared) == 16
    assert sorted(dealt[0] + dealt[1]) == [FILLING, *range(31)]


def _curves(folder: Path) -> np.ndarray:
    rows = csv.DictReader((folder / "curves.csv").read_text().splitlines())
    return np.array([[float(row["train_loss"]), float(row["val_loss"])] for row in rows])


@pytest.mark.full_size
def test_two_processes_train_what_one_trains(tmp_path: Path):
    one, two = tmp_path / "1", tmp_path / "2"
    one.mkdir()
    two.mkdir()
    train(one, 1)
    done = _run(two, "tests.baselines.two_processes", two, 2)
    assert done.returncode == 0, done.stderr
    assert len(_curves(one)) == 3
    np.testing.assert_allclose(_curves(two), _curves(one), rtol=1e-5)
    apart = np.abs(np.load(two / "weights.npy") - np.load(one / "weights.npy"))
    assert apart.mean() < 1e-6  # a step of Adam is 1e-3, whichever way a rounded gradient points
    assert apart.max() < 2e-4


@pytest.mark.full_size
def test_one_entry_comes_of_two_processes(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch):
    space = create_workspace(tmp_path / "space", cohort="tiny.toml")
    (space.root / "tiny.toml").write_text(SPEC)
    write_tiny(space.root / "data" / "tiny")
    words = ("baseline", "run", "cnn-small", "--quick", "--set", "devices=2", "--set", "epochs=2")
    done = _run(space.root, "bench", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Stored cnn-small") == 1
    assert (space.submission("tiny", "cnn-small") / "predictions.parquet").is_file()
    monkeypatch.chdir(space.root)
    monkeypatch.delenv("BENCH_DATA", raising=False)
    again = cli(*words, "--replace", "--track", "cv5")
    assert again.exit_code == 1
    assert "baseline-processes" in again.stderr
