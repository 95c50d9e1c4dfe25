"""`bench board`: one table in the terminal, as CSV, Markdown, LaTeX and JSON."""

import csv
import io
import json
import shutil
import subprocess
import sys

import pytest

from bench.board.load import load_board
from bench.cohort.spec import load_spec
from bench.publish.build import build_site
from bench.workspace import create_workspace
from tests.publish.boards import HOSTILE, loaded_board
from tests.publish.store import write_entries


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with a workspace of eight entries, and their board."""
    board = loaded_board(8, names=tuple(name for name in HOSTILE if name.isprintable()))
    space = create_workspace(tmp_path_factory.mktemp("written") / "space", "demo", {})
    write_entries(space.root / "submissions" / "demo", board)
    return space.root, board


@pytest.fixture
def loaded(written, tmp_path, monkeypatch):
    """That board; a copy of the workspace is the current folder."""
    root, board = written
    monkeypatch.chdir(shutil.copytree(root, tmp_path / "space"))
    monkeypatch.delenv("COLUMNS", raising=False)
    return board


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_is_that_of_the_site(loaded, cli, tmp_path):
    build_site([loaded], tmp_path / "site")
    published = rows_of((tmp_path / "site" / "leaderboard.csv").read_text("utf-8"))
    for target in ("slvh", "composite_slvh_dlv"):
        shown = rows_of(cli("board", "--target", target, "--csv").stdout)
        expected = [row for row in published if row["target"] == target]
        assert len(shown) == len(expected) == 9
        for row, other in zip(shown, expected, strict=True):
            assert row == {key: other[key] for key in row}
            assert all(other[key] == "" for key in other.keys() - row.keys())


def test_csv_has_numbers_in_full_precision_and_no_formula(loaded, cli):
    rows = rows_of(cli("board", "--target", "slvh", "--csv").stdout)
    for row in rows:
        metrics = loaded.entries[row["slug"]].scorecard.target("slvh").metrics
        assert float(row["auroc"]) == pytest.approx(metrics["auroc"].value, rel=1e-8)
        assert float(row["auroc_low"]) == pytest.approx(metrics["auroc"].low, rel=1e-8)
    names = [row["entry"] for row in rows]
    assert any("cmd" in name for name in names)
    assert not [name for name in names if name.startswith(("=", "@", "+", "-"))]


@pytest.mark.parametrize("width", [60, 80, 100, 140, 250])
def test_the_table_fits_the_terminal(loaded, cli, monkeypatch, width):
    from rich.cells import cell_len

    monkeypatch.setenv("COLUMNS", str(width))
    lines = cli("board", "--target", "slvh").stdout.splitlines()
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    assert all(slug in text for slug in ("entry-0000", "entry-0007", "control"))
    first = next(line for line in lines if "entry-0000" in line)
    auroc = loaded.entries["entry-0000"].scorecard.target("slvh").metrics["auroc"]
    assert f"{auroc.value:.3f} ({auroc.low:.3f}–{auroc.high:.3f})" in first
    assert ("choose with" in text.replace("\n", " ")) == (width < 250)
    assert "Control: shuffled labels." in text


def test_without_a_terminal_nothing_is_left_out(loaded, cli):
    text = cli("board", "--target", "slvh").stdout
    heads = next(line for line in text.splitlines() if line.startswith("Rank"))
    for label in (
        "Slug",
        "Entry",
        "AUROC",
        "AUPRC",
        "ECE",
        "Brier",
        "Slope",
        "Median time, ms",
        "Mean of the findings",
        "Notes",
    ):
        assert label in heads
    assert "No room" not in text


def test_columns_are_chosen_in_order_for_every_format(loaded, cli):
    words = ("board", "--target", "slvh", "--columns", "brier, slug")
    heads = cli(*words).stdout.splitlines()[2].split()
    assert heads == ["Brier", "Slug"]
    assert cli(*words, "--csv").stdout.splitlines()[0] == "target,brier,slug"
    assert cli(*words, "--markdown").stdout.splitlines()[0] == "| Brier | Slug |"
    assert r"Brier & Slug \\" in cli(*words, "--latex").stdout
    result = cli(*words, "--json").object["result"]
    assert [c["key"] for c in result["columns"]] == ["brier", "slug"]
    assert [list(row["cells"]) for row in result["rows"]] == [["brier", "slug"]] * 9


def test_declarations_are_columns_that_choose_entries(loaded, cli, tmp_path):
    folder = tmp_path / "space" / "submissions" / "demo"
    ranks = {row["slug"]: row["rank"] for row in rows_of(cli("board", "--csv").stdout)}
    first, second = sorted(loaded.board.scorecards)[:2]
    for slug, words in ((first, "zero_shot = true\nimage_size = 224\nupsampled_from = 64\n"), (second, "")):
        path = folder / slug / "submission.toml"
        rest = [line for line in path.read_text().splitlines() if not line.startswith("external_data")]
        path.write_text("\n".join([words, 'external_data = "MIMIC-CXR"', *rest]))
    keys = "slug,rank,external_data,zero_shot,image_size,code"
    rows = {row["slug"]: row for row in rows_of(cli("board", "--columns", keys, "--csv").stdout)}
    assert rows[first]["external_data"] == rows[second]["external_data"] == "MIMIC-CXR"
    assert (rows[first]["zero_shot"], rows[second]["zero_shot"]) == ("yes", "not stated")
    assert rows[first]["image_size"] == "224, upsampled from 64"
    chosen = rows_of(cli("board", "--where", "external_data=mimic-cxr", "--csv").stdout)
    assert {row["slug"]: row["rank"] for row in chosen} == {slug: ranks[slug] for slug in (first, second)}
    both = ("board", "--where", "external_data=MIMIC-CXR", "--where", "zero_shot=yes")
    assert [row["slug"] for row in rows_of(cli(*both, "--csv").stdout)] == [first]
    assert [row["slug"] for row in cli(*both, "--json").object["result"]["rows"]] == [first]
    (none,) = cli("board", "--where", "external_data=MIMIC", "--json").object["problems"]
    assert none["code"] == "board-empty"
    assert "MIMIC-CXR" in none["message"] + none["remedy"]
    assert cli("board", "--where", "zero-shot=yes", "--json").codes == ["column-unknown"]
    assert cli("board", "--where", "zero_shot").exit_code == 2


def test_an_unknown_column_gets_the_nearest_names(loaded, cli):
    ran = cli("board", "--columns", "brierr,zzz", "--json")
    assert ran.exit_code == 1
    assert ran.codes == ["column-unknown", "column-unknown"]
    near, far = ran.object["problems"]
    assert near["remedy"] == "Did you mean 'brier'?"
    assert "rank, may_be_first" in far["remedy"]


@pytest.mark.parametrize("words", ["--csv --latex", "--markdown --json", "--speed --columns rank"])
def test_formats_go_one_at_a_time(loaded, cli, words):
    assert cli("board", *words.split()).exit_code == 2


def test_json_has_the_cells_of_the_site(loaded, cli, tmp_path):
    stored = load_board(load_spec("demo"), tmp_path / "space" / "submissions" / "demo")
    build_site([stored], tmp_path / "site")
    published = json.loads((tmp_path / "site" / "leaderboard.json").read_bytes())
    target = next(t for t in published["targets"] if t["target"] == "slvh")
    result = cli("board", "--target", "slvh", "--json").object["result"]
    assert result["columns"] == target["columns"]
    assert result["rows"] == [{"slug": r["slug"], "cells": r["cells"]} for r in target["rows"]]


def test_hostile_names_stay_words_in_markdown_and_latex(loaded, cli):
    words = ("board", "--target", "slvh", "--columns", "entry,auroc")
    markdown = cli(*words, "--markdown").stdout
    assert "<script>" not in markdown
    assert "&lt;script&gt;" in markdown
    table = markdown.split("\n\n")[0].splitlines()
    assert len(table) == 2 + 9
    assert {line.replace(r"\|", "").count("|") for line in table} == {3}
    body = cli(*words, "--latex").stdout
    assert r"=cmd|'/C calc'!A0 & " in body
    assert r"\{\{ 7 * 7 \}\} \{\% raw \%\}" in body


WITHOUT_NUMPY = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numpy", "pandas", "scipy", "numba", "pyarrow"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
from bench.cli.main import app

for words in (["board", "--csv"], ["site", "build", "--out", "site"], ["site", "check", "--out", "site"]):
    app(words, standalone_mode=False)
"""


def test_boards_and_sites_need_no_numerical_library(loaded):
    done = subprocess.run([sys.executable, "-c", WITHOUT_NUMPY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "The site is in order." in done.stdout
