"""The stage of every faulty input."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.cohort.cohort import Cohort
from bench.workspace import Workspace
from tests.submission.bad_input.stage import Stage


@pytest.fixture
def stage(cohort: Cohort, good: pd.DataFrame, space: Workspace, tmp_path: Path) -> Stage:
    folder = tmp_path / "submitted"
    folder.mkdir()
    return Stage(folder, cohort, good, space)
