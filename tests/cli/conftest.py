"""A predictions file that is accepted, with its manifest beside it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.tiny import MANIFEST


@pytest.fixture
def good_file(good: pd.DataFrame, tmp_path: Path) -> Path:
    (tmp_path / "submission.toml").write_text(MANIFEST)
    good.to_csv(tmp_path / "p.csv", index=False)
    return tmp_path / "p.csv"
