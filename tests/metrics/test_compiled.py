"""Machine code on disk is used again, but never after a kernel that it was compiled with has changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import bench

USE = """
import numpy as np
from bench.metrics.kernels.pairs import largest_distance
largest_distance(np.zeros((2, 3)), np.zeros((2, 2)))
hits = sum(largest_distance.stats.cache_hits.values())
misses = sum(largest_distance.stats.cache_misses.values())
print(hits, misses)
"""


def test_a_changed_constant_of_another_kernel_is_compiled_in(tmp_path: Path) -> None:
    copy = tmp_path / "bench"
    shutil.copytree(Path(bench.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def used() -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        environment.pop("NUMBA_CACHE_DIR", None)
        command = [sys.executable, "-c", USE]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert used() == "0 1"  # compiled
    assert used() == "1 0"  # read from the disk
    constants = copy / "metrics" / "kernels" / "scan.py"
    changed = constants.read_text("utf-8").replace("LANES = 512", "LANES = 256")
    assert changed != constants.read_text("utf-8")
    constants.write_text(changed, "utf-8")
    assert used() == "0 1"
