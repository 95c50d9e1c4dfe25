"""Messages of the commands about faulty cohorts, wrong folders and wrong dates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from baselines.pixels import FileSource
from bench.cohort.cohort import Cohort
from bench.cohort.load import load_cohort
from bench.documents import read_table
from bench.errors import BenchError
from bench.workspace import DATA_VARIABLE, create_workspace
from tests.cohort.small_cohort import good, spec, write
from tests.cohort.test_faults import FAULTS
from tests.cohort.test_image_faults import png_of
from tests.conftest import Cli
from tests.faulty import assert_problem

SPEC = """\
schema = "cohort-spec/1"
id = "hosp"
version = "1"
title = "Hospital"
headline = "y"
[files]
table = "t.csv"
images = "images"
[columns]
image = "image"
patient = "patient"
[split]
rule = "hash"
salt = "s1"
test = 0.5
[[targets]]
name = "y"
label = "Y"
source = "y"
"""


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace on a cohort whose table a test writes to ``data``."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "hosp.toml").write_text(SPEC)
    create_workspace(tmp_path / "space", str(tmp_path / "hosp.toml"), {"hosp": tmp_path / "data"})
    monkeypatch.chdir(tmp_path / "space")
    return tmp_path


def test_a_split_that_may_leak_is_shown_and_not_locked(hospital: Path, cli: Cli) -> None:
    write(hospital / "data", FAULTS["case"].edit(good()))
    ran = cli("cohort", "split", "--lock", "--out", "s.csv", "--json")
    assert (ran.exit_code, ran.codes) == (1, ["patient-ids-similar"])
    assert "120 patient ids are 60" in ran.stderr
    assert len(Path("s.csv").read_text().splitlines()) == 181
    assert not list(Path("submissions").rglob("split.lock.json"))
    assert cli("cohort", "check", "--no-images", "--json").codes == ["patient-ids-similar"]


def test_a_split_with_warnings_is_locked(hospital: Path, cli: Cli) -> None:
    write(hospital / "data", FAULTS["7 and 7.0"].edit(good()))
    ran = cli("cohort", "split", "--lock", "--json")
    assert (ran.exit_code, ran.codes) == (0, ["patient-ids-forms"])
    assert len(list(Path("submissions").rglob("split.lock.json"))) == 1


def test_the_list_file_names_the_fault_of_each_image(hospital: Path, cli: Cli) -> None:
    table = good().head(60)
    write(hospital / "data", table)
    (hospital / "data" / "images").mkdir()
    for k, name in enumerate(table["image"]):
        Image.fromarray(np.full((4, 4), k, np.uint8)).save(hospital / "data" / "images" / name)
    large, text = table["image"][0], table["image"][1]
    (hospital / "data" / "images" / large).write_bytes(png_of(20_000, 20_000))
    (hospital / "data" / "images" / text).write_bytes(b"text")
    ran = cli("cohort", "check", "--jobs", "1", "--list", "list.csv", "--json")
    assert (ran.exit_code, set(ran.codes)) == (1, {"images-too-large", "images-damaged"})
    assert Path("list.csv").read_text().splitlines()[1:] == [
        f"cannot be decoded,{text}",
        f"too large,{large}",
    ]
    assert large not in ran.stdout + ran.stderr
    cached = cli("cohort", "cache", "--size", "16", "--jobs", "1", "--json")
    assert (cached.exit_code, cached.codes) == (3, ["images-too-large"])
    assert "400,000,000 pixels" in cached.stderr


def test_training_refuses_an_image_that_is_too_large(few: Cohort) -> None:
    (few.folder / "images" / few.images[0]).write_bytes(png_of(20_000, 20_000))
    with pytest.raises(BenchError, match="images-too-large"):
        FileSource(few, few.images).read(np.arange(6), 8, 8)


# Folders


def test_a_file_is_not_a_folder_and_its_folder_is_named(hospital: Path, cli: Cli) -> None:
    write(hospital / "data", good())
    ran = cli("cohort", "check", "--no-images", "--data", hospital / "data" / "t.csv", "--json")
    (problem,) = ran.object["problems"]
    assert ran.exit_code == 3
    assert_problem(
        problem,
        "cohort-missing",
        message=r"^This is a file; cohort hosp is looked for in a folder\.$",
        where=f"^{hospital / 'data' / 't.csv'}$",
        remedy=f"--data {hospital / 'data'}",
    )


@pytest.mark.parametrize("command", [("cohort", "check"), ("cohort", "split"), ("template", "--out", "t")])
def test_outside_a_workspace_the_folder_is_asked_for(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    ran = cli(*command, "--cohort", "chexchonet", "--json")
    (problem,) = ran.object["problems"]
    assert ran.exit_code == 3
    assert_problem(
        problem, "cohort-missing", message="chexchonet", where=".", remedy="--data DIR.*bench init"
    )


def test_outside_a_workspace_the_variable_names_the_folder(
    tmp_path: Path, cohort_folder: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, str(cohort_folder))
    assert cli("template", "--cohort", "chexchonet", "--out", "t").exit_code == 0


def test_a_damaged_workspace_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    (tmp_path / "bench.toml").write_text("cohort = [")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    assert cli("cohort", "split", "--cohort", "demo", "--json").codes == ["workspace-config"]


@pytest.mark.parametrize("folder", ["../elsewhere", "/nowhere/data"])
def test_a_demo_folder_outside_the_workspace_is_never_made(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    create_workspace(tmp_path / "w", data={"demo": Path(folder)})
    monkeypatch.chdir(tmp_path / "w")
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    ran = cli("cohort", "split", "--json")
    (problem,) = ran.object["problems"]
    assert ran.exit_code == 3
    assert_problem(problem, "cohort-missing", message=".", where="/", remedy="bench cohort demo --out")
    assert not (tmp_path / "elsewhere").exists()


# Dates in TOML


@pytest.mark.parametrize(
    "text",
    [
        "2026-13-01",
        "2026-02-30",
        "2026-1-5",
        "26-01-01",
        "01.02.2026",
        "2026/01/05",
        "1/2/2026",
        "5 March 2026",
    ],
)
def test_the_message_about_a_wrong_date_shows_the_right_form(text: str) -> None:
    with pytest.raises(BenchError) as caught:
        read_table(f'name = "A"\ndate = {text}\n', "manifest-invalid", "m.toml")
    (problem,) = caught.value.problems
    assert_problem(
        problem,
        "manifest-invalid",
        message="a date is year-month-day, such as 2026-01-31, and must exist in the calendar",
        where=r"^m\.toml, line 2, column ",
        remedy="Correct the line",
    )


@pytest.mark.parametrize("text", ["x = 1 - 2 - 3 y", "x = [1", "x = 2026 y"])
def test_other_faults_are_not_taken_for_dates(text: str) -> None:
    with pytest.raises(BenchError) as caught:
        read_table(text, "manifest-invalid", "m.toml")
    assert "calendar" not in caught.value.problems[0].message


# The rule of patients' ids


def test_the_rule_of_ids_is_explained(cli: Cli) -> None:
    said = " ".join(cli("explain", "patient-ids-similar").stdout.split())
    for words in ("normal form C", "7.0 is 7", "bytes are UTF-8", 'similar_patients = "distinct"'):
        assert words in said


def test_a_rule_of_sex_counts_rows_with_a_known_sex_alone(tmp_path: Path) -> None:
    from bench.cohort.audit import label_agreement

    table = good().assign(w="5.5", sex=["Male" if i < 100 else "f" if i < 150 else "?" for i in range(180)])
    table["y"] = ["0" if i < 100 else "1" for i in range(180)]
    write(tmp_path, table)
    rule = {"target": "y", "any_of": [{"column": "w", "male": 5.9, "female": 5.3}]}
    (line,) = label_agreement(load_cohort(spec({"label_rules": [rule]}), tmp_path))
    assert (line.images, line.agree) == (150, 150)
