from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from baselines.networks.export import export_onnx
from baselines.networks.heads import LEAST_SPREAD, BinaryHead, EchoHead
from baselines.networks.learner import Learner
from baselines.networks.models import Network
from baselines.networks.recipe import load_recipe
from baselines.networks.run import run_recipe
from baselines.registry import find_baseline
from baselines.views import make_task
from bench.cohort.cohort import Cohort
from bench.cohort.spec import load_spec
from bench.errors import BenchError

MEASURES = ("ivsd", "lvpwd", "lvidd")
RULES = load_spec("demo").label_rules
HEAD = EchoHead(MEASURES, RULES)


def _raw(seed: int, count: int = 50) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(1.0, 1.5, (count, 6)))


def test_the_loss_is_the_negative_log_likelihood():
    raw, labels = _raw(0), torch.from_numpy(np.random.default_rng(1).normal(2, 1, (50, 3)))
    labels[::3, 1] = torch.nan
    labels[7] = torch.nan
    mean, spread = (part.numpy() for part in HEAD.distribution(raw))
    expected = np.nanmean(-norm.logpdf(labels.numpy()[:7], mean[:7], spread[:7]), axis=1)
    loss = HEAD.loss(raw, labels).numpy()
    np.testing.assert_allclose(loss[:7], expected)
    assert loss[7] == 0


def test_excluded_measurements_have_no_gradient():
    raw = _raw(2).requires_grad_()
    labels = torch.full((50, 3), torch.nan, dtype=torch.float64)
    labels[:, 0] = 1.0
    HEAD.loss(raw, labels).sum().backward()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()
    assert (raw.grad[:, [1, 2, 4, 5]] == 0).all()
    assert (raw.grad[:, [0, 3]] != 0).any()


@pytest.mark.parametrize(("sex", "walls", "cavity"), [(1.0, 1.5, 5.9), (0.0, 1.4, 5.3)])
def test_targets_are_the_tails_above_the_thresholds(sex: float, walls: float, cavity: float):
    raw = _raw(3)
    mean, spread = (part.numpy() for part in HEAD.distribution(raw))
    tail = 1 - norm.cdf([walls, walls, cavity], mean, spread)
    slvh = tail[:, 0] + tail[:, 1] - tail[:, 0] * tail[:, 1]
    expected = np.column_stack([slvh, tail[:, 2], 1 - (1 - slvh) * (1 - tail[:, 2]), mean])
    predicted = HEAD.predictions(raw, torch.full((50, 1), sex, dtype=torch.float64)).numpy()
    assert HEAD.columns == ("slvh", "dlv", "composite_slvh_dlv", *MEASURES)
    np.testing.assert_allclose(predicted, expected, atol=1e-12)


def test_an_unknown_sex_lies_between_the_sexes():
    raw = _raw(4)
    female, unknown, male = (
        HEAD.predictions(raw, torch.full((50, 1), sex, dtype=torch.float64))[:, :3]
        for sex in (0.0, torch.nan, 1.0)
    )
    assert ((male <= unknown) & (unknown <= female)).all()
    assert (male < female).any()


@given(st.floats(0.1, 8), st.floats(LEAST_SPREAD + 0.01, 3))
def test_training_starts_from_the_averages(mean: float, spread: float):
    values = torch.tensor([mean - spread, mean + spread, torch.nan], dtype=torch.float64)
    bias = HEAD.initial_bias(values[:, None].repeat(1, 3))
    found_mean, found_spread = HEAD.distribution(bias[None])
    torch.testing.assert_close(found_mean, torch.full((1, 3), mean, dtype=torch.float64))
    torch.testing.assert_close(found_spread, torch.full((1, 3), spread, dtype=torch.float64))


def test_binary_training_starts_from_the_prevalence():
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, torch.nan], [torch.nan, 0.0]])
    head = BinaryHead(("a", "b"))
    p = head.predictions(head.initial_bias(labels)[None], None)[0]
    torch.testing.assert_close(p, torch.tensor([1.5 / 4, 0.5 / 4]))


def test_age_and_sex_reach_the_network_and_may_be_missing():
    torch.manual_seed(0)
    network = Network("small", ("age", "sex"), 2, 0.0).eval()
    image = torch.rand(1, 1, 32, 32).expand(5, -1, -1, -1)
    age = torch.tensor([[40.0], [80.0], [60.0], [torch.nan], [60.0]])
    sex = torch.tensor([[1.0], [1.0], [0.5], [torch.nan], [0.0]])
    out = network(image, age, sex)
    assert torch.isfinite(out).all()
    assert not torch.equal(out[0], out[1])
    assert not torch.equal(out[2], out[4])
    torch.testing.assert_close(out[2], out[3])


@pytest.mark.slow
def test_one_file_goes_from_image_age_and_sex_to_everything(tmp_path: Path):
    """On a small network, for time; the graph around it is the same."""
    onnxruntime = pytest.importorskip("onnxruntime")
    recipe = load_recipe("densenet121-echo", quick=True).model_copy(update={"network": "small", "size": 32})
    learner = Learner(recipe, HEAD, seed=1).eval()
    interface = export_onnx(learner, tmp_path / "model.onnx")
    assert (interface.age, interface.sex) == ("age", "sex")
    assert interface.outputs == {target: f"predictions:{k}" for k, target in enumerate(HEAD.columns)}
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    for count in (1, 2, 7):
        image = random.random((count, 1, 32, 32), np.float32)
        age = random.uniform(20, 90, (count, 1)).astype(np.float32)
        sex = random.integers(0, 2, (count, 1)).astype(np.float32)
        age[0] = sex[-1] = np.nan
        (found,) = session.run(None, {"image": image, "age": age, "sex": sex})
        extra = torch.from_numpy(np.column_stack([age, sex]))
        with torch.no_grad():
            expected = learner.predict(torch.from_numpy(image), extra).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_without_a_rule_for_the_headline_it_says_so(tiny: Cohort, tmp_path: Path):
    task = make_task(tiny, find_baseline("densenet121-echo"), seed=0, quick=True, folder=tmp_path)
    assert [rule.target for rule in task.rules] == ["large"]
    with pytest.raises(BenchError) as caught:
        run_recipe(replace(task, rules=()), load_recipe("densenet121-echo", quick=True))
    assert caught.value.problems[0].code == "baseline-label-rule"
    assert "large" in caught.value.problems[0].message
