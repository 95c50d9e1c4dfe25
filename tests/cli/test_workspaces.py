"""Search of commands for data and workspaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cohort.spec import builtin_specs
from bench.errors import catalogue
from bench.workspace import DATA_VARIABLE, Workspace
from tests.conftest import Cli


def test_data_is_taken_from_the_option_then_the_variable(
    space: Workspace, cli: Cli, tmp_path: Path, cohort_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (space.root / "bench.toml").write_text('cohort = "chexchonet"\n')
    words = ("cohort", "split", "--json")
    assert cli(*words).exit_code == 3
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert cli(*words).codes == ["cohort-table-missing"]
    assert cli(*words, "--data", cohort_folder).exit_code == 0
    monkeypatch.setenv(DATA_VARIABLE, str(cohort_folder))
    assert cli(*words).exit_code == 0


def test_a_new_workspace_for_a_cohort_of_ones_own(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.toml").write_text(
        'schema = "cohort-spec/1"\nid = "own"\nversion = "1"\ntitle = "Own"\nheadline = "y"\n'
        '[files]\ntable = "t.csv"\n[columns]\nimage = "i"\npatient = "p"\n[split]\nrule = "all-test"\n'
        '[[targets]]\nname = "y"\nlabel = "Y"\nsource = "y"\n'
    )
    monkeypatch.chdir(tmp_path)
    assert cli("init", "board", "--cohort", "own.toml").exit_code == 0
    assert cli("init", "other", "--cohort", "absent.toml", "--json").codes == ["cohort-unknown"]
    assert not (tmp_path / "other").exists()
    data = tmp_path / "board" / "data" / "own"
    data.mkdir(parents=True)
    (data / "t.csv").write_text("i,p,y\n" + "".join(f"i{k},p{k},{k % 2}\n" for k in range(40)))
    monkeypatch.chdir(tmp_path / "board")
    (tmp_path / "p.csv").write_text("i,y\n" + "".join(f"i{k},{(k * 7 % 11) / 11}\n" for k in range(40)))
    assert cli("submit", tmp_path / "p.csv", "--slug", "first").exit_code == 0
    ran = cli("score", "first", "--replicates", "100", "--jobs", "1", "--json")
    assert ran.object["result"]["scorecards"][0]["targets"][0]["images"] == 40


def test_the_demo_cohorts_table_is_written_when_it_is_first_needed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    cli("init", ".")
    first = cli("cohort", "split", "--json")
    assert "Writing the synthetic demo cohort" in first.stderr
    again = cli("cohort", "split", "--json")
    assert "Writing" not in again.stderr
    assert first.object["result"] == again.object["result"]


def test_specs_and_codes_are_listed(cli: Cli) -> None:
    cohorts = cli("cohort", "specs", "--json").object["result"]["cohorts"]
    assert [spec["id"] for spec in cohorts] == list(builtin_specs())
    listed = cli("explain", "--list", "--json").object["result"]["codes"]
    assert [page["code"] for page in listed] == list(catalogue())
    shown = cli("explain", "predictions-out-of-range").stdout
    assert catalogue()["predictions-out-of-range"].remedy in shown
