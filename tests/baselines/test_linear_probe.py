"""The linear probe: features as the encoder gives them, a penalty that val chooses, faults of encoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from baselines.api import Choices
from baselines.probe.encoder import encode, open_encoder
from baselines.probe.head import STRENGTHS, fit_probe
from baselines.registry import find_baseline
from baselines.run import RunConfig, run_baseline
from baselines.views import make_task
from bench.cohort.cohort import Cohort
from bench.errors import BenchError
from bench.progress import silent
from bench.submission.check_predictions import load_predictions
from bench.submission.store import read_manifest
from tests.baselines.conftest import ENCODER, ENCODER_SIDE, ENCODER_WIDTH, write_encoder


def _data(count: int, seed: int, width: int = 30, signal: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(3, 2, (count, width)).astype(np.float32)
    logits = signal * (x[:, 0] - 3) - 0.5
    return x, (random.random(count) < 1 / (1 + np.exp(-logits))).astype(float)


def test_the_head_equals_scikit_learns_at_the_strength_that_val_prefers():
    (x, y), (v, w), (t, _) = _data(150, 0), _data(400, 1), _data(50, 2)
    losses = {}
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000, tol=1e-8))
        losses[strength] = (log_loss(w, model.fit(x, y).predict_proba(v)[:, 1]), model)
    best = min(losses, key=lambda strength: losses[strength][0])
    assert best not in (STRENGTHS[0], STRENGTHS[-1])  # a choice within the range
    probe = fit_probe(x, y, v, w)
    assert probe.strength == best
    np.testing.assert_allclose(probe.probabilities(t), losses[best][1].predict_proba(t)[:, 1], atol=2e-3)


def test_val_alone_chooses():
    """A val that is train prefers no penalty, one that says the opposite the strongest."""
    x, y = _data(80, 3)
    assert fit_probe(x, y, x, y).strength == STRENGTHS[-1]
    assert fit_probe(x, y, x, 1 - y).strength == STRENGTHS[0]


def test_excluded_labels_and_features_that_never_change():
    x, y = _data(200, 5)
    x[:, 7] = 4.0
    hidden = np.concatenate([y, np.full(30, np.nan)])
    wide = np.concatenate([x, np.full((30, 30), 1000, np.float32)])
    probe = fit_probe(wide, hidden, wide, hidden)
    expected = fit_probe(x, y, x, y)
    np.testing.assert_array_equal(probe.weights, expected.weights)
    assert probe.weights[7] == 0
    assert roc_auc_score(y, probe.probabilities(x)) > 0.7


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_is_a_constant(label: float):
    x, _ = _data(20, 6)
    probe = fit_probe(x, np.full(20, label), x, np.full(20, label))
    probabilities = probe.probabilities(x)
    assert len(set(probabilities)) == 1
    assert abs(probabilities[0] - label) < 0.05


def test_features_are_the_encoders_own(tiny: Cohort, tmp_path: Path):
    choices = Choices(encoder=write_encoder(tmp_path))
    task = make_task(
        tiny, find_baseline("linear-probe"), seed=0, quick=True, folder=tmp_path, choices=choices
    )
    features = encode(open_encoder(tmp_path / "encoder.toml"), task.val, silent, "")
    pixels = np.concatenate(list(task.val.pixels(ENCODER_SIDE, ENCODER_SIDE))) / 255
    pooled = pixels.reshape(-1, 6, 4, 6, 4).mean((2, 4)).reshape(-1, ENCODER_WIDTH)
    np.testing.assert_allclose(features, (pooled - 0.5) / 0.25, atol=1e-5)


def test_declarations_of_the_encoder_become_those_of_the_entry(tiny: Cohort, tmp_path: Path):
    choices = Choices(encoder=write_encoder(tmp_path))
    run = run_baseline("linear-probe", tiny, tmp_path / "run", RunConfig(choices=choices))
    manifest = read_manifest(run.manifest)
    assert manifest.name == "Linear probe, Pooled pixels"
    assert manifest.pretrained_weights == "none: means of four by four pixels"
    assert "large C = " in manifest.description
    rows = tiny.rows("test")
    values = load_predictions(run.predictions, tiny).values["large"]
    assert roc_auc_score(tiny.targets["large"][rows], values) > 0.7


Change = Callable[[str], str]
FAULTS: dict[str, tuple[Change, str, str]] = {
    "unknown key": (lambda t: t + "scales = 2\n", "baseline-encoder", "image.scales"),
    "no name": (lambda t: t.replace('name = "Pooled pixels"\n', ""), "baseline-encoder", "name"),
    "not TOML": (lambda t: t + "[", "baseline-encoder", "Not valid TOML"),
    "no square": (lambda t: t.replace("width = 24", "width = 28"), "baseline-encoder", "24 by 28"),
    "other input": (lambda t: t.replace('name = "image"', 'name = "x"'), "model-input", "'image'"),
    "other size": (lambda t: t.replace("= 24", "= 32"), "model-input", "(free, 1, 32, 32)"),
    "three channels": (lambda t: t + "channels = 3\n", "model-input", "(free, 3, 24, 24)"),
    "other output": (lambda t: t.replace('features = "features"', 'features = "z"'), "model-output", "'z:0'"),
    "no such file": (
        lambda t: t.replace("encoder.onnx", "gone.onnx"),
        "model-unreadable",
        "There is no such file",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_encoder_that_is_not_as_described(fault: str, tiny: Cohort, tmp_path: Path):
    change, code, words = FAULTS[fault]
    path = write_encoder(tmp_path)
    path.write_text(change(ENCODER))
    with pytest.raises(BenchError) as caught:
        run_baseline("linear-probe", tiny, tmp_path / "run", RunConfig(choices=Choices(encoder=path)))
    assert code in {p.code for p in caught.value.problems}
    assert any(words in p.message for p in caught.value.problems), caught.value
    assert caught.value.exit_code == 1


def test_a_fixed_batch_is_refused(tiny: Cohort, tmp_path: Path):
    path = write_encoder(tmp_path, batch=4)
    with pytest.raises(BenchError) as caught:
        open_encoder(path)
    assert {p.code for p in caught.value.problems} == {"model-batch"}


@pytest.mark.parametrize(("content", "code"), [(b"", "model-format"), (b"PK\x03\x04 a zip", "model-format")])
def test_no_onnx_file(content: bytes, code: str, tmp_path: Path):
    path = write_encoder(tmp_path)
    (tmp_path / "encoder.onnx").write_bytes(content)
    with pytest.raises(BenchError) as caught:
        open_encoder(path)
    assert [p.code for p in caught.value.problems] == [code]


def test_no_encoder_is_named(tiny: Cohort, tmp_path: Path):
    with pytest.raises(BenchError) as caught:
        run_baseline("linear-probe", tiny, tmp_path)
    assert [p.code for p in caught.value.problems] == ["baseline-encoder"]
    assert "--encoder" in caught.value.problems[0].as_dict()["remedy"]


def test_features_that_are_no_numbers(tiny: Cohort, tmp_path: Path):
    """0 / 0 for black pixels, by a scale of 0 within the graph."""
    import onnx
    from onnx import helper

    path = write_encoder(tmp_path)
    model = onnx.load(tmp_path / "encoder.onnx")
    model.graph.node[-1].output[0] = "flat"
    model.graph.node.append(helper.make_node("Log", ["flat"], ["features"]))  # pixels below the mean
    onnx.save(model, tmp_path / "encoder.onnx")
    how = RunConfig(choices=Choices(encoder=path))
    with pytest.raises(BenchError) as caught:
        run_baseline("linear-probe", tiny, tmp_path / "run", how)
    assert [p.code for p in caught.value.problems] == ["baseline-encoder"]
    assert "NaN or infinite" in caught.value.problems[0].message


def test_without_val_there_is_no_choice(tiny: Cohort, tmp_path: Path):
    choices = Choices(encoder=write_encoder(tmp_path))
    baseline = find_baseline("linear-probe")
    task = make_task(tiny, baseline, seed=0, quick=True, folder=tmp_path, choices=choices)
    empty = replace(task.val, images=task.val.images[:0])
    with pytest.raises(BenchError) as caught:
        baseline.run(replace(task, val=empty))
    assert [p.code for p in caught.value.problems] == ["baseline-no-training"]
