import subprocess
import sys

import numpy as np
import pytest

from bench.metrics.kernels import scan

FIRST_AND_SECOND_USE = """
import numpy as np
import bench
from bench.metrics.kernels import scan
before = scan.compiled()
bench.PatientBootstrap(["a", "b"], 5).replicates([0, 1], [0.1, 0.2], "auprc")
print(before, scan.compiled())
"""


@pytest.mark.full_size
def test_kernels_report_whether_they_are_cached(tmp_path):
    run = [sys.executable, "-c", FIRST_AND_SECOND_USE]
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["False True", "True True"]


@pytest.mark.parametrize("rows", [0, 1, 2, 3000])
def test_falling_order_is_that_of_a_stable_sort(rows):
    rng = np.random.default_rng(rows)
    for score in (
        rng.normal(size=rows),
        np.round(rng.normal(size=rows), 1) * rng.choice([-0.0, 1.0], rows),  # ties, and zeros of both signs
        rng.random(rows).astype(np.float32).astype(np.float64),
        rng.normal(size=rows) * 10.0 ** rng.integers(-320, 300, rows),
        np.full(rows, 0.25),
    ):
        assert np.array_equal(scan.falling_order(score), np.argsort(-score, kind="stable"))
