"""Commands on a store in every state: empty, unscored, damaged; and folders that are not theirs."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.cohort.cohort import Cohort
from bench.errors import BenchError
from bench.scoring.compare import read_either
from bench.submission.template import write_template
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.tiny import MANIFEST, REPORTED, TARGETS

QUICK = ("--replicates", "100", "--jobs", "1")


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that the scored store of a module is kept in, to be copied by each test."""
    return tmp_path_factory.mktemp("entries") / "submissions"


@pytest.fixture
def scored(entries: Path, space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path) -> Workspace:
    """The workspace with two scored entries and a reported one; scored once, copied afterwards."""
    if not entries.exists():
        (tmp_path / "submission.toml").write_text(MANIFEST)
        for slug, frame in (("one", good), ("two", good.assign(**{t: good[t] ** 2 for t in TARGETS}))):
            frame.assign(dlv=np.random.default_rng(len(slug)).random(len(frame))).to_csv(
                tmp_path / f"{slug}.csv", index=False
            )
            assert cli("submit", tmp_path / f"{slug}.csv", "--slug", slug).exit_code == 0
        paper = space.submission("chexchonet", "paper")
        paper.mkdir()
        (paper / "submission.toml").write_text(REPORTED)
        assert cli("score", "--all", *QUICK).exit_code == 0
        shutil.copytree(space.store, entries)
    else:
        shutil.rmtree(space.store)
        shutil.copytree(entries, space.store)
    return space


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (("score", "--all", *QUICK), 1, "board-empty"),
        (("board",), 1, "board-empty"),
        (("verify", "--jobs", "1"), 1, "board-empty"),
        (("compare", "a", "b"), 1, "entry-unknown"),
    ],
    ids=["score", "board", "verify", "compare"],
)
def test_an_empty_store_is_reported_as_a_problem(
    words: tuple[str, ...], exit_code: int, code: str, space: Workspace, cli: Cli
) -> None:
    ran = cli(*words, "--json")
    assert (ran.exit_code, ran.codes) == (exit_code, [code])


def test_a_scored_store_is_shown_and_verified(scored: Workspace, cli: Cli) -> None:
    assert cli("board").exit_code == 0
    ran = cli("verify", "--jobs", "1", "--json")
    assert sorted(ran.object["result"]["entries"]) == ["one", "two"]
    assert cli("compare", "one", "paper", "--json").codes == ["compare-impossible"]
    assert cli("compare", "one", "one", "--json").codes == ["compare-impossible"]


def test_operating_points_at_a_stated_prevalence(scored: Workspace, cli: Cli) -> None:
    card = json.loads((scored.submission("chexchonet", "one") / "scorecard.json").read_text())
    words = ("score", "one", "--prevalence", "0.05", *QUICK)
    ran = cli(*words, "--json")
    shifts = ran.object["result"]["prevalence_shifts"]["one"]
    target = next(t for t in card["targets"] if t["target"] == "slvh")
    point, shifted = target["operating_points"][0], shifts["slvh"]["points"][0]
    hits = 0.05 * point["sensitivity"]["value"]
    called = hits + 0.95 * (1 - point["specificity"]["value"])
    assert shifted["ppv"] == pytest.approx(hits / called)
    assert "At a prevalence of 5%" in cli(*words).stdout
    for share in ("0", "1", "5"):
        refused = cli("score", "one", "--prevalence", share, *QUICK)
        assert (refused.exit_code, "--prevalence" in refused.stderr) == (2, True)


def test_an_entry_without_a_scorecard_is_named_and_the_others_are_shown(
    scored: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    good.assign(slvh=good.slvh / 2).to_csv(tmp_path / "n.csv", index=False)
    assert cli("submit", tmp_path / "n.csv", "--slug", "new").exit_code == 0
    for words in (("board",), ("score", "one", *QUICK)):
        ran = cli(*words)
        assert (ran.exit_code, "Not scored yet, so not on the board: new." in ran.stderr) == (0, True)
        assert "one" in ran.stdout


DAMAGES = {
    "scorecard.json": (b"{", {"scorecard-invalid"}, ("board", "verify")),
    "predictions.parquet": (b"PAR1", {"stored-predictions", "scorecard-stale"}, ("score", "verify")),
    "submission.toml": (b"name =", {"manifest-invalid"}, ("board", "score", "verify")),
    "../board.json": (b"[]", {"board-invalid", "board-stale"}, ("board",)),
    "timings/a.json": (b"{}", {"timing-invalid"}, ("board",)),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_of_the_store_is_named(name: str, scored: Workspace, cli: Cli) -> None:
    content, codes, commands = DAMAGES[name]
    path = scored.submission("chexchonet", "one") / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    words = {"board": ("board",), "score": ("score", "one", *QUICK), "verify": ("verify", "--jobs", "1")}
    for command in commands:
        ran = cli(*words[command], "--json")
        assert ran.exit_code == 1, command
        assert codes & set(ran.codes), (command, ran.codes)


def test_an_edited_number_is_found(scored: Workspace, cli: Cli) -> None:
    card = scored.submission("chexchonet", "one") / "scorecard.json"
    text = card.read_text()
    area = next(t for t in json.loads(text)["targets"] if t["target"] == "slvh")["metrics"]["auroc"]["value"]
    assert f'"value": {area}' in text
    card.write_text(text.replace(f'"value": {area}', '"value": 0.999', 1))
    assert "verify-drift" in cli("verify", "one", "--jobs", "1", "--json").codes
    assert cli("board", "--json").codes == ["board-stale"]


def test_a_site_replaces_only_what_a_build_made(scored: Workspace, cli: Cli, tmp_path: Path) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "thesis.txt").write_text("years of work")
    for folder in (papers, papers / "thesis.txt", tmp_path):
        ran = cli("site", "build", "--out", folder, "--json")
        assert (ran.exit_code, ran.codes) == (1, ["site-folder"])
    assert (papers / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        assert cli("site", "build", "--out", tmp_path / "empty").exit_code == 0
    assert (tmp_path / "empty" / "index.html").is_file()
    assert cli("site", "check", "--out", tmp_path / "empty").exit_code == 0


def test_the_site_names_no_patient_and_no_image(
    scored: Workspace, cohort: Cohort, cli: Cli, tmp_path: Path
) -> None:
    assert cli("site", "build", "--out", tmp_path / "site").exit_code == 0
    names = [name.encode() for name in (*cohort.images, *set(cohort.patients))]
    pages = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert len(pages) > 10
    for path in pages:
        content = path.read_bytes()
        assert not [name for name in names if name in content], path.name


def test_a_file_may_be_compared_with_an_entry(
    scored: Workspace, good: pd.DataFrame, cohort: Cohort, cli: Cli, tmp_path: Path
) -> None:
    good.assign(slvh=3 * good.slvh - 1).to_csv(tmp_path / "f.csv", index=False)
    ran = cli("compare", "one", tmp_path / "f.csv", *QUICK[:2], "--json")
    (line,) = [c for c in ran.object["result"]["comparisons"] if c["target"] == "slvh"]
    area = next(m for m in line["metrics"] if m["metric"] == "auroc")
    assert (area["difference"], area["p_value"], set(line["disagreement"].values())) == (0, 1, {0})
    assert cli("compare", "one", tmp_path / "absent.csv", "--json").codes == ["predictions-unreadable"]
    with pytest.raises(BenchError, match="entry-unknown"):
        read_either("absent", scored.submissions("chexchonet"), cohort)


def test_a_template_is_right_whatever_the_title(cohort: Cohort, tmp_path: Path) -> None:
    spec = cohort.spec.model_copy(update={"title": 'The "new" C:\\cohort {of} ours' + "x" * 300})
    write_template(dataclasses.replace(cohort, spec=spec), tmp_path / "t")
    said = tomllib.loads((tmp_path / "t" / "submission.toml").read_text())
    assert said["training_data"].startswith('The "new" C:\\cohort {of} ours')
    assert len(said["training_data"]) <= 200


def test_a_name_that_is_still_that_of_the_template_is_pointed_out(
    space: Workspace, good: pd.DataFrame, cli: Cli, tmp_path: Path
) -> None:
    assert cli("template", "--out", tmp_path / "t").exit_code == 0
    good.to_csv(tmp_path / "t" / "predictions.csv", index=False)
    words = ("submit", tmp_path / "t" / "predictions.csv", "--dry-run", "--json")
    ran = cli(*words)
    assert ran.exit_code == 0
    assert ran.codes == ["manifest-placeholder"]
    assert "name = 'My model', team = 'My group'" in ran.stdout
    manifest = tmp_path / "t" / "submission.toml"
    manifest.write_text(manifest.read_text().replace("My model", "Ours").replace("My group", "We"))
    assert cli(*words).codes == []


def test_reported_entries_that_are_named_cannot_be_scored(scored: Workspace, cli: Cli) -> None:
    ran = cli("score", "paper", *QUICK, "--json")
    assert (ran.exit_code, ran.codes) == (1, ["entry-reported"])
    assert cli("board", "--speed", "--csv").exit_code == 2


def test_an_entry_that_was_moved_aside_by_a_command_that_died_comes_back(scored: Workspace, cli: Cli) -> None:
    folder = scored.submissions("chexchonet")
    (folder / "two").rename(folder / ".two.abc123.old")
    ran = cli("score", "one", *QUICK, "--json")
    assert ran.exit_code == 0
    assert "two" in json.loads((folder / "board.json").read_text())["scorecards"]
