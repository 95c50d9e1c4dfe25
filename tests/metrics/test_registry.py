"""The registry of metrics: what every declaration must hold, and how it is looked up."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from bench.metrics import registry
from bench.metrics.metric import RESERVED, Direction, Engine, Interval, Metric, Needs
from bench.uncertainty.continuous import ContinuousEvaluation
from bench.uncertainty.evaluate import Evaluation

FACTS: dict[str, Any] = {
    "label": "A",
    "short_label": "A",
    "definition": "A.",
    "direction": Direction.HIGHER,
    "needs": Needs.RANKING,
    "value": len,
}


def declared(**changes: Any) -> Metric:
    return Metric(**{"key": "a", **FACTS, **changes})


def test_names_and_definitions_are_read_without_numpy() -> None:
    code = (
        "import sys; from bench.metrics.registry import metrics; [m.facts() for m in metrics().values()];"
        "print({'numpy', 'scipy', 'numba'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_every_metric_is_named_and_defined_once() -> None:
    metrics = registry.metrics()
    assert len({metric.label for metric in metrics.values()}) == len(metrics)
    for metric in metrics.values():
        assert metric.definition.endswith(".")
        assert "\n" not in metric.definition
        assert (metric.value is None) == (metric.needs is Needs.DECISIONS)


def test_limits_of_agreement_have_their_names() -> None:
    assert registry.label("loa_low") == "Limits of agreement, lower"
    assert registry.label("loa_high") == "Limits of agreement, upper"
    assert registry.label("of_a_newer_version") == "of a newer version"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": "not a name"}, "identifier"),
        ({"key": "_hidden"}, "identifier"),
        ({"key": "images"}, "field of an evaluation"),
        ({"definition": ""}, "must not be empty"),
        ({"direction": Direction.TARGET}, "give target"),
        ({"target": 1.0}, "give target"),
        ({"value": None}, "value is missing"),
        ({"subgroup_gap": True}, "influence"),
        ({"interval": Interval.SANDWICH}, "influence"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        declared(**changes)


def test_the_interval_follows_from_what_is_declared() -> None:
    assert declared().interval_method is Interval.T
    assert declared(influence=abs).interval_method is Interval.SANDWICH
    assert declared(influence=abs, replicates=Engine.LOOP).interval_method is Interval.T
    assert declared(interval=Interval.NONE).interval_method is Interval.NONE


def test_no_metric_hides_a_field_of_an_evaluation() -> None:
    for evaluation in (Evaluation, ContinuousEvaluation):
        names = {field.name for field in dataclasses.fields(evaluation)}
        names |= {name for name in dir(evaluation) if not name.startswith("_")}
        assert names <= set(RESERVED)


def test_a_metric_is_found_by_key_and_alias() -> None:
    assert registry.metric("average_precision") is registry.metric("auprc")
    with pytest.raises(ValueError, match="unknown metric 'aurok'; did you mean 'auroc'"):
        registry.metric("aurok")
    with pytest.raises(ValueError, match="one of auroc, brier"):
        registry.metric("mae", ("auroc", "brier"))
