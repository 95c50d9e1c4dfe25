"""Several runs as one entry: what is stored, ranked, shown, refused and verified."""

from __future__ import annotations

import base64
import json
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import bench
from bench.actions.sites import make_site_key
from bench.board.format import estimate
from bench.cohort.cohort import Cohort
from bench.errors import BenchError
from bench.scoring.published import figure_count, published_card
from bench.scoring.run import cached_replicates
from bench.scoring.scorecard import Scorecard, read_scorecard
from bench.submission.store import find_submission
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.tiny import MANIFEST, TARGETS, predictions

QUICK = ("--replicates", "100", "--jobs", "1")


def write_runs(folder: Path, cohort: Cohort, seeds: range) -> list[Path]:
    """A predictions file for each seed, with a manifest beside them."""
    folder.mkdir(exist_ok=True)
    (folder / "submission.toml").write_text(MANIFEST)
    paths = [folder / f"seed{seed}.csv" for seed in seeds]
    for path, seed in zip(paths, seeds, strict=True):
        predictions(cohort, seed).to_csv(path, index=False)
    return paths


def test_the_mean_of_the_runs_is_ranked_shown_and_verified(
    space: Workspace, cohort: Cohort, cli: Cli, tmp_path: Path
) -> None:
    files = write_runs(tmp_path / "in", cohort, range(3))
    done = cli("submit", *files, "--slug", "seeds", "--json")
    assert done.exit_code == 0
    assert done.object["result"]["runs"] == 3
    assert cli("submit", files[1], "--slug", "alone").exit_code == 0
    assert cli("submit", files[0], "--slug", "first").exit_code == 0
    assert cli("score", "--all", *QUICK).exit_code == 0
    folder = space.submissions("chexchonet")
    entry = find_submission(folder, "seeds")
    card = read_scorecard(entry)
    rows = cohort.rows("test")
    for name in TARGETS:
        y = cohort.targets[name][rows]
        known = ~np.isnan(y)
        values = [roc_auc_score(y[known], predictions(cohort, seed)[name][known]) for seed in range(3)]
        score = card.target(name)
        assert score is not None
        assert score.runs is not None
        assert score.runs.auroc == pytest.approx(values, abs=1e-9)
        assert score.runs.sd == pytest.approx(np.std(values, ddof=1), abs=1e-9)
        assert score.ranked.value == pytest.approx(np.mean(values), abs=1e-9)
        assert score.metrics["auroc"].value == pytest.approx(values[0], abs=1e-9)
    assert card.macro is not None
    parts = [card.target(name) for name in ("slvh", "dlv")]
    assert card.macro.value == pytest.approx(np.mean([p.ranked.value for p in parts if p]), abs=1e-9)

    board = json.loads((folder / "board.json").read_text())
    standing = {s["slug"]: s for s in board["targets"][0]["standings"]}
    headline = card.target(card.headline)
    assert headline is not None
    assert standing["seeds"]["auroc"] == pytest.approx(headline.ranked.value)
    shown = cli("board", "--columns", "runs,runs_sd", "--json").object["result"]
    assert '"runs": {"text": "3", "value": 3' in json.dumps(shown)
    assert "mean of 3 runs" in cli("score", "seeds", *QUICK).stdout

    assert cli("verify", "--jobs", "1").exit_code == 0
    assert cli("verify", "--no-data").exit_code == 0
    done = cli("compare", "seeds", "alone", "--replicates", "100")
    assert done.stderr.count("first run") == 1
    assert "AUROC, mean of the runs" in done.stdout
    first = cli("compare", "seeds", "first", "--replicates", "100", "--json")  # an entry of its first run
    assert first.codes == ["compare-first-run"]
    assert not any(line["identical"] for line in first.object["result"]["comparisons"])
    compared = cli("compare", "seeds", "alone", "--replicates", "100", "--json").object["result"]
    mean = compared["comparisons"][0]["metrics"][0]
    pairs = board["targets"][0]["pairs"]
    places = sorted(map(pairs["slugs"].index, ("seeds", "alone")))
    place = list(combinations(range(len(pairs["slugs"])), 2)).index(tuple(places))
    assert mean["metric"] == "mean_of_runs"
    assert mean["p_value"] == pytest.approx(pairs["p"][place], rel=1e-6)
    assert abs(mean["difference"]) == pytest.approx(abs(pairs["difference"][place]), rel=1e-6)
    assert mean["low"] < mean["difference"] < mean["high"]
    assert mean["a"]["value"] == pytest.approx(headline.ranked.value)
    make_site_key(key := tmp_path / "north.pem", "north")
    signing = (*QUICK, "--aggregate-out", tmp_path / "north.json", "--site", "north", "--key", key, "--json")
    alone = cli("score", "--all", *signing)
    assert (alone.exit_code, alone.codes) == (0, ["aggregate-left-out"])
    assert "1 of several runs" in alone.stdout
    statement = json.loads(base64.b64decode(json.loads((tmp_path / "north.json").read_text())["payload"]))
    assert {subject["name"] for subject in statement["subject"]} == {"alone", "first"}
    (tmp_path / "north.json").unlink()
    alone = cli("score", "seeds", *signing)
    assert (alone.exit_code, alone.codes) == (1, ["aggregate-left-out"])
    assert not (tmp_path / "north.json").exists()
    assert cli("site", "build").exit_code == 0
    assert cli("site", "check").exit_code == 0
    page = (space.root / "site/public/e/seeds/index.html").read_text()
    for name in TARGETS:  # the table states what the board ranks, as its drawing does
        score = card.target(name)
        assert score is not None
        assert f'<span class="b">{estimate(score.ranked)}</span>' in page
    assert ", ".join(f"{value:.3f}" for value in headline.runs.auroc) in page
    assert 'id="runs"' not in (space.root / "site/public/e/alone/index.html").read_text()
    csv = pd.read_csv(space.root / "site/public/leaderboard.csv").set_index(["target", "slug"])
    assert csv.loc[(card.headline, "seeds"), "runs_sd"] == pytest.approx(headline.runs.sd)
    assert csv.loc[(card.headline, "alone"), "runs"] == 1

    # the stored first run commits to the others
    other = tmp_path / "runs.parquet"
    shutil.copy(entry.runs, other)
    for change in (entry.runs.unlink, lambda: shutil.copy(entry.predictions, entry.runs)):
        change()
        assert set(cli("verify", "--no-data", "--json").codes) & {"stored-predictions", "scorecard-stale"}
        assert cli("score", "seeds", *QUICK, "--json").codes == ["stored-predictions"]
    shutil.copy(other, entry.runs)
    assert cli("verify", "--no-data").exit_code == 0
    assert cli("rename", "seeds", "several-seeds").exit_code == 0
    assert (folder / "several-seeds" / "runs.parquet").read_bytes() == other.read_bytes()

    # where labels are private, one mean is published; where they are shared, no figure of a single run
    for labels, sd in ((bench.choices.LabelMode.SHARED, True), (bench.choices.LabelMode.PRIVATE, False)):
        public = published_card(card, labels)
        runs = public.targets[0].runs
        assert runs is not None
        assert (runs.count, runs.auroc, runs.sd is not None) == (3, (), sd)
        assert public.targets[0].ranked.value == pytest.approx(headline.ranked.value, abs=1e-3)
        assert (public.targets[0].metrics["auroc"].value is None) is not sd
    assert figure_count(public) == len(public.targets)


def test_replicates_of_runs_hold_the_variance_between_runs_and_equal_runs_are_copies(
    space: Workspace, cohort: Cohort, cli: Cli, tmp_path: Path
) -> None:
    files = write_runs(tmp_path / "in", cohort, range(4))
    for slug in ("a", "b"):
        bench.submit(files[:3], slug=slug, workspace=space.root)
    bench.submit([files[3], files[0]], slug="two", workspace=space.root)
    bench.score(["a", "b", "two"], replicates=200, workspace=space.root)
    board = json.loads((space.submissions("chexchonet") / "board.json").read_text())
    assert [g["slugs"] for g in board["targets"][0]["same_ranking"]] == [["a", "b"]]
    entries = {s: find_submission(space.submissions("chexchonet"), s) for s in ("a", "b", "two")}
    cards: dict[str, Scorecard] = {slug: read_scorecard(entry) for slug, entry in entries.items()}
    digests = {card.predictions_sha256: "holdout" for card in cards.values()}
    cached = cached_replicates("chexchonet", space.replicates, digests, 200)  # type: ignore[arg-type]
    assert cached is not None
    for card in cards.values():
        score = card.targets[0]
        runs = score.runs
        assert runs is not None
        assert runs.patient_variance is not None
        assert runs.run_variance is not None
        spread = np.var(cached[card.predictions_sha256].replicates[score.target], ddof=1)
        assert spread > 0.9 * (runs.patient_variance + runs.run_variance / runs.count) * (1 - 1 / 20)


def test_faulty_runs_are_refused_with_count_place_and_remedy(
    space: Workspace, cohort: Cohort, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_runs(tmp_path / "in", cohort, range(2))
    good = predictions(cohort, 5)
    bad = tmp_path / "in" / "bad.csv"

    def codes(frame: pd.DataFrame) -> list[str]:
        frame.to_csv(bad, index=False)
        ran = cli("submit", *files, bad, "--slug", "seeds", "--json")
        assert ran.exit_code != 0
        problems = [p for p in ran.object["problems"] if p["severity"] == "error"]
        assert all(p["remedy"] and "bad.csv" in p["where"] for p in problems)
        return [p["code"] for p in problems]

    assert codes(good.iloc[3:]) == ["predictions-missing-id"]
    assert codes(good.drop(columns=TARGETS[1])) == ["runs-targets"]
    assert codes(predictions(cohort, 1)) == ["runs-duplicate"]
    recalibrated = predictions(cohort, 1)
    recalibrated[list(TARGETS)] **= 2  # the ranks are the same
    assert codes(recalibrated) == ["runs-duplicate"]
    assert cli("submit", *files[:1] * 26, "--slug", "seeds", "--json").codes[-1] == "runs-count"
    wrong = (tmp_path / "absent.csv", tmp_path / "in", tmp_path / "gone.csv")
    ran = cli("submit", *files, *wrong, "--slug", "seeds", "--json")
    assert ran.codes == ["predictions-unreadable"] * 3
    assert [p["where"] for p in ran.object["problems"]] == list(map(str, wrong))
    assert "`--embeddings DIR`" in ran.object["problems"][1]["remedy"]
    assert not (space.submissions("chexchonet") / "seeds").exists()
    with pytest.raises(ValueError, match="empty"):
        bench.submit([], slug="seeds", workspace=space.root)
    with pytest.raises(BenchError, match=r"as those of predictions\[0\] do, in all 3 targets"):
        bench.submit([good, good], slug="seeds", workspace=space.root)
    with pytest.raises(ValueError, match="val takes the predictions of the first run"):
        bench.submit([good, good], val=[good, good], slug="seeds", workspace=space.root)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path / "in")
    with pytest.raises(BenchError, match=r"as those of seed0\.csv do"):
        bench.submit(["seed0.csv", "seed0.csv"], slug="seeds", workspace=space.root)
