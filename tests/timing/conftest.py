"""A small cohort, a small model, and timings without the processor's ceilings."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cohort.cohort import Cohort
from bench.timing.record import Roofline
from tests.runtime.models import linear_model, save, tiny_cohort


@pytest.fixture
def no_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the ceilings unmeasured: they take seconds, and have tests of their own."""
    unknown = Roofline(reason="not requested")
    monkeypatch.setattr("bench.timing.time_model.measure_roofline", lambda *_, **__: unknown)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """40 patients."""
    return tiny_cohort(tmp_path_factory.mktemp("cohort") / "c", 40)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(linear_model(), tmp_path_factory.mktemp("model") / "m.onnx")
