"""A new optional field leaves stored scorecards valid; verify compares the values that they hold."""

import dataclasses
import json
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from bench.board.verify import document_differences
from bench.documents import Document, parse_json, schema_field
from bench.errors import BenchError, Problem
from bench.files import canonical_json
from bench.metrics.results import Estimate
from bench.scoring.scorecard import (
    BoardInputs,
    RankInputs,
    Scorecard,
    SubgroupInputs,
    SubgroupScore,
    TargetScore,
)
from tests.publish.boards import loaded_board


class NewTargetScore(TargetScore):
    youden: float | None = None


class NewScorecard(Scorecard):
    """A scorecard of the next minor version, with a new optional field in two places."""

    schema_: str = schema_field("scorecard", 1, 1)
    targets: tuple[NewTargetScore, ...]
    partial_auroc: Estimate | None = None


@pytest.fixture
def stored() -> Scorecard:
    card = loaded_board(1).entries["entry-0000"].scorecard
    assert isinstance(card, Scorecard)
    return card


def differences(stored: Scorecard, computed: Scorecard) -> list[Problem]:
    return document_differences(stored.slug, json.loads(written(stored)), computed)


def written(card: Document) -> bytes:
    return json.dumps(card.plain()).encode()


def test_a_stored_scorecard_without_a_new_field_is_read(stored):
    document = parse_json(NewScorecard, written(stored), "scorecard-invalid", "x")
    assert document.partial_auroc is None
    assert [t.metrics for t in document.targets] == [t.metrics for t in stored.targets]


@pytest.mark.parametrize("model", [RankInputs, BoardInputs, Scorecard])
def test_a_scorecard_of_a_newer_minor_version_is_read(stored, model):
    newer = NewScorecard.model_validate(
        {**stored.plain(), "schema": "scorecard/1.9", "partial_auroc": {"value": 0.5}}
    )
    document = parse_json(model, written(newer), "scorecard-invalid", "x")
    assert [t.metrics for t in document.targets] == [t.metrics for t in stored.targets]
    assert not hasattr(document, "partial_auroc")


def test_an_unknown_field_of_the_own_version_is_a_fault(stored):
    for change in ({"partial_auroc": None}, {"targets": [{**stored.plain()["targets"][0], "youden": 0.1}]}):
        data = json.dumps({**stored.plain(), **change}).encode()
        with pytest.raises(BenchError, match="This key is not known"):
            parse_json(Scorecard, data, "scorecard-invalid", "x")


def test_verify_passes_over_a_field_that_the_older_file_cannot_hold(stored):
    computed = NewScorecard.model_validate(
        {**stored.plain(), "schema": "scorecard/1.9", "partial_auroc": {"value": 0.5}}
    )
    assert differences(stored, computed) == []
    assert differences(computed, stored) == []
    (lost,) = differences(computed.model_copy(update={"partial_auroc": None}), computed)
    assert "partial_auroc is None as stored" in lost.message
    other = {**stored.plain(), "schema": "scorecard/1.9", "seed": 7}
    (moved,) = differences(stored, NewScorecard.model_validate(other))
    assert moved.message == "entry-0000: seed is 0 as stored, 7 now."


def test_an_unknown_key_of_an_estimate_is_a_fault_that_names_the_known_ones(stored):
    data = stored.plain()
    data["targets"][0]["metrics"]["auroc"]["lowe"] = 0.5
    with pytest.raises(BenchError) as refused:
        parse_json(Scorecard, json.dumps(data).encode(), "scorecard-invalid", "x")
    (problem,) = refused.value.problems
    assert problem.message.startswith("targets (1st).metrics.auroc.lowe: This key is not known.")
    assert "'low'" in problem.message
    newer = {**data, "schema": "scorecard/1.9"}
    assert parse_json(Scorecard, json.dumps(newer).encode(), "scorecard-invalid", "x") == stored.model_copy(
        update={"schema_": "scorecard/1.9"}
    )


def test_verify_passes_over_a_field_of_estimates_that_the_older_file_cannot_hold(stored):
    older = {**stored.plain(), "schema": "scorecard/1"}
    del older["targets"][0]["metrics"]["auroc"]["obuchowski_se"]
    more = dataclasses.replace(stored.targets[0].metrics["auroc"], obuchowski_se=0.01)
    first = stored.targets[0].model_copy(update={"metrics": {**stored.targets[0].metrics, "auroc": more}})
    computed = stored.model_copy(update={"targets": (first, *stored.targets[1:])})
    assert document_differences(stored.slug, older, computed) == []
    (lost,) = differences(stored, computed)
    assert "metrics.auroc.obuchowski_se is None as stored, 0.01 now" in lost.message


def test_an_estimate_in_a_scorecard_holds_no_nan(stored):
    with pytest.raises(ValidationError, match="finite number"):
        Scorecard.model_validate({**stored.plain(), "macro": Estimate(float("nan"))})


@pytest.mark.parametrize(
    "path", sorted(Path("submissions").glob("*/*/scorecard.json")), ids=lambda p: p.parent.name
)
def test_reading_and_writing_keeps_the_bytes_of_the_stored_scorecards(path):
    data = path.read_bytes()
    assert canonical_json(parse_json(Scorecard, data, "scorecard-invalid", str(path)).plain()) == data


def with_metric(card: Scorecard, name: str) -> Scorecard:
    first = card.targets[0]
    more = first.model_copy(update={"metrics": {**first.metrics, name: Estimate(value=0.4)}})
    return card.model_copy(update={"targets": (more, *card.targets[1:])})


def test_verify_passes_over_a_metric_of_a_package_that_was_not_installed(stored):
    assert differences(stored, with_metric(stored, "f1")) == []
    (gone,) = differences(with_metric(stored, "f1"), stored)
    assert "metrics.f1" in gone.message
    (hidden,) = differences(stored, with_metric(stored, "log_loss"))
    assert "metrics.log_loss is None as stored" in hidden.message


def test_boards_read_fields_of_the_scorecard_and_no_others():
    def fields(model: type[BaseModel]) -> set[str]:
        return set(model.model_fields)

    only_entries = {"label_efficiency", "sliding", "flags"}
    assert fields(RankInputs) < fields(BoardInputs) == fields(Scorecard) - only_entries
    assert fields(BoardInputs) - fields(RankInputs) == {"continuous", "subgroups"}
    assert fields(SubgroupInputs) == fields(SubgroupScore) - {"decisions"}
    curves = {"roc", "precision_recall", "reliability", "distribution", "decision", "decision_warning"}
    inputs = RankInputs.model_fields["targets"].annotation.__args__[0]
    assert fields(TargetScore) - fields(inputs) == curves | {
        "brier_parts",
        "operating_points",
        "recalibrated",
        "detection_yield",
        "prevalence_shifts",
        "smooth_calibration",
        "brier_skill",
    }
