"""Whatever shows a board gives the same answers: on a demo board and on boards of random entries."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.board.load import load_board
from bench.workspace import DATA_VARIABLE, create_workspace
from tests.board.one_answer import check_everywhere, check_recomputed
from tests.scoring.conftest import noisy, store_entry

HEADLINE = "composite_slvh_dlv"
WORDS = ("--cohort", "demo")


@pytest.fixture
def space(cohort, tmp_path, monkeypatch):
    made = create_workspace(tmp_path / "space", "demo", {"demo": cohort.folder})
    monkeypatch.chdir(made.root)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return made


def test_a_demo_board_of_both_tracks(cohort, space, cli, tmp_path):
    folder = space.submissions("demo")
    for number, strength in enumerate((0.2, 0.9, 1.0, 1.1, 1.4, 3.0)):
        store_entry(cohort, folder, f"m{number}", noisy(cohort, strength, seed=number))
    best = noisy(cohort, 3.0, seed=5)
    store_entry(cohort, folder, "copy", best)
    store_entry(cohort, folder, "squared", {t: p**2 if p.max() <= 1 else p for t, p in best.items()})
    store_entry(cohort, folder, "demographics", noisy(cohort, 0.7, seed=8))
    store_entry(cohort, folder, "headline-only", {HEADLINE: noisy(cohort, 1.0, seed=9)[HEADLINE]})
    rng = np.random.default_rng(0)
    for number in (1, 2, 3):
        scores = cohort.targets[HEADLINE] * number / 2 + rng.normal(size=len(cohort))
        store_entry(cohort, folder, f"cv{number}", {HEADLINE: scores}, track="cv5", scores="uncalibrated")
    ran = cli("score", "--all", "--replicates", "200", "--jobs", "1", *WORDS)
    assert ran.exit_code == 0, ran.stderr
    board = check_everywhere(cohort.spec, folder, tmp_path / "site", cli, "demo", WORDS)
    shown = board.target(HEADLINE)
    assert {s.may_be_first for s in shown.standings if s.rank is not None} == {True, False}
    assert shown.pairs is not None
    assert {"copy", "m5", "squared"} & set(shown.pairs.slugs) == {"copy"}
    out_of_fold = board.target(HEADLINE, "cv5").pairs
    assert out_of_fold is not None
    assert len(out_of_fold.slugs) == 3


def test_a_board_of_twelve_entries_from_stored_predictions_alone(cohort, space, cli):
    folder, rng = space.submissions("demo"), np.random.default_rng(0)
    for number, strength in enumerate(rng.uniform(0.5, 3.5, 11)):
        store_entry(cohort, folder, f"e{number}", noisy(cohort, strength, seed=number))
    store_entry(cohort, folder, "copy", noisy(cohort, 2.0, seed=3))
    ran = cli("score", "--all", "--replicates", "100", "--seed", "4", "--jobs", "1", *WORDS)
    assert ran.exit_code == 0, ran.stderr
    board = load_board(cohort.spec, folder).board
    assert board is not None
    test = cohort.rows("test")
    y = cohort.targets[HEADLINE][test]
    shown = ~np.isnan(y)
    stored = {path.parent.name: pq.read_table(path) for path in folder.glob("*/predictions.parquet")}
    scores = {slug: table[HEADLINE].to_numpy()[shown] for slug, table in stored.items()}
    patient = cohort.patients[test][shown].astype(str)
    check_recomputed(board.target(HEADLINE), scores, y[shown].astype(int), patient, 100, 4)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.full_size)])
def test_random_boards(cohort, space, cli, tmp_path, seed):
    folder, rng = space.submissions("demo"), np.random.default_rng(seed)
    for number in range(6):
        strength = rng.choice([0.8, 1.0, 1.0, 2.0])
        store_entry(cohort, folder, f"r{number}", noisy(cohort, strength, seed=100 * seed + number))
    ran = cli("score", "--all", "--replicates", "100", "--seed", str(seed), "--jobs", "1", *WORDS)
    assert ran.exit_code == 0, ran.stderr
    check_everywhere(cohort.spec, folder, tmp_path / "site", cli, "demo", WORDS)
