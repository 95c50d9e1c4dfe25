"""Messages to a submitter: the line in the file, the name that was meant, the file, and what to type."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pytest

from bench.cohort.cohort import Cohort
from bench.errors import BenchError, Problem
from bench.submission.check_predictions import load_predictions
from bench.submission.read_predictions import BLOCK, parse_predictions, row_lines
from bench.submission.store import check_slug
from bench.workspace import Workspace
from tests.conftest import Cli
from tests.faulty import assert_problem
from tests.runtime.models import linear_model, save
from tests.tiny import MANIFEST

HEAD = "composite_slvh_dlv"


def refused(path: Path, cohort: Cohort, **more: Any) -> list[Problem]:
    with pytest.raises(BenchError) as caught:
        load_predictions(path, cohort, **more)
    return list(caught.value.problems)


# Lines


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r\r\n", "\r"], ids=repr)
def test_lines_are_those_of_an_editor(ends: str) -> None:
    text = ends.join(["", "a,b", "1,2", "", "", "3,4", "5,6", ""]).encode()
    assert row_lines(text).tolist() == [2, 3, 6, 7]
    assert row_lines(b"").tolist() == []


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=repr)
def test_lines_of_a_large_text_are_those_of_a_plain_count(ends: str) -> None:
    lines = ["i,a", "", *(f"{k},{'' if k % 7 else ends}" for k in range(BLOCK // 4))]  # rows across blocks
    text = ends.join(lines) + ends * BLOCK + "x"  # a block without a row
    filled = [number for number, line in enumerate(text.split(ends), 1) if line]
    some = [*range(0, len(filled), 5000), len(filled) - 2, len(filled) - 1]
    assert row_lines(text.encode())[some].tolist() == [filled[row] for row in some]


def test_many_messages_about_a_large_file_go_through_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Mock(wraps=row_lines)
    monkeypatch.setattr("bench.submission.read_predictions.row_lines", whole)
    (tmp_path / "p.csv").write_bytes(b"i,a\n\n" + b"x,1\n" * 3_000_000)
    raw = parse_predictions((tmp_path / "p.csv").read_bytes(), tmp_path / "p.csv", ("i",))
    said = {raw.first([row]) for row in range(2_999_900, 3_000_000)}
    assert whole.call_count == 1
    assert len(said) == 100
    assert "first at line 3000002" in said


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=repr)
def test_blank_lines_move_the_lines_that_are_named(
    ends: str, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    lines = good.to_csv(index=False).split("\n")
    lines[4] = lines[4].rpartition(",")[0] + ",high"
    text = ends.join([*lines[:2], "", *lines[2:]])
    (tmp_path / "p.csv").write_bytes(text.encode())
    (problem,) = refused(tmp_path / "p.csv", cohort)
    assert "; first at line 6, " in problem.message
    assert text.split(ends)[6 - 1].endswith(",high")


def test_rows_of_parquet_are_called_rows(good: pd.DataFrame, cohort: Cohort, tmp_path: Path) -> None:
    pd.concat([good, good.iloc[[3]]], ignore_index=True).to_parquet(tmp_path / "p")
    (problem,) = refused(tmp_path / "p", cohort)
    assert problem.message == "1 image has more than one row (2 rows); first in row 4, 103."


def test_at_most_five_lines_are_named_and_never_an_id(
    good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    pd.concat([good, good]).to_csv(tmp_path / "p.csv", index=False)
    (problem,) = refused(tmp_path / "p.csv", cohort)
    assert problem.message.endswith("(204 rows); first at line 2, 3, 4, 5, 6.")
    assert good.cxr_filename[0] not in str(problem)


def test_ragged_rows_of_a_large_file_are_found_by_line(tmp_path: Path) -> None:
    rows = ["i,a"] + [f"{k},0.5" for k in range(600_000)]  # several of Arrow's blocks
    rows[300_000] = "7,text where numbers were"
    rows[400_000] = "x"
    rows[500_000] = "x,1,2"
    (tmp_path / "p.csv").write_text("\n".join(rows))
    with pytest.raises(BenchError) as caught:
        parse_predictions((tmp_path / "p.csv").read_bytes(), tmp_path / "p.csv", ("i",))
    (problem,) = caught.value.problems
    assert problem.message == (
        "2 rows do not have the 2 columns of the header; first at line 400001 (with 1), 500001."
    )


def test_a_file_of_ragged_rows_ends_early(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b"i,a\n" + b"x\n" * 5_000_000)
    with pytest.raises(BenchError, match="At least 10,000 rows") as caught:
        parse_predictions((tmp_path / "p.csv").read_bytes(), tmp_path / "p.csv", ("i",))
    assert "line 2 (with 1), 3, 4, 5, 6." in caught.value.problems[0].message


def test_a_ragged_row_beyond_the_limit_of_arrow_is_reported(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b'i,a\nx\n"' + b"y\n" * 3_000_000)
    with pytest.raises(BenchError) as caught:
        parse_predictions((tmp_path / "p.csv").read_bytes(), tmp_path / "p.csv", ("i",))
    assert caught.value.problems[0].code in ("predictions-ragged", "predictions-unreadable")


@pytest.mark.parametrize(
    ("change", "code", "message", "says"),
    [
        (lambda t: "# my model\n" + t, "predictions-ragged", "^103 rows", "remove the lines above it"),
        (lambda t: t.replace(",", ", "), "predictions-header", ".", "remove the blanks around the names"),
        (lambda t: t.replace("dlv\n", "dl\xfc\n", 1), "predictions-unreadable", "UTF-8", "Save it as UTF-8"),
        (lambda t: '{"a": [1, 2]}', "predictions-format", "JSON", "plain CSV"),
        (lambda t: "<!DOCTYPE html>", "predictions-format", "HTML", "logged in"),
        (lambda t: re.sub(r",[\d.]+\n", ",\n", t), "predictions-nan", "^102 of 102", "Fill in the column"),
        (
            lambda t: re.sub(r",0\.(\d\d)\d*\n", r",\1.5\n", t),
            "predictions-out-of-range",
            r"^\d+ of 102 values",
            "divide percentages by 100",
        ),
    ],
)
def test_the_remedy_fits_the_fault(
    change: Callable[[str], str],
    code: str,
    message: str,
    says: str,
    good: pd.DataFrame,
    cohort: Cohort,
    tmp_path: Path,
) -> None:
    (tmp_path / "p.csv").write_bytes(change(good.to_csv(index=False)).encode("latin-1"))
    (problem,) = refused(tmp_path / "p.csv", cohort)
    assert_problem(problem, code, message=message, where=r"/p\.csv(, column|$)", remedy=re.escape(says))


def test_ids_that_are_all_unknown_are_one_fault(good: pd.DataFrame, cohort: Cohort, tmp_path: Path) -> None:
    good.assign(cxr_filename=" " + good.cxr_filename).to_csv(tmp_path / "p.csv", index=False)
    assert [p.code for p in refused(tmp_path / "p.csv", cohort)] == ["predictions-unknown-id"]


# Names


@pytest.mark.parametrize(
    ("change", "header", "remedy"),
    [
        (
            {HEAD: "composite_slvh_dvl"},
            "'cxr_filename', 'composite_slvh_dvl', 'slvh', 'dlv'",
            f"If 'composite_slvh_dvl' is meant, rename it to '{HEAD}'.",
        ),
        (
            {"cxr_filename": "CXR_Filename"},
            f"'CXR_Filename', '{HEAD}', 'slvh', 'dlv'",
            "If 'CXR_Filename' is meant, rename it to 'cxr_filename'.",
        ),
        (
            {"cxr_filename": "imageid"},
            f"'imageid', '{HEAD}', 'slvh', 'dlv'",
            "If 'imageid' is meant, rename it to 'image_id'.",
        ),
    ],
)
def test_a_misspelt_header_is_shown_with_the_name_that_was_meant(
    change: dict[str, str], header: str, remedy: str, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    good.rename(columns=change).to_csv(tmp_path / "p.csv", index=False)
    (problem,) = refused(tmp_path / "p.csv", cohort)
    message = re.escape(f"the header is {header}.")
    assert_problem(problem, "predictions-header", message=message, where="/p.csv$", remedy=re.escape(remedy))


@pytest.mark.parametrize(
    "form",
    [
        "images\\{}.jpg",
        " {}.jpg",
        "{}.jpg.png",
        "{}.JPG",
        "C:\\data\\ {}.JPG.png ",
        "{}.nii.gz",
    ],
)
@pytest.mark.parametrize("value", ["0.5", "high"])
def test_an_id_is_not_quoted_from_a_file_without_a_header(
    form: str, value: str, good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    stem = good.cxr_filename[0].removesuffix(".jpg")
    cell = form.format(stem.upper() if form.endswith(".JPG") else stem)
    (tmp_path / "p.csv").write_text(f'"{cell}",{value},b\n"x",0.25,c\n')
    (problem,) = refused(tmp_path / "p.csv", cohort)
    assert problem.message.startswith("There is no header: the first line holds an id")
    assert stem.lower() not in str(problem).lower()


def test_a_first_line_with_a_number_is_not_quoted_nor_renamed(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("image_id7,0.5\nimage_id8,0.25\n")
    (problem,) = refused(tmp_path / "p.csv", cohort)
    assert problem.message.startswith("There is no header: the first line holds a number")
    assert "image_id7" not in str(problem)


def test_a_misspelt_target_beside_the_headline_is_asked_about(
    good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    good.rename(columns={"slvh": "slhv"}).to_csv(tmp_path / "p.csv", index=False)
    (notice,) = [
        r for r in load_predictions(tmp_path / "p.csv", cohort).notices if r.code.endswith("ignored-columns")
    ]
    assert notice.message == "1 column is not read: 'slhv'. Did you mean 'slvh'?"
    assert notice.severity == "warning"  # the target would be left out unseen


def test_labels_beside_the_authors_columns_get_no_suggestion(
    good: pd.DataFrame, cohort: Cohort, tmp_path: Path
) -> None:
    authors = good.rename(columns={HEAD: "composite_preds"}).assign(ivsd=1.0, **{HEAD: 0})
    authors.to_csv(tmp_path / "p.csv", index=False)
    (notice,) = [
        r for r in load_predictions(tmp_path / "p.csv", cohort).notices if r.code.endswith("ignored-columns")
    ]
    assert "Did you mean" not in notice.message


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["explain", "predictions-nann"], "Did you mean 'predictions-nan'"),
        (["explain", "nope"], "bench explain --list"),
        (["schema", "manifst"], "Did you mean 'manifest'?"),
        (["score", "modle"], "Did you mean 'model'?"),
        (["baseline", "run", "cnn-smal"], "Did you mean 'cnn-small'?"),
        (["time", "model", "--backend", "onnxruntime"], "Did you mean 'onnxruntime-cpu'"),
        (["cohort", "split", "--cohort", "chexchonett"], "Did you mean 'chexchonet'"),
        (["cohort", "split", "--cohort", "own.toml"], "It is looked for in"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_an_unknown_name_gets_the_nearest(
    words: list[str], says: str, space: Workspace, cli: Cli, good: pd.DataFrame, tmp_path: Path
) -> None:
    good.to_csv(tmp_path / "p.csv", index=False)
    cli("submit", tmp_path / "p.csv", "--slug", "model")
    ran = cli(*words)
    assert ran.exit_code == 1
    assert says in ran.stderr


# Slugs


@pytest.mark.parametrize(
    ("slug", "remedy"),
    [
        ("My_Model v2", "Choose for example `my-model-v2`."),
        ("-a-", "Choose for example `a`."),
        ("a" * 70, f"Choose for example `{'a' * 64}`."),
        ("müller", ""),
        ("CON", ""),
        ("../..", ""),
    ],
)
def test_the_message_about_a_slug_gives_the_rule_and_a_suggestion(slug: str, remedy: str) -> None:
    with pytest.raises(BenchError, match="1 to 64 lower-case letters, digits and hyphens") as caught:
        check_slug(slug)
    assert caught.value.problems[0].remedy == remedy
    if remedy:
        check_slug(remedy.split("`")[1])


def test_a_device_name_of_windows_is_refused_as_a_slug() -> None:
    with pytest.raises(BenchError, match="'nul' is a name that Windows keeps"):
        check_slug("nul")


def test_the_help_says_what_a_slug_is(cli: Cli) -> None:
    assert "lower-case letters, digits, hyphens" in " ".join(cli("submit", "--help").stdout.split())


# What to type


@pytest.mark.parametrize(
    ("covered", "advice"),
    [
        ("holdout", "`bench template --out DIR`"),
        ("val", "`bench template --images val --out DIR`"),
        ("cv5", "`bench template --images all --out DIR`"),
    ],
)
def test_missing_images_are_listed_by_the_template_of_their_part(
    covered: Any, advice: str, good: pd.DataFrame, cohort: Cohort, tmp_path: Path, space: Workspace, cli: Cli
) -> None:
    good.iloc[:5].to_csv(tmp_path / "p.csv", index=False)
    problem = refused(tmp_path / "p.csv", cohort, covered=covered)[-1]
    assert problem.code == "predictions-missing-id"
    assert advice in problem.remedy
    command = advice.strip("`").replace("DIR", str(tmp_path / "t")).split()[1:]
    assert cli(*command).exit_code == 0
    frame = pd.read_csv(tmp_path / "t" / "predictions.csv")
    assert problem.message.split(" of ")[1].startswith(f"{len(frame)} images")


def manifest_of(folder: Path, change: Callable[[str], str]) -> Path:
    path = folder / "said.toml"
    path.write_text(change(MANIFEST))
    return path


REPORTED = """
kind = "reported"
[reported]
citation = "A"
split = "own"
caveat = ""
metrics = { macro = { auroc = 0.8 } }
"""
MODEL = """
[model.image]
name = "image"
height = 24
width = 24
[model.outputs]
slvh = "scores:0"
"""


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ("", ""),
        (MODEL, ", model.outputs"),
        ('track = "cv5"\n', ""),
        (REPORTED, ""),
        ("name2 = 3", ""),
    ],
)
def test_a_fault_of_a_manifest_names_the_file_that_was_given(
    more: str, where: str, space: Workspace, cli: Cli, tmp_path: Path
) -> None:
    model = save(linear_model(), tmp_path / "m.onnx")
    said = manifest_of(tmp_path, lambda text: text + more)
    ran = cli("submit", "--model", model, "--manifest", said, "--slug", "a", "--json")
    assert ran.exit_code == 1
    assert {p["where"] for p in ran.object["problems"]} == {f"{said}{where}"}


def test_a_missing_manifest_of_a_model_is_named_with_its_path(
    space: Workspace, cli: Cli, tmp_path: Path
) -> None:
    model = save(linear_model(), tmp_path / "m.onnx")
    ran = cli("submit", "--model", model, "--slug", "a", "--json")
    absent, refusal = ran.object["problems"]
    assert absent["code"] == "manifest-absent"
    assert absent["message"].startswith("There is no such file")
    assert refusal["code"] == "model-manifest"
    assert absent["where"] == refusal["where"] == str(tmp_path / "submission.toml")


@pytest.mark.parametrize(
    "words", [["a/p.csv"], ["--model", "a/m.onnx"], ["p.csv", "--manifest", "a/m.toml"]], ids=" ".join
)
def test_a_missing_file_is_reported(words: list[str], space: Workspace, cli: Cli, good: pd.DataFrame) -> None:
    good.to_csv("p.csv", index=False)
    ran = cli("submit", *words, "--slug", "a", "--json")
    problems = [p for p in ran.object["problems"] if p["where"] == words[-1]]
    assert [p["message"] for p in problems] == ["There is no such file, nor a folder 'a'."]
    assert str(Path.cwd()) in problems[0]["remedy"]
    assert "Write the file again" not in ran.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["time", "absent.onnx"], "There is no such file."),
        (["time", "m.onxx"], "There is no entry"),
        (["sums", "absent"], "There is no such folder."),
        (["site", "freeze", "My Release"], "lower-case letters, digits, dots and hyphens"),
        (["score", "../Model"], "There is no entry '../Model'; there are: none."),
        (["submit", "p.csv"], "such as --slug my-model"),
        (["submit", "absent/p.csv", "--slug", "a", "--manifest", "m.toml"], "no such file"),
        (["init", "new", "--cohort", "own.tml"], "neither a built-in cohort"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_other_commands_say_what_is_missing(words: list[str], says: str, space: Workspace, cli: Cli) -> None:
    ran = cli(*words)
    assert ran.exit_code in (1, 2)
    assert says in " ".join(ran.stderr.split())


@pytest.mark.parametrize("cohort", ["demo", "chexpert"])
def test_a_new_workspace_shows_the_next_step(
    cohort: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = cli("init", "new", "--cohort", cohort).stderr
    assert f"Next: cd {tmp_path / 'new'};" in said
    assert said.endswith("bench cohort check\n")
    assert ("put the cohort's files" in said) == (cohort != "demo")
