"""The pages about several hospitals, and the transfer of entries between cohorts of one workspace."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from bench.actions.score import score
from bench.actions.site import build_site, check_site
from bench.actions.sites import sites_board, transfer_board
from bench.federation.model import SitesBoard, TransferBoard
from bench.workspace import Workspace, create_workspace
from tests.conftest import Cli
from tests.federation.conftest import MISCALIBRATED, Hospital
from tests.scoring.conftest import store_entry

HEADLINE = "composite_slvh_dlv"


@pytest.fixture(scope="module")
def two_cohorts(hospitals: list[Hospital], keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with the patients of two hospitals as two cohorts, and the files of all five."""
    space = create_workspace(tmp_path_factory.mktemp("two") / "space", "demo")
    by_name = {hospital.name: hospital for hospital in hospitals}
    for cohort_id, name in (("demo", "north"), ("demo-mimic", MISCALIBRATED)):
        whole = by_name[name].cohort
        cohort = replace(whole, spec=whole.spec.model_copy(update={"id": cohort_id}))
        for slug in ("strong", "weak"):
            store_entry(cohort, space.submissions(cohort_id), slug, by_name[name].values[slug])
        score(replicates=100, jobs=1, cohort=cohort, workspace=space)
    space.hospitals.mkdir()
    for hospital in hospitals:
        shutil.copy(hospital.file, space.hospitals)
    shutil.copy(keys, space.site_keys)
    return space


def test_changes_are_differences_with_the_errors_of_both(two_cohorts: Workspace) -> None:
    board = transfer_board(["demo", "demo-mimic"], workspace=two_cohorts)
    assert (board.home, board.cohorts) == ("demo", ("demo", "demo-mimic"))
    entry = board.target(HEADLINE).entries[0]
    home, away = entry.sites
    assert entry.slug == "strong"
    assert home.change_auroc is None
    for key in ("auroc", "calibration_in_the_large"):
        a, b, change = getattr(away, key), getattr(home, key), getattr(away, f"change_{key}")
        assert change.value == pytest.approx(a.value - b.value, abs=1e-9)
        se = np.hypot(a.se, b.se)
        df = se**4 / (a.se**4 / a.df + b.se**4 / b.df)
        low, high = a.value - b.value + np.array([-1, 1]) * student.ppf(0.975, df) * se
        assert (change.low, change.high) == pytest.approx((low, high), abs=1e-9)
    change = away.change_calibration_in_the_large
    assert change.low < -1 < change.high, "log odds are 1 too high there"
    assert away.change_oe_ratio.value == pytest.approx(away.oe_ratio.value / home.oe_ratio.value)
    assert away.change_oe_ratio.high < 1


def test_pages_and_json_say_the_same(two_cohorts: Workspace, tmp_path: Path) -> None:
    built = build_site(tmp_path / "site", workspace=two_cohorts)
    assert check_site(built.folder) == ()
    board = SitesBoard.model_validate(json.loads((built.folder / "hospitals/board.json").read_text()))
    files = sorted(two_cohorts.hospitals.iterdir())
    assert board == sites_board(files, workspace=two_cohorts)
    page = (built.folder / "hospitals/index.html").read_text()
    assert all(f"{entry.mean_auroc:.3f}" in page for entry in board.target(HEADLINE).entries)
    assert 'href="../e/strong/index.html"' in page
    moved = TransferBoard.model_validate(json.loads((built.folder / "transfer/transfer.json").read_text()))
    assert moved == transfer_board(["demo", "demo-mimic"], workspace=two_cohorts)
    page = (built.folder / "transfer/index.html").read_text()
    change = moved.target(HEADLINE).entries[0].sites[1].change_auroc
    assert f"{abs(change.value):.3f}" in page
    first = (built.folder / "index.html").read_text()
    assert 'href="hospitals/index.html"' in first
    assert 'href="transfer/index.html"' in first


def test_the_command_shows_transfer(
    two_cohorts: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(two_cohorts.root)
    ran = cli("board", "--transfer", "demo,demo-mimic")
    assert ran.exit_code == 0, ran.stderr
    assert "demo-mimic" in ran.stdout
    transfer = cli("board", "--transfer", "demo,demo-mimic", "--json").object["result"]["transfer"]
    assert TransferBoard.model_validate(transfer).home == "demo"
    assert cli("board", "--transfer", "demo", "--json").exit_code == 2
    assert cli("board", "--transfer", "demo,chexchonet", "--json").codes == ["board-empty"]
