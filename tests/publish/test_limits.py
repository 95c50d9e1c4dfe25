"""Budgets, incremental builds, and entries of which next to nothing is known."""

import dataclasses
import json

import pytest

from bench.publish.build import build_site
from bench.publish.checks import check_site
from bench.publish.checks.site import BOARD_BYTES, ENTRY_BYTES, KB, gzip_bytes
from tests.publish.boards import loaded_board, with_bare_entry
from tests.publish.pages import read


@pytest.fixture(scope="module")
def long_board():
    return loaded_board(120)


@pytest.fixture(scope="module")
def long_site(long_board, tmp_path_factory):
    out = tmp_path_factory.mktemp("long") / "site"
    build_site([long_board], out)
    return out


def test_a_page_of_a_board_is_within_its_budget(long_site):
    rows = [r for r in read(long_site / "index.html").find_all("tr") if r.get("data-e")]
    assert len(rows) == 70
    assert gzip_bytes(long_site / "index.html") <= BOARD_BYTES
    assert gzip_bytes(long_site / "slvh" / "index.html") <= BOARD_BYTES
    assert gzip_bytes(long_site / "e" / "entry-0001" / "index.html") <= ENTRY_BYTES
    assert gzip_bytes(long_site / "static" / "site.js") <= 6 * KB
    assert gzip_bytes(long_site / "static" / "site.css") <= 6 * KB
    assert not [p for p in check_site(long_site) if p.code == "site-budget"]


def test_the_rest_of_a_long_board_is_one_link_away(long_site):
    links = [a.get("href") for a in read(long_site / "index.html").find_all("a")]
    assert "all/index.html" in links
    board = json.loads((long_site / "leaderboard.json").read_bytes())["targets"][0]
    rows = [r for r in read(long_site / "all" / "index.html").find_all("tr") if r.get("data-e")]
    assert [r.get("data-e") for r in rows] == [r["slug"] for r in board["rows"]]
    for shown, row in zip(rows, board["rows"], strict=True):
        rank, auroc = (cell.text() for cell in shown.find_all("td"))
        assert rank == row["cells"]["rank"]["text"]
        assert auroc == f"{row['cells']['auroc']['text']} ({row['cells']['auroc']['interval']})"
        assert (shown.get("class") == "tie") == row["standing"]["may_be_first"]


def changed(board, slug, **update):
    entry = board.entries[slug]
    new = dataclasses.replace(entry, manifest=entry.manifest.model_copy(update=update))
    return dataclasses.replace(board, entries={**board.entries, slug: new})


def test_an_edit_rewrites_only_what_shows_it(tmp_path):
    board = loaded_board(9)
    out = tmp_path / "site"
    build_site([board], out)
    before = {p.relative_to(out).as_posix(): p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    summary = build_site([changed(board, "entry-0004", team="Another lab")], out)
    after = {p.relative_to(out).as_posix(): p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    rewritten = {path for path in after if after[path] != before[path]} - {".build.json"}
    assert rewritten == {
        "index.html",
        "slvh/index.html",
        "dlv/index.html",
        "e/entry-0004/index.html",
        "e/entry-0004/entry.json",
        "leaderboard.json",
        "leaderboard.csv",
        "eval-results.json",
        "changes/index.html",
        "feed.xml",
        "feed.json",
    }
    assert summary.written == len(rewritten)


def test_an_incremental_build_equals_one_from_nothing(tmp_path):
    board = loaded_board(6)
    edited = changed(board, "entry-0002", name="Renamed")
    build_site([board], tmp_path / "a")
    build_site([edited], tmp_path / "a")
    build_site([edited], tmp_path / "b")
    for path in sorted(p for p in (tmp_path / "b").rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "a" / path.relative_to(tmp_path / "b")).read_bytes(), path


def test_a_withdrawn_entry_leaves_no_page(tmp_path):
    board = loaded_board(6)
    build_site([board], tmp_path / "site")
    entries = {slug: e for slug, e in board.entries.items() if slug != "paper"}
    build_site([dataclasses.replace(board, entries=entries)], tmp_path / "site")
    assert not (tmp_path / "site" / "e" / "paper").exists()
    assert check_site(tmp_path / "site") == []


def test_a_broken_build_record_costs_only_time(tmp_path):
    board = loaded_board(3)
    build_site([board], tmp_path / "site")
    whole = (tmp_path / "site" / "index.html").read_bytes()
    for record in (b"", b"[]", b"{", b'{"index.html": 3}'):
        (tmp_path / "site" / ".build.json").write_bytes(record)
        build_site([board], tmp_path / "site")
        assert (tmp_path / "site" / "index.html").read_bytes() == whole, record
        assert json.loads((tmp_path / "site" / ".build.json").read_bytes())["index.html"], record


def test_without_a_change_the_folder_stays_unless_files_came_or_went(tmp_path):
    board, out = loaded_board(3), tmp_path / "site"
    build_site([board], out)
    inode = out.stat().st_ino
    build_site([board], out)
    assert out.stat().st_ino == inode
    (out / "stray.html").write_bytes(b"")
    (out / "speed" / "index.html").unlink()
    assert build_site([board], out).written == 1
    assert not (out / "stray.html").exists()
    assert (out / "speed" / "index.html").is_file()


def test_a_failed_build_leaves_the_old_site(tmp_path, monkeypatch):
    board = loaded_board(3)
    build_site([board], tmp_path / "site")
    whole = (tmp_path / "site" / "index.html").read_bytes()

    def fail(*_):
        raise RuntimeError("interrupted")

    monkeypatch.setattr("bench.publish.views.cohort.long_csv", fail)
    with pytest.raises(RuntimeError):
        build_site([changed(board, "entry-0001", name="Other")], tmp_path / "site")
    assert (tmp_path / "site" / "index.html").read_bytes() == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == [".site.lock", "site"]


def test_an_entry_with_everything_missing_can_be_shown(tmp_path):
    loaded = with_bare_entry(loaded_board(4), "entry-0001")
    build_site([loaded], tmp_path / "site")
    assert check_site(tmp_path / "site") == []
    text = read(tmp_path / "site" / "e" / "entry-0001" / "index.html").text()
    assert "Not ranked: no reason given." in text


def test_a_board_without_any_entry_can_be_shown(tmp_path):
    board = loaded_board(2)
    targets = tuple(
        t.model_copy(
            update={
                "standings": (),
                "leader": None,
                "others_may_be_first": 0,
                "same_ranking": (),
                "pairs": None,
            }
        )
        for t in board.board.targets
    )
    empty = dataclasses.replace(board, board=board.board.model_copy(update={"targets": targets}), entries={})
    build_site([empty], tmp_path / "site")
    assert "No entry is ranked." in read(tmp_path / "site" / "index.html").text()
    assert [p.code for p in check_site(tmp_path / "site")] == []


def test_a_file_system_without_links_will_do(tmp_path, monkeypatch):
    build_site([loaded_board(2)], tmp_path / "site")

    def no_links(*_):
        raise OSError("not supported")

    monkeypatch.setattr("os.link", no_links)
    assert build_site([loaded_board(2)], tmp_path / "site").written == 0
    assert check_site(tmp_path / "site") == []
