import subprocess
import sys

import pytest

FIRST_AND_SECOND_USE = """
import numpy as np
import bench
from bench.metrics.kernels import scan
before = scan.compiled()
bench.PatientBootstrap(["a", "b"], 5).replicates([0, 1], [0.1, 0.2], "auprc")
print(before, scan.compiled())
"""


@pytest.mark.slow
def test_kernels_report_whether_they_are_cached(tmp_path):
    run = [sys.executable, "-c", FIRST_AND_SECOND_USE]
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    said = [
        subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["False True", "True True"]
