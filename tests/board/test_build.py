"""The board of several entries: ranks, ties, duplicates, and what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bench.board.build import build_board
from bench.board.load import load_board
from bench.board.model import Board
from bench.board.same_draws import refuse_mixed
from bench.board.verify import verify_entries
from bench.errors import BenchError
from bench.files import canonical_json, write_json
from bench.scoring.run import make_plans, score_all
from bench.submission.store import list_submissions
from tests.scoring.conftest import noisy, store_entry

HEADLINE = "composite_slvh_dlv"


@pytest.fixture(scope="module")
def store(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    values = {f"m{i}": noisy(cohort, 0.6 * i, seed=i) for i in range(1, 7)}
    values["copy"] = values["m6"]
    values["squared"] = {t: p**2 if p.max() <= 1 else p for t, p in values["m6"].items()}
    values["only-headline"] = {HEADLINE: noisy(cohort, 1.0, seed=11)[HEADLINE]}
    entries = [store_entry(cohort, folder, slug, v) for slug, v in values.items()]
    plans = make_plans(cohort, entries, replicates=400, seed=0)
    score_all(plans, entries, folder / ".cache")
    return folder


@pytest.fixture(scope="module")
def board(cohort, store):
    return build_board(cohort, list_submissions(store), store / ".cache")


def test_ranks_follow_the_auroc_of_scikit_learn(board, cohort):
    test = cohort.rows("test")
    y = cohort.targets[HEADLINE][test]
    area = {f"m{i}": roc_auc_score(y, noisy(cohort, 0.6 * i, seed=i)[HEADLINE]) for i in range(1, 7)}
    shown = [s for s in board.target(HEADLINE).standings if s.slug in area]
    assert [s.slug for s in shown] == sorted(area, key=lambda slug: -area[slug])
    assert [s.auroc for s in shown] == pytest.approx(sorted(area.values(), reverse=True), abs=1e-9)
    for standing in shown:
        assert standing.rank_low <= standing.rank <= standing.rank_high


def test_the_leader_group_is_the_same_everywhere(board):
    for target in board.targets:
        ranked = [s for s in target.standings if s.rank is not None]
        first = [s.slug for s in ranked if s.may_be_first]
        assert target.leader == ranked[0].slug
        assert target.leader in first
        assert target.others_may_be_first == len(first) - 1
    worst = next(s for s in board.target(HEADLINE).standings if s.slug == "m1")
    assert not worst.may_be_first
    assert not worst.tied_with_leader
    assert worst.rank_low > 1
    assert worst.difference_high < 0
    assert worst.p_value < 0.05


def test_equal_rankings_are_found_up_to_a_monotone_map(board):
    (same_ranking,) = board.target(HEADLINE).same_ranking
    assert set(same_ranking.slugs) == {"m6", "copy", "squared"}
    assert not same_ranking.identical
    for slug in ("m6", "copy", "squared"):
        standing = next(s for s in board.target(HEADLINE).standings if s.slug == slug)
        assert (standing.rank, standing.rank_low) == (1, 1)


def test_an_entry_without_the_target_is_unranked_with_the_reason(board):
    standing = next(s for s in board.target("slvh").standings if s.slug == "only-headline")
    assert standing.rank is None
    assert standing.unranked_reason == "no predictions for this target"
    assert board.target("slvh").standings[-1] == standing


def test_the_stored_board_is_read_without_the_data_and_refused_when_stale(board, cohort, store):
    write_json(store / "board.json", board.plain())
    loaded = load_board(cohort.spec, store)
    assert loaded.board == Board.model_validate_json(canonical_json(board.plain()))
    assert set(loaded.entries) == {s.slug for s in list_submissions(store)}
    extra = store_entry(cohort, store, "new", noisy(cohort, 1, 20))
    assert "new" not in load_board(cohort.spec, store).entries
    score_all(make_plans(cohort, [extra], replicates=400, seed=0), [extra], store / ".cache")
    with pytest.raises(BenchError, match="board-stale"):
        load_board(cohort.spec, store)
    for file in extra.folder.iterdir():
        file.unlink()
    extra.folder.rmdir()


def test_the_cv5_track_has_a_board_of_its_own(cohort, tmp_path):
    rng = np.random.default_rng(0)
    y, fold = cohort.targets[HEADLINE], cohort.split.folds
    scores = {f"cv{k}": y * k / 2 + rng.normal(size=len(y)) + 3 * fold for k in (1, 2, 4)}
    for slug, values in scores.items():
        store_entry(cohort, tmp_path, slug, {HEADLINE: values}, track="cv5", scores="uncalibrated")
    store_entry(cohort, tmp_path, "hold", noisy(cohort, 1, 1))
    entries = list_submissions(tmp_path)
    score_all(make_plans(cohort, entries, replicates=100, seed=0), entries, tmp_path / ".cache")
    board = build_board(cohort, entries, tmp_path / ".cache")
    (shown,) = (t for t in board.cv5 if t.target == HEADLINE)
    area = {
        slug: np.mean([roc_auc_score(y[fold == f], v[fold == f]) for f in range(5)])
        for slug, v in scores.items()
    }
    assert [s.slug for s in shown.standings] == sorted(area, key=lambda slug: -area[slug])
    assert [s.auroc for s in shown.standings] == pytest.approx(sorted(area.values(), reverse=True))
    holdout = board.target(HEADLINE).standings
    assert [(s.slug, s.rank) for s in holdout] == [("hold", 1), ("cv1", None), ("cv2", None), ("cv4", None)]
    assert "all patients" in holdout[-1].unranked_reason


def test_every_entry_is_compared_with_age_and_sex_alone(cohort, tmp_path):
    strength = {"demographics": 3.0, "better": 6.0, "worse": 1.5}
    for seed, (slug, times) in enumerate(strength.items()):
        store_entry(cohort, tmp_path, slug, noisy(cohort, times, seed))
    entries = list_submissions(tmp_path)
    score_all(make_plans(cohort, entries, replicates=400, seed=0), entries, tmp_path / ".cache")
    shown = build_board(cohort, entries, tmp_path / ".cache").target(HEADLINE)
    assert shown.reference == "demographics"
    by_slug = {s.slug: s for s in shown.standings}
    for slug, standing in by_slug.items():
        if slug == "demographics":
            assert standing.reference_difference is None
            continue
        expected = standing.auroc - by_slug["demographics"].auroc
        assert standing.reference_difference == pytest.approx(expected, abs=1e-8)
        below = [f.code for f in standing.flags if f.code == "below-age-and-sex"]
        assert bool(below) == (slug == "worse")
    assert by_slug["better"].reference_p_value < 0.05


def test_an_auroc_that_is_often_undefined_is_not_ranked(cohort, tmp_path):
    """One positive patient in three draws is missing: no interval is given, and no rank either."""
    test = cohort.rows("test")
    few = np.zeros(len(cohort))
    few[cohort.patients == cohort.patients[test[0]]] = 1
    rare = replace(cohort, targets={**cohort.targets, "dlv": few})
    for slug in ("a", "b"):
        store_entry(rare, tmp_path, slug, noisy(cohort, 1, len(slug)))
    entries = list_submissions(tmp_path)
    score_all(make_plans(rare, entries, replicates=100, seed=0), entries, tmp_path / ".cache")
    shown = build_board(rare, entries, tmp_path / ".cache").target("dlv")
    assert [s.rank for s in shown.standings] == [None, None]
    assert "undefined in" in shown.standings[0].unranked_reason


def test_percentile_ranks_are_those_of_the_replicates(board):
    for standing in board.target(HEADLINE).standings:
        if standing.rank is not None:
            assert standing.percentile_rank_low <= standing.percentile_rank_high
    best = board.target(HEADLINE).standings[0]
    assert best.percentile_rank_low == 1


def test_scorecards_of_different_draws_are_not_mixed(cohort, tmp_path):
    entries = [store_entry(cohort, tmp_path, slug, noisy(cohort, 1, 1)) for slug in ("a", "b")]
    for entry, seed in zip(entries, (0, 1), strict=True):
        score_all(make_plans(cohort, [entry], replicates=100, seed=seed), [entry], tmp_path / ".cache")
    with pytest.raises(BenchError, match="board-mixed"):
        build_board(cohort, entries, tmp_path / ".cache")


def test_other_draws_are_refused_before_anything_is_scored(cohort, tmp_path):
    """Whether the stored board knows the draws, is older than a scorecard, or cannot be read."""
    one, other, third = (
        store_entry(cohort, tmp_path, slug, noisy(cohort, 1, seed)) for seed, slug in enumerate("abc")
    )
    plans = make_plans(cohort, [one, other], replicates=100, seed=0)
    score_all(plans, [one, other], tmp_path / ".cache")
    path = tmp_path / "board.json"
    write_json(path, build_board(cohort, [one, other], tmp_path / ".cache").plain())

    def refuse(replicates, seed, chosen=third):
        refuse_mixed([one, other, third], [chosen], replicates, seed, board=path)

    refuse(100, 0)
    with pytest.raises(BenchError, match="2 other entries"):
        refuse(100, 1)
    with pytest.raises(BenchError, match=r"1 other entry .* b"):
        refuse(100, 1, chosen=one)
    score_all(make_plans(cohort, [other], replicates=50, seed=0), [other], tmp_path / ".cache")
    with pytest.raises(BenchError, match=r"1 other entry .* b"):
        refuse(100, 0)
    path.write_text("{")
    with pytest.raises(BenchError, match=r"1 other entry .* a"):
        refuse(50, 0)


def test_verify_computes_everything_again(cohort, store):
    entries = list_submissions(store)
    board = build_board(cohort, entries, store / ".cache")  # other tests added attempts to the ledger
    write_json(store / "board.json", board.plain())
    assert verify_entries(cohort, entries, store / "board.json") == []
    edited = board.model_copy(update={"targets": board.targets[:2]})
    write_json(store / "board.json", edited.plain())
    (problem,) = verify_entries(cohort, entries, store / "board.json")
    assert problem.code == "verify-drift"
    assert "board" in problem.message
    write_json(store / "board.json", board.plain())


def test_no_identifier_on_a_board(board, cohort):
    text = canonical_json(board.plain()).decode()
    assert not [i for i in (*cohort.images, *set(cohort.patients)) if i in text]


def test_cv5_entries_are_shown_but_not_ranked(cohort, tmp_path):
    rng = np.random.default_rng(0)
    whole = {HEADLINE: rng.random(len(cohort))}
    entries = [
        store_entry(cohort, tmp_path, "cv", whole, track="cv5"),
        store_entry(cohort, tmp_path, "holdout", noisy(cohort, 1, 1)),
    ]
    plans = make_plans(cohort, entries, replicates=100, seed=0)
    score_all(plans, entries, tmp_path / ".cache")
    shown = build_board(cohort, entries, tmp_path / ".cache").target(HEADLINE).standings
    assert [s.slug for s in shown] == ["holdout", "cv"]
    assert "cv5" in shown[1].unranked_reason


def test_an_edited_scorecard_does_not_reach_the_board(cohort, tmp_path):
    entry = store_entry(cohort, tmp_path, "e", noisy(cohort, 1, 1))
    score_all(make_plans(cohort, [entry], replicates=100, seed=0), [entry], tmp_path / ".cache")
    card = json.loads(entry.scorecard.read_text())
    card["targets"][0]["metrics"]["auroc"]["value"] = 0.999
    entry.scorecard.write_text(json.dumps(card))
    with pytest.raises(BenchError, match=r"0\.999"):
        build_board(cohort, [entry], tmp_path / ".cache")


def test_changed_labels_do_not_reach_the_board(cohort, tmp_path):
    entry = store_entry(cohort, tmp_path, "e", noisy(cohort, 1, 1))
    score_all(make_plans(cohort, [entry], replicates=100, seed=0), [entry], tmp_path / ".cache")
    labels = cohort.targets[HEADLINE].copy()
    labels[::3] = 1 - labels[::3]
    other = replace(cohort, targets={**cohort.targets, HEADLINE: labels})
    with pytest.raises(BenchError, match="labels changed"):
        build_board(other, [entry], tmp_path / ".cache")


def test_a_copied_folder_is_not_the_entry(cohort, tmp_path):
    entry = store_entry(cohort, tmp_path, "e", noisy(cohort, 1, 1))
    score_all(make_plans(cohort, [entry], replicates=100, seed=0), [entry], tmp_path / ".cache")
    shutil.copytree(entry.folder, tmp_path / "copy")
    with pytest.raises(BenchError, match="scorecard-stale"):
        build_board(cohort, list_submissions(tmp_path), tmp_path / ".cache")


def test_predictions_of_another_track_are_refused(cohort, tmp_path):
    entry = store_entry(cohort, tmp_path, "e", {HEADLINE: np.linspace(0, 1, len(cohort))}, track="cv5")
    path = entry.folder / "submission.toml"
    path.write_text(path.read_text().replace('track = "cv5"', 'track = "holdout"'))
    (entry,) = list_submissions(tmp_path)
    with pytest.raises(BenchError, match="images of cv5"):
        score_all(make_plans(cohort, [entry], replicates=100, seed=0), [entry], tmp_path / ".cache")


def test_verify_without_entries_or_board_does_not_pass(cohort, tmp_path):
    assert [p.code for p in verify_entries(cohort, [], tmp_path / "board.json")] == ["board-empty"]
    entry = store_entry(cohort, tmp_path, "e", noisy(cohort, 1, 1))
    score_all(make_plans(cohort, [entry], replicates=100, seed=0), [entry], tmp_path / ".cache")
    assert [p.code for p in verify_entries(cohort, [entry], tmp_path / "board.json")] == ["board-stale"]


def test_links_in_the_store_are_refused(cohort, tmp_path):
    entry = store_entry(cohort, tmp_path / "elsewhere", "e", noisy(cohort, 1, 1))
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "e").symlink_to(entry.folder)
    with pytest.raises(BenchError, match="store-link"):
        list_submissions(tmp_path / "store")
