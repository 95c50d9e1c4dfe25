import dataclasses
import datetime
import zipfile

import pytest

from bench.errors import BenchError
from bench.publish.build import build_site, freeze
from bench.publish.checks import check_site
from bench.publish.releases import read_releases
from tests.publish.boards import loaded_board, reported_only
from tests.publish.pages import html_pages, read
from tests.publish.test_site import contents

DAY = datetime.date(2026, 11, 24)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    freeze([loaded_board(4), reported_only()], "2026.1", folder, built_from="abc", day=DAY)
    return folder


@pytest.fixture(scope="module")
def site(kept, tmp_path_factory):
    """A later board beside the earlier release."""
    out = tmp_path_factory.mktemp("site") / "site"
    build_site([loaded_board(7, seed=9), reported_only()], out, releases=read_releases(kept))
    return out


def test_a_release_keeps_the_numbers_of_its_day(site, tmp_path):
    build_site([loaded_board(4), reported_only()], tmp_path / "then", built_from="abc")
    frozen, then = site / "v" / "2026.1", tmp_path / "then"
    for name in ("leaderboard.json", "leaderboard.csv", "long.csv", "e/entry-0001/entry.json"):
        assert (frozen / name).read_bytes() == (then / name).read_bytes()
    assert (site / "leaderboard.json").read_bytes() != (frozen / "leaderboard.json").read_bytes()
    assert check_site(site) == []


def test_every_page_of_a_release_says_so_and_leads_to_the_current_board(site):
    pages = html_pages(site / "v" / "2026.1")
    assert len(pages) > 15
    for path in pages:
        tree = read(path)
        assert "Release 2026.1. This page is frozen" in tree.text()
        links = [(path.parent / a.get("href").partition("?")[0]).resolve() for a in tree.find_all("a")]
        assert (site / "index.html").resolve() in links
    for path in set(html_pages(site)) - set(pages):
        assert "This page is frozen" not in read(path).text()


def test_releases_are_listed_with_what_they_hold_and_reached_from_every_page(site, kept):
    text = read(site / "v" / "index.html").text()
    assert "Release 2026.1" in text
    assert read_releases(kept)[0].sha256 in text
    assert "6 entries, split" in text
    assert "v/index.html" in [a.get("href") for a in read(site / "index.html").find_all("a")]
    assert "2026.1/index.html" not in (site / "sitemap.xml").read_text()


def test_freezing_twice_gives_equal_bytes_and_a_name_is_used_once(kept, tmp_path):
    boards = [loaded_board(4), reported_only()]
    again = freeze(boards, "2026.1", tmp_path, built_from="abc", day=DAY)
    assert again.read_bytes() == (kept / "2026.1.zip").read_bytes()
    with pytest.raises(BenchError, match="frozen already"):
        freeze(boards, "2026.1", tmp_path, day=DAY)
    assert again.read_bytes() == (kept / "2026.1.zip").read_bytes()


def test_a_name_that_another_process_takes_meanwhile_is_left_to_it(kept, tmp_path, monkeypatch):
    taken = (kept / "2026.1.zip").read_bytes()

    def meanwhile(site):
        (tmp_path / "2026.1.zip").write_bytes(taken)
        return []

    monkeypatch.setattr("bench.publish.build.check_site", meanwhile)
    with pytest.raises(BenchError, match="frozen already"):
        freeze([loaded_board(2)], "2026.1", tmp_path, day=DAY)
    assert (tmp_path / "2026.1.zip").read_bytes() == taken


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", ".x", "x" * 41, "ä"])
def test_a_name_that_cannot_be_an_address_is_refused(name, tmp_path):
    with pytest.raises(BenchError) as caught:
        freeze([loaded_board(2)], name, tmp_path / "kept", day=DAY)
    assert [p.code for p in caught.value.problems] == ["release-name"]
    assert not (tmp_path / "kept").exists()


def test_boards_that_make_no_site_make_no_release(tmp_path):
    board = loaded_board(3)
    entries = {slug: e for slug, e in board.entries.items() if slug != "control"}
    with pytest.raises(BenchError, match="not stored"):
        freeze([dataclasses.replace(board, entries=entries)], "r1", tmp_path / "kept", day=DAY)
    assert not (tmp_path / "kept").exists()


def repacked(kept, folder, name, **files):
    with zipfile.ZipFile(kept / "2026.1.zip") as old, zipfile.ZipFile(folder / name, "w") as new:
        for each in old.namelist():
            new.writestr(each, old.read(each))
        for each, text in files.items():
            new.writestr(each.replace("SLASH", "/"), text)


def test_an_archive_that_leads_elsewhere_or_is_damaged_is_refused(kept, tmp_path):
    cases = {
        "other": lambda f: repacked(kept, f, "2026.2.zip"),
        "up": lambda f: repacked(kept, f, "2026.1.zip", **{"..SLASHx.html": "x"}),
        "root": lambda f: repacked(kept, f, "2026.1.zip", **{"SLASHtmpSLASHx": "x"}),
        "cut": lambda f: (f / "2026.1.zip").write_bytes((kept / "2026.1.zip").read_bytes()[:900]),
        "empty": lambda f: (f / "2026.1.zip").write_bytes(b""),
        "bare": lambda f: zipfile.ZipFile(f / "2026.1.zip", "w").close(),
    }
    for name, make in cases.items():
        folder = tmp_path / name
        folder.mkdir()
        make(folder)
        with pytest.raises(BenchError) as caught:
            read_releases(folder)
        assert [p.code for p in caught.value.problems] == ["release-invalid"], name


def test_a_release_is_not_written_again_by_a_later_build(site, kept, tmp_path):
    build_site([loaded_board(4)], tmp_path / "s", releases=read_releases(kept))
    before = contents(tmp_path / "s" / "v" / "2026.1")
    build_site([loaded_board(5, seed=3)], tmp_path / "s", releases=read_releases(kept))
    assert contents(tmp_path / "s" / "v" / "2026.1") == before == contents(site / "v" / "2026.1")
