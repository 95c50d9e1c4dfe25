"""A board of a thousand entries, and an entry of which nothing is known."""

import json
from pathlib import Path

import pytest

from bench.publish.build import build_site
from bench.publish.templates import site_sources
from bench.publish.urls import places
from bench.publish.views.site import Site, site_pages
from tests.browser.conftest import serving
from tests.browser.test_site import head, names
from tests.publish.boards import loaded_board, with_bare_entry
from tests.publish.pages import html_pages, read, walk

MOST_ELEMENTS = 6000


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    """The board pages of a thousand entries; the entries' own pages are left out."""
    out: Path = tmp_path_factory.mktemp("thousand")
    site = Site(places([loaded_board(1000)]), site_sources(), "/", "")
    for page in site_pages(site):
        if not page.path.startswith(("e/", "badge/", "dlv/", "slvh/")):
            (out / page.path).parent.mkdir(parents=True, exist_ok=True)
            (out / page.path).write_bytes(page.render())
    return out


def listed(page):
    return page.eval_on_selector_all(
        "#list tbody tr[data-e]:not([hidden])", "rows => rows.map(r => r.dataset.e)"
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_a_thousand_entries_are_listed_sorted_and_searched_at_once(visit, thousand, width):
    opened = visit((thousand / "index.html").as_uri(), width=width)
    page = opened.page
    assert len(names(page)) == 70
    page.click("text=All entries on one page")
    page.wait_for_load_state()
    every = listed(page)
    assert len(every) == 1001
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#list th[data-k=rank] button")
    assert [listed(page)[i] for i in (0, -1)] == [every[-2], every[-1]]  # one is not ranked: it stays last
    page.click("#list th[data-k=rank] button")
    page.fill("input[name=q]", "entry nobody has")
    assert listed(page) == []
    assert page.locator("#count").inner_text() == "0 of 1001 entries"
    page.fill("input[name=q]", "vit-b/16 #998")
    assert listed(page) == ["entry-0998"]
    page.fill("input[name=q]", "lab c")
    by_team = listed(page)
    assert 100 < len(by_team) < 200
    page.locator("#list tbody tr:not([hidden]) a").last.click()
    page.go_back()
    assert listed(page) == by_team
    for path in ("compare/index.html", "speed/index.html", "subgroups/index.html"):
        page.goto((thousand / path).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert opened.faults == []


def test_find_in_page_reaches_the_last_of_a_thousand_entries(visit, thousand):
    page = visit((thousand / "all" / "index.html").as_uri()).page
    last = page.locator("#list tbody tr[data-e]").nth(999)
    name = last.locator("a").text_content()
    assert page.evaluate("words => find(words)", name)
    assert last.evaluate("row => row.contains(getSelection().anchorNode)")
    box = last.bounding_box()
    assert 0 <= box["y"] <= 900


def test_no_page_has_more_elements_than_a_phone_can_hold(thousand):
    for path in html_pages(thousand):
        assert len(walk(read(path))) <= MOST_ELEMENTS, path


def test_an_entry_beyond_the_first_rows_is_compared_from_the_board_s_json(visit, thousand):
    board = json.loads((thousand / "leaderboard.json").read_bytes())["targets"]
    wanted = board[0]["rows"][500]
    with serving(thousand) as address:
        opened = visit(f"{address}compare/index.html?e={wanted['slug']}")
        shown = opened.page.locator("#compare tbody tr:not([hidden])")
        opened.page.locator(f"#compare tr[data-e={wanted['slug']}]").wait_for()
        cells = shown.last.locator("td").all_inner_texts()
    assert shown.count() == 2  # itself and the leader
    assert shown.last.locator("a").get_attribute("href") == f"../e/{wanted['slug']}/index.html"
    assert cells[0] == wanted["cells"]["rank"]["text"]
    for target, text in zip(board, cells[3:], strict=False):
        row = next(r for r in target["rows"] if r["slug"] == wanted["slug"])
        assert text.split() == [row["cells"]["auroc"]["text"], row["cells"]["auroc"]["interval"]]
    assert opened.faults == []


def test_an_entry_of_which_nothing_is_known_says_so(visit, tmp_path):
    build_site([with_bare_entry(loaded_board(4), "entry-0001")], tmp_path / "site")
    opened = visit((tmp_path / "site" / "index.html").as_uri(), width=390)
    page = opened.page
    assert names(page)[-2:] == ["entry-0001", "control"] or names(page)[-1] == "entry-0001"
    row = page.locator("#board tr[data-e=entry-0001]")
    assert row.locator("td").first.inner_text() == "–"
    head(page, "auroc").locator("button").click()
    assert "entry-0001" in names(page)
    row.locator("a").first.click()
    page.wait_for_url("**/e/entry-0001/**")
    page.locator("h1").wait_for()
    assert "Not ranked" in page.locator("main").inner_text()
    assert page.locator("svg.chart").count() == 0
    assert "undefined" not in page.locator("main").inner_text()
    assert "None" not in page.locator("main").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert opened.faults == []
