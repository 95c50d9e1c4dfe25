"""Five prediction files that teams really submitted, as they came."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.cohort.spec import load_spec
from bench.workspace import Workspace
from tests.board.one_answer import check_everywhere, check_recomputed
from tests.conftest import Cli

pytestmark = pytest.mark.real
SPEC = Path(__file__).parent / "chexpert-test.toml"
TARGETS = {
    "atelectasis": "Atelectasis",
    "cardiomegaly": "Cardiomegaly",
    "consolidation": "Consolidation",
    "edema": "Edema",
    "pleural_effusion": "Pleural Effusion",
}
ACCEPTED = ("drnet", "hieupham", "yww211")
REFUSED = ("desmond", "ngango2")
UNCALIBRATED = 'name = "{}"\nteam = "T"\ndate = 2026-01-01\ninputs = ["image"]\nscores = "uncalibrated"\n'


@pytest.fixture
def words(real: Path) -> tuple[str, ...]:
    return ("--cohort", str(SPEC), "--data", str(real / "chexpert-test"), "--json")


def predictions(real: Path, team: str) -> Path:
    return real / "chexpert-test" / "predictions" / f"{team}.csv"


@pytest.mark.parametrize("team", ACCEPTED)
def test_three_are_accepted_as_they_came(
    team: str, real: Path, words: tuple[str, ...], board: Workspace, cli: Cli
) -> None:
    ran = cli("submit", predictions(real, team), "--slug", team, *words)
    assert ran.exit_code == 0
    assert ran.object["result"]["images"] == 500
    assert ran.object["result"]["targets"] == sorted(TARGETS)
    assert "manifest-absent" in ran.codes


@pytest.mark.parametrize("team", REFUSED)
def test_two_are_refused_with_counts_and_what_to_do(
    team: str, real: Path, words: tuple[str, ...], board: Workspace, cli: Cli
) -> None:
    ran = cli("submit", predictions(real, team), "--slug", team, *words)
    assert ran.exit_code == 1
    frame = pd.read_csv(predictions(real, team))
    above = {c: (frame[c] > 1).sum() for c in TARGETS.values() if (frame[c] > 1).any()}
    said = [p for p in ran.object["problems"] if p["code"] == "predictions-out-of-range"]
    assert len(said) == len(above) > 0
    for column, count in above.items():
        (problem,) = [p for p in said if p["where"].endswith(f"column {column}")]
        highest = frame[column].max()
        assert problem["message"].startswith(f"{count} of 500 values lie outside [0, 1], from ")
        assert f"to {highest:.8g};" in problem["message"]
        assert 'scores = "uncalibrated"' in problem["remedy"]
    assert [p for p in board.store.rglob("*") if p.is_file()] == []


@pytest.mark.full_size
def test_every_place_that_shows_their_board_gives_the_same_answers(
    real: Path, words: tuple[str, ...], board: Workspace, cli: Cli, tmp_path: Path
) -> None:
    manifest = tmp_path / "uncalibrated.toml"
    for team in (*ACCEPTED, *REFUSED):
        manifest.write_text(UNCALIBRATED.format(team))
        ran = cli("submit", predictions(real, team), "--slug", team, "--manifest", manifest, *words)
        assert ran.exit_code == 0, ran.stderr
    ran = cli("score", "--all", "--replicates", "1000", "--jobs", "1", *words)
    assert ran.exit_code == 0, ran.stderr
    spec = load_spec(str(SPEC))
    folder = board.submissions(spec.id)
    shown = check_everywhere(spec, folder, tmp_path / "site", cli, str(SPEC), words[:-1])
    for target in shown.targets:
        assert target.pairs is not None
        assert len(target.pairs.slugs) == 5
    labels = pd.read_csv(real / "chexpert-test" / "groundtruth.csv").sort_values("Study")
    patient = labels["Study"].str.extract(r"(patient\d+)", expand=False).to_numpy()
    for target in shown.targets[:2]:
        column = TARGETS[target.target]
        scores = {
            team: pd.read_csv(predictions(real, team))
            .set_index("Study")
            .loc[labels["Study"], column]
            .to_numpy()
            for team in (*ACCEPTED, *REFUSED)
        }
        check_recomputed(target, scores, labels[column].to_numpy().astype(int), patient, 1000, 0)


def test_all_five_are_scored_as_scikit_learn_scores_them_and_ranked(
    real: Path, words: tuple[str, ...], board: Workspace, cli: Cli, tmp_path: Path
) -> None:
    for team in (*ACCEPTED, *REFUSED):
        manifest = tmp_path / f"{team}.toml"
        manifest.write_text(UNCALIBRATED.format(team))
        if team in ACCEPTED:
            manifest.write_text(UNCALIBRATED.format(team).replace("uncalibrated", "probability"))
        ran = cli("submit", predictions(real, team), "--slug", team, "--manifest", manifest, *words)
        assert ran.exit_code == 0, ran.stderr
    ran = cli("score", "--all", "--replicates", "200", "--jobs", "1", *words)
    assert ran.exit_code == 0
    labels = pd.read_csv(real / "chexpert-test" / "groundtruth.csv").set_index("Study")
    areas: dict[str, float] = {}
    for card in ran.object["result"]["scorecards"]:
        frame = pd.read_csv(predictions(real, card["slug"])).set_index("Study").loc[labels.index]
        assert len(card["targets"]) == len(TARGETS)
        for target in card["targets"]:
            column, metrics = TARGETS[target["target"]], target["metrics"]
            area = roc_auc_score(labels[column], frame[column])
            assert metrics["auroc"]["value"] == pytest.approx(area, abs=1e-12)
            assert metrics["auroc"]["low"] < area < metrics["auroc"]["high"]
            precision = average_precision_score(labels[column], frame[column])
            assert metrics["auprc"]["value"] == pytest.approx(precision, abs=1e-12)
            figures = [metrics[name] for name in ("brier", "ece", "calibration_slope")]
            if card["slug"] in REFUSED:
                assert all(f["value"] is None and f["reason"] for f in figures)
            else:
                assert all(f["value"] is not None for f in figures)
            if target["target"] == "pleural_effusion":
                areas[card["slug"]] = area
    shown = csv.DictReader(cli("board", "--csv", "--cohort", SPEC).stdout.splitlines())
    assert [row["slug"] for row in shown] == sorted(areas, key=areas.get, reverse=True)
    assert cli("verify", "--jobs", "1", *words).object["result"]["differing"] == 0


def write_release(real: Path, folder: Path) -> None:
    """Write a copy in CheXpert's layout: the real test labels, with one to three views of each study.

    The training and validation tables hold a made patient each; their labels are published with the images.
    """
    truth = pd.read_csv(real / "chexpert-test" / "groundtruth.csv")
    findings = list(truth.columns[1:])
    views = truth.loc[truth.index.repeat(1 + truth.index % 3)]
    number = views.groupby(level=0).cumcount()
    paths = (
        views["Study"]
        + "/view"
        + (number + 1).astype(str)
        + number.map(lambda k: ("_frontal", "_lateral")[k > 0])
    )
    views.assign(Path=paths + ".jpg")[["Path", *findings]].to_csv(folder / "test.csv", index=False)
    for k, part in enumerate(("train", "valid"), 1):
        row = {
            "Path": f"CheXpert-v1.0/{part}/patient0000{k}/study1/view1_frontal.jpg",
            "Sex": "Female",
            "Age": 60,
        }
        row |= {"Frontal/Lateral": "Frontal", "AP/PA": "AP"} | dict.fromkeys(findings, 0.0)
        pd.DataFrame([row]).to_csv(folder / f"{part}.csv", index=False)


@pytest.mark.parametrize("cohort", ["chexpert", "chexpert-frontal"])
def test_the_built_in_spec_gives_the_same_areas_by_study(
    cohort: str, real: Path, words: tuple[str, ...], board: Workspace, cli: Cli, tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    write_release(real, folder)
    manifest = tmp_path / "uncalibrated.toml"
    areas = []
    for options in (words, ("--cohort", cohort, "--data", str(folder), "--json")):
        for team in (*ACCEPTED, *REFUSED):
            manifest.write_text(UNCALIBRATED.format(team))
            ran = cli("submit", predictions(real, team), "--slug", team, "--manifest", manifest, *options)
            assert ran.exit_code == 0, ran.stderr
        ran = cli("score", "--all", "--replicates", "100", "--jobs", "1", *options)
        assert ran.exit_code == 0, ran.stderr
        cards = ran.object["result"]["scorecards"]
        found = {
            (card["slug"], t["target"]): (t["images"], t["patients"], *t["metrics"]["auroc"].values())
            for card in cards
            for t in card["targets"]
            if t["target"] in TARGETS
        }
        areas.append(found)
    assert len(areas[0]) == 25
    assert areas[1] == areas[0]
    assert cards[0]["stamp"]["study_views"] == "maximum"
    site = tmp_path / "site"
    ran = cli("site", "build", "--out", site, "--cohort", cohort)
    assert ran.exit_code == 0, ran.stderr
    said = "Evaluation by study: the maximum over the views of each study"
    pages = [page for page in site.rglob("*.html") if said in page.read_text()]
    assert len(pages) > len(ACCEPTED) + len(REFUSED)
