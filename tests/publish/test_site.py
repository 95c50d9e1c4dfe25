import json
import re
import xml.etree.ElementTree as ET
from urllib.parse import urldefrag

import pytest

from bench.errors import BenchError
from bench.publish.documents import Leaderboard, PublishedEntry
from bench.publish.format import decimal
from bench.publish.site import build_site
from tests.publish.boards import loaded_board
from tests.publish.pages import html_pages, read, walk


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_two_builds_are_identical(boards, site, tmp_path):
    build_site(boards, tmp_path / "again", built_from="commit abc1234")
    assert contents(tmp_path / "again") == contents(site)


def test_a_rebuild_writes_nothing(boards, tmp_path):
    first = build_site(boards, tmp_path / "site")
    second = build_site(boards, tmp_path / "site")
    assert (first.written, second.written) == (first.files, 0)


def test_every_page_is_well_formed_and_has_its_policy(site):
    for path in html_pages(site):
        tree = read(path)
        policies = [m for m in tree.find_all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
        assert len(policies) == 1
        assert "require-trusted-types-for 'script'" in policies[0].get("content")
        assert "unsafe" not in policies[0].get("content")


def test_every_drawing_is_well_formed_xml(site):
    drawings = 0
    for path in html_pages(site):
        for svg in re.findall(r"<svg.*?</svg>", path.read_text("utf-8"), re.DOTALL):
            ET.fromstring(svg.replace("&nbsp;", " "))
            drawings += 1
    assert drawings > 100


def test_nothing_is_loaded_from_elsewhere_and_no_style_or_script_is_inline(site):
    for path in html_pages(site):
        tree = read(path)
        names = {name for node in walk(tree) for name in node.attributes}
        assert not [n for n in names if n == "style" or n.startswith("on")]
        for tag in ("script", "img", "iframe", "source", "link"):
            for node in tree.find_all(tag):
                where = node.get("src") or node.get("href")
                assert where
                assert "://" not in where
                assert not where.startswith("//")
        assert all(not script.text().strip() for script in tree.find_all("script"))


def test_every_link_within_the_site_leads_to_a_file_and_an_anchor(site):
    ids = {path.resolve(): {n.get("id") for n in walk(read(path))} for path in html_pages(site)}
    for path in html_pages(site):
        if path.name == "404.html":
            continue
        tree = read(path)
        for node in tree.find_all("a") + tree.find_all("link") + tree.find_all("script"):
            where = node.get("href") or node.get("src")
            if where.startswith(("http://", "https://")):
                continue
            target, anchor = urldefrag(where.partition("?")[0] if "#" not in where else where)
            assert not target.startswith("/"), f"{path}: {where} is not relative"
            file = (path.parent / target).resolve() if target else path.resolve()
            assert file.is_file(), f"{path}: {where}"
            if anchor:
                assert anchor in ids[file], f"{path}: {where}"


def test_the_rows_are_those_of_the_json(site):
    board = Leaderboard.model_validate_json((site / "leaderboard.json").read_text("utf-8"))
    for target in board.targets:
        path = site / "index.html" if target.target == board.headline else site / target.target / "index.html"
        table = next(t for t in read(path).find_all("table") if t.get("id") == "board")
        rows = [r for body in table.find_all("tbody") for r in body.find_all("tr") if r.get("data-e")]
        assert [r.get("data-e") for r in rows] == [r.slug for r in target.rows]
        for shown, row in zip(rows, target.rows, strict=True):
            cells = shown.find_all("td")
            standing = row.standing
            if standing.rank is not None:
                assert cells[0].text().split(" ")[0] == f"{standing.rank_low}–{standing.rank_high}"
            assert cells[1].text() == decimal(row.metrics["auroc"].value)
            tied = standing.with_leader or row.slug == target.leader
            assert (shown.get("class") == "tie") == tied


def test_the_first_sentence_counts_the_tie_group(site):
    lead = next(p for p in read(site / "index.html").find_all("p") if p.get("class") == "lead")
    assert "2 other entries cannot be told apart from the first at 95%." in lead.text()


def test_every_page_of_a_synthetic_cohort_says_so_in_words(site):
    for path in html_pages(site):
        inside = "chexchonet" in path.relative_to(site).parts
        assert ("Synthetic data." in path.read_text("utf-8")) == (not inside)


def test_entries_are_published_whole(site, boards):
    for slug, entry in boards[0].entries.items():
        found = PublishedEntry.model_validate_json((site / "e" / slug / "entry.json").read_text("utf-8"))
        assert found.manifest == entry.manifest
        assert (found.scorecard is None) == (entry.scorecard is None)


def test_reported_numbers_are_shown_apart_and_never_ranked(site):
    board = json.loads((site / "leaderboard.json").read_text("utf-8"))
    assert [r["slug"] for r in board["reported"]] == ["paper"]
    assert all(row["slug"] != "paper" for t in board["targets"] for row in t["rows"])
    empty = read(site / "chexchonet" / "index.html").text()
    assert "0.800" in empty
    assert "No entry has been scored" in empty


@pytest.mark.parametrize("boards", [[], [loaded_board(2), loaded_board(2)]])
def test_boards_that_make_no_site_are_refused(boards, tmp_path):
    with pytest.raises(BenchError) as caught:
        build_site(boards, tmp_path / "site")
    assert {p.code for p in caught.value.problems} == {"site-input"}
    assert not (tmp_path / "site").exists()
