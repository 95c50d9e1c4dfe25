"""Predictions of val images, and the cv5 track, through the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.cohort.cohort import Cohort
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.tiny import MANIFEST, TARGETS

QUICK = ("--replicates", "100", "--jobs", "1")


def everything(cohort: Cohort) -> pd.DataFrame:
    """Probabilities for every image of the cohort."""
    random = np.random.default_rng(2)
    columns = {t: (random.random(len(cohort)) + cohort.targets[t]) / 2 for t in TARGETS}
    return pd.DataFrame({"cxr_filename": cohort.images, **columns})


@pytest.fixture
def file(cohort: Cohort, tmp_path: Path) -> Path:
    everything(cohort).to_csv(tmp_path / "all.csv", index=False)
    (tmp_path / "submission.toml").write_text(MANIFEST)
    return tmp_path / "all.csv"


def test_one_file_may_hold_test_and_val_images(file: Path, space: Workspace, cli: Cli) -> None:
    ran = cli("submit", file, "--val", file, "--slug", "a", "--json")
    assert ran.object["result"]["val"] is True
    stored = space.submissions("chexchonet") / "a"
    assert sorted(p.name for p in stored.iterdir()) == [
        "predictions.parquet", "submission.toml", "val_predictions.parquet",
    ]  # fmt: skip
    card = cli("score", "a", *QUICK, "--json").object["result"]["scorecards"][0]
    assert {p["chosen_on"] for t in card["targets"] for p in t["operating_points"]} == {"val"}
    assert cli("verify").exit_code == 0


def test_a_faulty_val_file_stores_nothing(
    file: Path, cohort: Cohort, space: Workspace, tmp_path: Path, cli: Cli
) -> None:
    frame = everything(cohort)
    frame[frame.cxr_filename.isin(cohort.images[cohort.rows("test")])].to_csv(tmp_path / "v.csv", index=False)
    ran = cli("submit", file, "--val", tmp_path / "v.csv", "--slug", "a", "--json")
    assert (ran.exit_code, ran.codes[-1]) == (1, "predictions-missing-id")
    assert not (space.submissions("chexchonet") / "a").exists()


def test_val_needs_predictions_of_the_holdout_track(
    file: Path, space: Workspace, tmp_path: Path, cli: Cli
) -> None:
    assert cli("submit", "--model", file, "--val", file, "--slug", "a").exit_code == 2
    (tmp_path / "submission.toml").write_text(MANIFEST + 'track = "cv5"\n')
    ran = cli("submit", file, "--val", file, "--slug", "a", "--json")
    assert (ran.exit_code, ran.codes) == (1, ["val-not-applicable"])


def test_a_template_of_val_images(cohort: Cohort, space: Workspace, tmp_path: Path, cli: Cli) -> None:
    assert cli("template", "--out", tmp_path / "t", "--images", "val").exit_code == 0
    ids = pd.read_csv(tmp_path / "t" / "predictions.csv", dtype=str).cxr_filename
    assert list(ids) == list(cohort.images[cohort.rows("val")])


def test_the_board_of_the_cv5_track(file: Path, space: Workspace, tmp_path: Path, cli: Cli) -> None:
    assert cli("submit", file, "--slug", "plain").exit_code == 0
    cli("score", "--all", *QUICK)
    assert cli("board", "--track", "cv5", "--json").codes == ["board-empty"]
    assert cli("board", "--track", "fold").exit_code == 2
    (tmp_path / "submission.toml").write_text(MANIFEST + 'track = "cv5"\n')
    assert cli("submit", file, "--slug", "folds").exit_code == 0
    cli("score", "--all", *QUICK)
    shown = cli("board", "--track", "cv5").stdout
    assert "out-of-fold predictions" in shown
    assert "folds" in shown
    assert "plain" not in shown


def test_predictions_are_of_one_cohort(file: Path, space: Workspace, cli: Cli) -> None:
    assert cli("submit", file, "--slug", "a", "--also", "demo").exit_code == 2


def test_one_model_cannot_enter_the_cv5_track(file: Path, space: Workspace, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "submission.toml").write_text(MANIFEST + 'track = "cv5"\n')
    ran = cli("submit", "--model", file, "--slug", "a", "--json")
    assert (ran.exit_code, ran.codes) == (1, ["manifest-invalid"])
    assert "five models" in ran.object["problems"][0]["message"]
