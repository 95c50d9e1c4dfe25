"""Trains a network without batch statistics by as many processes as said: run by test_processes.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from baselines.networks.heads import BinaryHead
from baselines.networks.learner import Learner
from baselines.networks.recipe import parse_recipe
from baselines.networks.tensors import Arrays
from baselines.networks.train import fit
from bench.progress import silent
from tests.baselines.test_recipe import GOOD


def arrays(count: int, seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, (count, 2)).astype(np.float32)
    pixels = random.integers(0, 120, (count, 32, 32))
    pixels[:, 8:20, 8:20] += (100 * labels[:, :1, None]).astype(int)
    labels[::7, 1] = np.nan
    return Arrays(pixels.astype(np.uint8), np.empty((count, 0), np.float32), labels)


def main(folder: Path, devices: int) -> None:
    recipe = parse_recipe(
        GOOD, where="", settings={"devices": devices, "accelerator": "cpu", "threads": 1, "patience": 3}
    )
    learner = Learner(recipe, BinaryHead(("a", "b")), 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        learner.network.encoder = nn.Sequential(nn.Flatten(), nn.Linear(1024, 256), nn.Tanh())
    fit(learner, arrays(70, 0), arrays(31, 1), folder, silent)  # 31: one process has a row less
    weights = [w.detach().numpy().ravel() for w in learner.state_dict().values()]
    np.save(folder / "weights.npy", np.concatenate(weights))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
