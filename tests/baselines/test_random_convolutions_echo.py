"""Measurements from fixed features: thresholds by hand, and the graph against the stored predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from scipy.stats import norm

from baselines.pixels import FileSource
from baselines.probe.measured import MeasurementModel
from baselines.registry import find_baseline
from baselines.run import RunConfig, run_baseline
from bench.cohort.cohort import Cohort
from bench.cohort.spec import LabelRule

RULES = (
    LabelRule.model_validate(
        {
            "target": "slvh",
            "any_of": [
                {"column": "ivsd", "male": 1.5, "female": 1.4},
                {"column": "lvpwd", "male": 1.5, "female": 1.4},
            ],
        }
    ),
    LabelRule.model_validate({"target": "dlv", "any_of": [{"column": "lvidd", "male": 5.9, "female": 5.3}]}),
    LabelRule.model_validate({"target": "composite", "or_targets": ["slvh", "dlv"]}),
)


def test_targets_are_tails_beyond_the_threshold_of_the_sex() -> None:
    names = ("ivsd", "lvpwd", "lvidd")
    spread = np.array([0.2, 0.3, 0.6])
    model = MeasurementModel(names, np.eye(3), np.zeros(3), spread, RULES)
    means = np.array([[1.3, 1.2, 5.0]] * 3, np.float32)
    predicted = model.predictions(means, np.array([1.0, 0.0, np.nan]))
    for row, wall, diameter in ((0, 1.5, 5.9), (1, 1.4, 5.3), (2, 1.45, 5.6)):
        ivsd, lvpwd, lvidd = norm.sf([wall, wall, diameter], [1.3, 1.2, 5.0], spread)
        slvh = ivsd + lvpwd - ivsd * lvpwd
        assert predicted["slvh"][row] == pytest.approx(slvh, abs=1e-6)
        assert predicted["dlv"][row] == pytest.approx(lvidd, abs=1e-6)
        assert predicted["composite"][row] == pytest.approx(slvh + lvidd - slvh * lvidd, abs=1e-6)
    assert predicted["lvidd"] == pytest.approx([5.0, 5.0, 5.0])


def test_the_graph_gives_the_predictions_of_the_run(tiny: Cohort, tmp_path: Path) -> None:
    ran = run_baseline("random-convolutions-echo", tiny, tmp_path, RunConfig())
    assert ran.model is not None
    rows = tiny.rows("test")
    pixels = FileSource(tiny, tiny.images[rows]).read(np.arange(len(rows)), 64, 64)
    session = onnxruntime.InferenceSession(ran.model, providers=["CPUExecutionProvider"])
    sex = (tiny.table["sex"].to_numpy()[rows] == "M").astype(np.float32)[:, None]
    (found,) = session.run(None, {"image": pixels[:, None].astype(np.float32) / 255, "sex": sex})
    stored = pd.read_csv(ran.predictions).drop(columns="image").to_numpy()
    off = np.abs(found - stored).max(axis=0)  # sums in single precision: small beside the largest, not each
    assert (off <= 5e-5 * np.abs(stored).max(axis=0)).all()


@pytest.mark.parametrize("name", ["pixels", "random-convolutions", "random-convolutions-echo"])
def test_image_models_of_the_demo_need_no_torch(name: str) -> None:
    assert find_baseline(name).needs_packages == ("onnx", "onnxruntime")
