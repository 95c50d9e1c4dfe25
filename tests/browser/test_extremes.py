"""A board of a thousand entries, and an entry of which nothing is known."""

import pytest

from bench.publish.build import build_site
from bench.publish.templates import site_sources
from bench.publish.urls import places
from bench.publish.views.site import Site, site_pages
from tests.browser.test_site import head, names
from tests.publish.boards import loaded_board, with_bare_entry


@pytest.fixture(scope="module")
def thousand(tmp_path_factory):
    """The board pages of a thousand entries; the entries' own pages are left out."""
    out = tmp_path_factory.mktemp("thousand")
    site = Site(places([loaded_board(1000)]), site_sources(), "/", "")
    for page in site_pages(site):
        if not page.path.startswith(("e/", "badge/", "dlv/", "slvh/")):
            (out / page.path).parent.mkdir(parents=True, exist_ok=True)
            (out / page.path).write_bytes(page.render())
    return out.as_uri() + "/"


@pytest.mark.parametrize("width", [1280, 390])
def test_a_thousand_entries_are_sorted_and_filtered_at_once(visit, thousand, width):
    opened = visit(thousand + "index.html", width=width)
    page = opened.page
    assert len(names(page)) == 100
    page.click("text=All entries on one page")
    page.wait_for_load_state()
    assert len(names(page)) == 1001
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelector('#board th[data-k=auprc] button').click()")
    assert head(page, "auprc").get_attribute("aria-sort") == "descending"
    page.fill("input[name=q]", "entry nobody has")
    assert names(page) == []
    assert page.locator("#count").inner_text() == "0 of 1001 entries"
    page.fill("input[name=q]", "vit-b/16 #998")
    assert names(page) == ["entry-0998"]
    for path in ("compare/index.html", "speed/index.html", "subgroups/index.html"):
        page.goto(thousand + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
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
    assert page.locator("h1").is_visible()
    assert "Not ranked" in page.locator("main").inner_text()
    assert page.locator("svg.chart").count() == 0
    assert "undefined" not in page.locator("main").inner_text()
    assert "None" not in page.locator("main").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert opened.faults == []
