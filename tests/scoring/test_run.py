"""Scoring what is stored: the same bytes however it is run, and drift found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.board.verify import document_differences
from bench.errors import BenchError
from bench.files import sha256_file
from bench.scoring import run
from bench.scoring.run import Finished, make_plans, score_all
from bench.scoring.scorecard import read_scorecard
from bench.submission.packed import read_units
from tests.scoring.conftest import noisy, store_entry


@pytest.fixture(scope="module")
def stored(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    return [store_entry(cohort, folder, f"entry-{i}", noisy(cohort, 1 + i / 8, i)) for i in range(8)]


def test_the_number_of_processes_changes_no_byte(cohort, stored, tmp_path):
    plans = make_plans(cohort, stored, replicates=200, seed=5)
    results = []
    for jobs in (1, 2):
        cache = tmp_path / str(jobs)
        score_all(plans, stored, cache, jobs=jobs)
        cards = [entry.scorecard.read_bytes() for entry in stored]
        results.append((cards, sorted((f.name, f.read_bytes()) for f in cache.iterdir())))
    assert results[0] == results[1]


def replicates_of(plans, entry, cache):
    return run.entry_replicates(plans, entry, cache, sha256_file(entry.predictions))


def assert_same(a, b):
    assert a.values == b.values
    assert all(np.array_equal(a.replicates[target], b.replicates[target]) for target in a.replicates)


def test_replicates_come_from_the_cache(cohort, stored, tmp_path, monkeypatch):
    plans = make_plans(cohort, stored[:1], replicates=200, seed=5)
    fresh = replicates_of(plans, stored[0], tmp_path)
    score_all(plans, stored[:1], tmp_path)

    def refuse(*_args: object) -> None:
        raise AssertionError("predictions were read although the replicates are cached")

    monkeypatch.setattr(run, "read_units", refuse)
    cached = replicates_of(plans, stored[0], tmp_path)
    assert_same(fresh, cached)
    other = make_plans(cohort, stored[:1], replicates=200, seed=6)
    with pytest.raises(AssertionError, match="although"):
        replicates_of(other, stored[0], tmp_path)


def test_a_damaged_cache_is_computed_again(cohort, stored, tmp_path):
    plans = make_plans(cohort, stored[:1], replicates=200, seed=5)
    fresh = replicates_of(plans, stored[0], tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    again = replicates_of(plans, stored[0], tmp_path)
    assert_same(fresh, again)


def test_other_predictions_make_a_scorecard_stale(cohort, tmp_path):
    entry = store_entry(cohort, tmp_path, "e", noisy(cohort, 1, 1))
    score_all(make_plans(cohort, [entry], replicates=100, seed=0), [entry], tmp_path / "cache")
    other = store_entry(cohort, tmp_path / "other", "e", noisy(cohort, 1, 2))
    entry.predictions.write_bytes(other.predictions.read_bytes())
    with pytest.raises(BenchError, match="scorecard-stale"):
        read_scorecard(entry)


def test_predictions_replaced_while_they_are_read_are_not_scored(cohort, tmp_path, monkeypatch):
    entry = store_entry(cohort, tmp_path, "e", noisy(cohort, 1, 1))
    other = store_entry(cohort, tmp_path / "other", "e", noisy(cohort, 1, 2)).predictions.read_bytes()
    plans = make_plans(cohort, [entry], replicates=100, seed=0)

    def replaced(path, *rest):
        values = read_units(path, *rest)
        path.write_bytes(other)
        return values

    monkeypatch.setattr(run, "read_units", replaced)
    with pytest.raises(BenchError, match="entry-changed"):
        score_all(plans, [entry], tmp_path / "cache")
    assert not entry.scorecard.exists()


def test_an_entry_that_cannot_be_scored_stops_no_other(cohort, tmp_path):
    good = store_entry(cohort, tmp_path, "good", noisy(cohort, 1, 1))
    bad = store_entry(cohort, tmp_path, "bad", noisy(cohort, 1, 2))
    bad.predictions.write_bytes(b"PAR1")
    plans = make_plans(cohort, [bad, good], replicates=100, seed=0)
    with pytest.raises(BenchError, match="stored-predictions") as caught:
        score_all(plans, [bad, good], tmp_path / "cache")
    assert len(caught.value.problems) == 1
    assert read_scorecard(good).slug == "good"
    assert not bad.scorecard.exists()


def test_verify_names_entry_metric_old_and_new(cohort, tmp_path):
    entry = store_entry(cohort, tmp_path, "e", noisy(cohort, 1, 1))
    plans = make_plans(cohort, [entry], replicates=100, seed=0)
    scored: list[Finished] = []
    score_all(plans, [entry], tmp_path / "cache", finished=scored.append)
    card = scored[0].card
    stored = read_scorecard(entry)
    assert document_differences(card.slug, stored.plain(), card) == []

    text = json.loads(entry.scorecard.read_text())
    true = text["targets"][1]["metrics"]["auroc"]["value"]
    text["targets"][1]["metrics"]["auroc"]["value"] = true + 1e-8
    entry.scorecard.write_text(json.dumps(text))
    (problem,) = document_differences(card.slug, read_scorecard(entry).plain(), card)
    assert problem.code == "verify-drift"
    for part in ("e: targets[slvh].metrics.auroc.value", f"{true + 1e-8:.9g}", f"{true:.9g}"):
        assert part in problem.message
