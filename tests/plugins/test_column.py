"""A package that is installed for a moment adds a board column: one file and its entry point."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.board.column import Cell, Column, Group
from bench.board.columns import plugin_columns, plugin_fingerprint
from bench.board.model import LoadedBoard
from bench.board.table import board_table
from bench.plugins import PluginError
from bench.publish.build import build_site
from bench.publish.checks import check_site
from bench.workspace import create_workspace
from tests.conftest import Cli
from tests.publish.boards import loaded_board
from tests.publish.pages import read
from tests.publish.store import write_store

COLUMN = """
from bench.board.column import Cell, Column, Group


def cell(row):
    if row.score is None:
        return Cell("n/a", None, reason="No predictions for this target.")
    gap = row.score.metrics["auroc"].value - row.score.metrics["auprc"].value
    return Cell(f"{gap:.3f}", gap)


gap = Column(key="auroc_minus_auprc", label="Gap", group=Group.TARGET, hint="AUROC minus AUPRC", cell=cell)
"""
KEY = "auroc_minus_auprc"
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a package with one module, whose entry point names the module's `gap`."""

    def run(source: str, module: str = "auroc_gap", group: str = "bench.columns") -> Path:
        folder = tmp_path / f"site-packages-{module}"
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\ngap = {module}:gap\n")
        (folder / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        plugin_columns.cache_clear()
        installed.append(module)
        return folder

    installed: list[str] = []
    yield run
    plugin_columns.cache_clear()
    for module in installed:
        sys.modules.pop(module, None)


def expected(loaded: LoadedBoard, slug: str, target: str) -> float:
    card = loaded.entries[slug].scorecard
    score = card.target(target) if card else None
    assert score is not None
    auroc, auprc = score.metrics["auroc"].value, score.metrics["auprc"].value
    assert auroc is not None
    assert auprc is not None
    return auroc - auprc


def test_a_column_in_one_file_is_in_page_json_csv_and_terminal(
    install: Install, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = install(COLUMN)
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "METADATA"]
    assert sorted(p.name for p in files) == ["auroc_gap.py", "entry_points.txt"]

    loaded = loaded_board(5)
    build_site([loaded], tmp_path / "site")
    assert check_site(tmp_path / "site") == []
    table = next(
        t for t in read(tmp_path / "site" / "index.html").find_all("table") if t.get("id") == "board"
    )
    heads = [h.get("data-k") for h in table.find_all("th") if h.get("data-k") or h.get("data-i")]
    rows = [tr for tr in table.find_all("tr") if tr.get("data-e")]
    page = {r.get("data-e"): [c.text() for c in r.children if not isinstance(c, str)] for r in rows}
    published = json.loads((tmp_path / "site" / "leaderboard.json").read_bytes())
    headline = published["targets"][0]
    assert [c["label"] for c in headline["columns"] if c["key"] == KEY] == ["Gap"]
    named = {
        (r["target"], r["slug"]): r for r in csv_rows((tmp_path / "site" / "leaderboard.csv").read_text())
    }
    assert len(headline["rows"]) == 6
    for row in headline["rows"]:
        gap = expected(loaded, row["slug"], headline["target"])
        assert row["cells"][KEY] == {"text": f"{gap:.3f}", "value": pytest.approx(gap, abs=1e-12)}
        assert float(named[headline["target"], row["slug"]][KEY]) == pytest.approx(gap, rel=1e-8)
        assert page[row["slug"]][heads.index(KEY)] == f"{gap:.3f}"

    space = create_workspace(tmp_path / "space", "demo", {})
    stored = write_store(space.root / "submissions" / "demo", 3)
    monkeypatch.chdir(space.root)
    monkeypatch.setenv("COLUMNS", "200")
    ran = cli("board", "--target", "slvh")
    assert ran.exit_code == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert "Gap" in next(line for line in lines if line.startswith("Rank")).split()
    line = next(line for line in lines if "entry-0001" in line)
    assert f"{expected(stored, 'entry-0001', 'slvh'):.3f}" in line.split()
    chosen = cli("board", "--target", "slvh", "--csv", "--columns", f"slug,{KEY}").stdout
    assert {r["slug"]: pytest.approx(float(r[KEY])) for r in csv_rows(chosen)} == {
        slug: expected(stored, slug, "slvh") for slug in ("entry-0000", "entry-0001", "entry-0002", "control")
    }


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_changed_package_changes_the_pages_that_are_built_again(install: Install) -> None:
    folder = install(COLUMN)
    before = plugin_fingerprint()
    (folder / "auroc_gap.py").write_text(COLUMN.replace('"Gap"', '"Difference"'))
    assert len(before) == 1
    assert plugin_fingerprint() != before


def test_a_column_that_is_empty_for_every_entry_is_a_fault(install: Install, tmp_path: Path) -> None:
    install(EMPTY, "empty_gap")
    build_site([loaded_board(3)], tmp_path / "site")
    problems = check_site(tmp_path / "site")
    assert {(p.code, p.where) for p in problems} == {("site-column-empty", "leaderboard.json")}
    assert f"column {KEY!r} has no value for any entry. Not scored." in problems[0].message


EMPTY = COLUMN.replace('return Cell(f"{gap:.3f}", gap)', 'return Cell("n/a", None, reason="Not scored.")')


@pytest.mark.parametrize(
    ("source", "module", "words"),
    [
        ("raise OSError('no licence')", "broken_gap", "OSError: no licence"),
        ("gap = 3", "number_gap", "names a int, not a bench.board.column.Column"),
        (COLUMN.replace("Group.TARGET", '"speeed"'), "group_gap", "known groups are entry, target, leader"),
        (
            COLUMN.replace('key="auroc_minus_auprc"', 'key="rank"'),
            "rank_gap",
            "has the key 'rank', which is in use",
        ),
        (COLUMN.replace('["auprc"]', '["f1"]'), "key_gap", "failed for entry 'entry-0000': KeyError: 'f1'"),
        (COLUMN.replace('Cell(f"{gap:.3f}", gap)', "gap"), "bare_gap", "gave a float, not a Cell"),
    ],
)
def test_a_package_with_a_fault_is_a_problem(install: Install, source: str, module: str, words: str) -> None:
    install(source, module)
    with pytest.raises(PluginError, match=re.escape(words)):
        board_table(loaded_board(2), "slvh")


def column(**changed: object) -> Column:
    given = {"key": "x", "label": "X", "group": Group.SPEED, "hint": "x", "cell": lambda _: Cell("", None)}
    return Column(**{**given, **changed})  # type: ignore[arg-type]


def test_an_unknown_group_names_the_known_ones() -> None:
    assert column(group="speed").group is Group.SPEED
    words = "known groups are entry, target, leader, other, calibration, speed, source"
    with pytest.raises(ValueError, match=words):
        column(group="latency")


@pytest.mark.parametrize("key", ["", "a b", 'a"b', "a,b", "=x"])
def test_a_key_must_be_a_name(key: str) -> None:
    with pytest.raises(ValueError, match="must consist of"):
        column(key=key)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_cell_holds_no_number_that_json_cannot(value: float) -> None:
    with pytest.raises(ValueError, match="leave the value out"):
        Cell("1", value)
