"""Fixtures of the tests of cohorts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from tests.cohort.small_cohort import ALL_TEST, good, spec, write


@pytest.fixture
def few(tmp_path: Path) -> Cohort:
    """Six images of two patients, with files."""
    table = good().head(6)
    (tmp_path / "images").mkdir()
    for k, name in enumerate(table["image"]):
        Image.fromarray(np.full((16, 16), 9 * k, np.uint8)).save(tmp_path / "images" / name)
    write(tmp_path, table)
    return load_cohort(spec(ALL_TEST), tmp_path)
