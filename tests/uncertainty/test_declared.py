"""Metrics that declare only a value, or a value and an influence, and the mapping that holds estimates."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

import bench
from bench.metrics.metric import Direction, Metric, Needs
from bench.uncertainty.continuous import ContinuousEvaluation
from bench.uncertainty.evaluate import prepare
from tests.metrics import slow

FACTS: dict[str, Any] = {"label": "A", "short_label": "A", "definition": "A.", "direction": Direction.LOWER}


def squared_error(scores):
    return float(np.average((scores.score - scores.positive) ** 2, weights=scores.weight))


def squared_error_influence(scores):
    loss = (scores.score - scores.positive) ** 2
    return scores.unit * (loss - np.average(loss, weights=scores.weight)) / scores.unit.sum()


@pytest.fixture(scope="module")
def sample():
    return slow.cohort(np.random.default_rng(0), 150, tied=False)


@pytest.fixture(scope="module")
def result(sample):
    y, p, patient = sample
    return bench.evaluate(y, p, patient, 300, 3)


def test_value_and_influence_give_the_cluster_robust_t_interval(sample):
    y, p, patient = sample
    metric = Metric(
        key="a", needs=Needs.PROBABILITIES, value=squared_error, influence=squared_error_influence, **FACTS
    )
    estimate = prepare(y, p, bench.PatientBootstrap(patient, 10)).estimate(metric)
    residual = (p - y) ** 2 - np.mean((p - y) ** 2)
    phi = np.array([residual[patient == who].sum() for who in set(patient)]) / len(y)
    se = np.sqrt(150 / 149 * np.sum(phi**2))
    df = 2 * np.sum(phi**2) ** 2 / (np.sum(phi**4) - np.sum(phi**2) ** 2 / 150)
    reach = student.ppf(0.975, df) * se
    assert estimate.value == pytest.approx(np.mean((p - y) ** 2), rel=1e-12)
    assert (estimate.se, estimate.df) == pytest.approx((se, df), rel=1e-9)
    assert (estimate.low, estimate.high) == pytest.approx(
        (estimate.value - reach, estimate.value + reach), rel=1e-9
    )
    assert estimate.method == "sandwich-t"


@pytest.mark.parametrize("weighted", [False, True])
def test_a_value_alone_is_computed_in_every_replicate(sample, weighted):
    y, p, patient = sample
    weight = np.random.default_rng(1).integers(0, 4, len(y)) / 7 if weighted else None
    boot = bench.PatientBootstrap(patient, 60, 1)
    metric = Metric(key="a", needs=Needs.PROBABILITIES, value=squared_error, scale="log", **FACTS)
    scored = prepare(y, p, boot, weight=weight)
    np.testing.assert_allclose(
        scored.replicates.of(metric), boot.replicates(y, p, "brier", weight), rtol=1e-12
    )
    estimate = scored.estimate(metric)
    assert (
        estimate.df
        == min(len(set(patient[rows & (weight is None or weight > 0)])) for rows in (y == 1, y == 0)) - 1
    )
    assert estimate.low < estimate.value < estimate.high


def test_a_value_is_not_asked_for_where_a_class_is_missing():
    def value(scores):
        assert 0 < scores.positives < len(scores)
        return 0.5 + scores.positives / 1000

    metric = Metric(key="a", needs=Needs.RANKING, value=value, **FACTS)
    boot = bench.PatientBootstrap(np.arange(8), 400)
    y = np.array([0, 0, 0, 0, 0, 0, 0, 1])
    drawn = prepare(y, np.linspace(0, 1, 8), boot).replicates.of(metric)
    absent = boot.counts[:, 7] == 0
    assert absent.any()
    assert np.array_equal(np.isnan(drawn), absent | (boot.counts[:, 7] == 8))
    assert prepare(0 * y, y / 2, boot).estimate(metric).reason == "no positive image"


def test_an_evaluation_is_a_mapping_with_attributes(result):
    assert result["auroc"] is result.auroc
    assert next(iter(result)) == "auroc"
    assert dict(result)["brier"] == result.brier
    assert len(result) == len(list(result))
    assert "auroc" in result
    assert "images" not in result
    assert {"auroc", "images", "items"} <= set(dir(result))
    with pytest.raises(KeyError):
        result["accuracy"]
    with pytest.raises(AttributeError, match="no attribute or metric 'accuracy'"):
        result.accuracy  # noqa: B018
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.images = 3
    with pytest.raises((AttributeError, TypeError)):
        result.auroc = 3


def test_an_evaluation_is_copied_and_pickled(result):
    for again in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert again == result
        assert again.auroc == result.auroc
        assert np.array_equal(again.auroc_replicates, result.auroc_replicates)


def test_an_evaluation_is_printed_line_by_line(sample, result):
    lines = str(result).splitlines()
    assert lines[0].startswith(f"Evaluation of {result.images} images ({result.positives} positive)")
    assert len(lines) == 1 + len(result)
    auroc = result.auroc
    assert lines[1].split() == [
        "auroc",
        f"{auroc.value:.4g}",
        f"({auroc.low:.4g}",
        "to",
        f"{auroc.high:.4g})",
    ]
    y, p, patient = sample
    some = bench.evaluate(y, p, patient, 5, metrics=["brier"])
    assert len(str(some).splitlines()) == 2
    assert repr(some).count("\n") == 0


def test_measurements_are_a_mapping_too(sample):
    _, p, patient = sample
    evaluation = bench.evaluate_continuous(p, p**2, patient, replicates=50)
    assert isinstance(evaluation, ContinuousEvaluation)
    assert list(evaluation) == ["mae", "rmse", "bias", "loa_low", "loa_high", "pearson", "concordance", "r2"]
    assert evaluation["mae"] is evaluation.mae
    assert pickle.loads(pickle.dumps(evaluation)) == evaluation
    assert "pearson" in str(evaluation)
