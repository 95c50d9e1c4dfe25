"""Attempts to game a board: random entries, copies, near copies, many entries of a team, noisy labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from bench.board.build import build_board
from bench.board.model import TargetBoard
from bench.cohort.cohort import Cohort
from bench.scoring.run import make_plans, score_all
from bench.submission.similarity import find_similar
from bench.submission.store import list_submissions
from tests.scoring.conftest import noisy, store_entry

HEADLINE = "composite_slvh_dlv"
HONEST = 5


def _board(cohort: Cohort, folder: Path, *, one_per_team: bool = False) -> TargetBoard:
    entries = list_submissions(folder)
    score_all(make_plans(cohort, entries, replicates=300, seed=0), entries, folder / ".cache")
    return build_board(cohort, entries, folder / ".cache", one_per_team=one_per_team).target(HEADLINE)


@pytest.fixture(scope="module")
def honest(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    for i in range(HONEST):
        values = {HEADLINE: noisy(cohort, 2 + 0.15 * i, seed=i)[HEADLINE]}
        store_entry(cohort, folder, f"honest-{i}", values, team=f"Team {i}")
    return folder


def _copy(folder: Path, target: Path) -> Path:
    import shutil

    shutil.copytree(folder, target)
    return target


def _honest_standings(board: TargetBoard) -> list[dict[str, object]]:
    return [
        {k: v for k, v in s.plain().items() if k not in ("flags", "chance_gain", "adaptive_gain")}
        for s in board.standings
        if s.slug.startswith("honest")
    ]


def test_random_entries_and_copies_change_no_other_entry(
    cohort: Cohort, honest: Path, tmp_path: Path
) -> None:
    before = _board(cohort, honest)
    attacked = _copy(honest, tmp_path / "store")
    random = np.random.default_rng(3)
    rows = len(cohort.rows("test"))
    for i in range(10):
        store_entry(cohort, attacked, f"random-{i}", {HEADLINE: random.random(rows)}, team=f"Sybil {i}")
    worst = noisy(cohort, 2, seed=0)[HEADLINE]
    for i, values in enumerate((worst, worst**2, worst / 2)):  # monotone maps keep the ranking
        store_entry(cohort, attacked, f"copy-{i}", {HEADLINE: values}, team=f"Copier {i}")
    after = _board(cohort, attacked)
    assert _honest_standings(after) == _honest_standings(before)
    outside = [s for s in after.standings if s.slug.startswith("random") and s.rank is None]
    assert len(outside) >= 8  # about 1 of 20 random entries is separated from chance
    assert all("chance" in s.unranked_reason for s in outside)
    copies = {s.slug: s for s in after.standings if s.slug.startswith("copy") or s.slug == "honest-0"}
    assert len({s.rank for s in copies.values()}) == 1
    assert {s for group in after.same_ranking for s in group.slugs} == set(copies)


def test_a_near_copy_is_marked(cohort: Cohort, honest: Path, tmp_path: Path) -> None:
    attacked = _copy(honest, tmp_path / "store")
    random = np.random.default_rng(4)
    leader = noisy(cohort, 2 + 0.15 * (HONEST - 1), seed=HONEST - 1)[HEADLINE]
    near = 0.99 * leader + 0.01 * random.random(len(leader))
    store_entry(cohort, attacked, "near", {HEADLINE: near}, team="Thief")
    labels = cohort.targets[HEADLINE][cohort.rows("test")]
    noise = 0.5 * labels + 0.5 * random.random(len(labels))
    store_entry(cohort, attacked, "oracle", {HEADLINE: noise}, team="Oracle")
    flags = {s.slug: [f.code for f in s.flags] for s in _board(cohort, attacked).standings}
    assert "similar-predictions" in flags["near"]
    assert "implausible-auroc" in flags["oracle"]
    assert all("similar-predictions" not in flags[f"honest-{i}"] for i in range(HONEST - 1))


def test_one_entry_of_each_team_is_ranked(cohort: Cohort, honest: Path, tmp_path: Path) -> None:
    crowded = _copy(honest, tmp_path / "store")
    for i in range(3):
        values = {HEADLINE: noisy(cohort, 2 + 0.1 * i, seed=40 + i)[HEADLINE]}
        store_entry(cohort, crowded, f"more-{i}", values, team="Team  0")
    store_entry(
        cohort, crowded, "base", {HEADLINE: noisy(cohort, 1, 50)[HEADLINE]}, team="Team 0", kind="baseline"
    )
    board = _board(cohort, crowded, one_per_team=True)
    ranked = {s.slug for s in board.standings if s.rank is not None}
    of_team = {"honest-0", *(f"more-{i}" for i in range(3))}
    assert len(ranked & of_team) == 1
    assert ranked - of_team == {"base", *(f"honest-{i}" for i in range(1, HONEST))}
    highest = max((s for s in board.standings if s.slug in of_team), key=lambda s: s.auroc or 0)
    assert highest.rank is not None
    reasons = [s.unranked_reason for s in board.standings if s.slug in of_team - ranked]
    assert len(reasons) == 3
    assert all("one entry of each team" in reason or "chance" in reason for reason in reasons), reasons
    assert any("one entry of each team" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("noise", lambda p, rng: 0.99 * p + 0.01 * rng.random(p.shape[1])),
        ("rounded", lambda p, _: p.round(2)),
        ("squared", lambda p, _: p**1.5),
        ("logit", lambda p, _: np.log(p / (1 - p))),
    ],
)
def test_similar_predictions_are_found(name: str, change, cohort: Cohort) -> None:
    stored = np.array([noisy(cohort, 1, seed)[HEADLINE] for seed in range(6)])
    copied = change(stored, np.random.default_rng(0))[2]
    similar = find_similar(copied, stored)
    assert [f.entries for f in similar] == [(2,)]
    assert similar[0].rank_correlation == pytest.approx(spearmanr(copied, stored[2]).statistic)


def test_combinations_are_found_and_independent_entries_are_not(cohort: Cohort) -> None:
    stored = np.array([noisy(cohort, 1, seed)[HEADLINE] for seed in range(12)])
    (mean,) = find_similar(stored[[1, 4, 7]].mean(axis=0), stored)
    assert {1, 4, 7} <= set(mean.entries)
    assert find_similar(noisy(cohort, 1, seed=99)[HEADLINE], stored) == []
    assert find_similar(np.full(stored.shape[1], 0.3), stored) == []
