"""The preview in a real browser: a page shows the next build by itself, and stays as it is without one."""

from __future__ import annotations

from bench.publish.build import build_site
from bench.publish.preview import serving
from tests.publish.boards import loaded_board


def test_an_open_page_shows_the_next_build(visit, tmp_path):
    site = tmp_path / "site"
    build_site([loaded_board(3, title="The first build")], site)
    with serving(site, 0) as address:
        found = visit(f"{address}?sort=-entry")
        page = found.page
        assert page.locator("p.eye").inner_text().startswith("The first build")
        page.evaluate("window.same = true")
        build_site([loaded_board(3, title="The first build")], site)
        page.wait_for_timeout(2500)
        assert page.evaluate("window.same")
        build_site([loaded_board(3, title="The second build")], site)
        page.locator("p.eye", has_text="The second build").wait_for(timeout=120_000)
        assert page.evaluate("window.same") is None
        assert page.url.endswith("?sort=-entry")
        assert found.faults == []


def test_a_page_outlives_the_server_that_showed_it(visit, tmp_path):
    site = tmp_path / "site"
    build_site([loaded_board(3, title="Before")], site)
    with serving(site, 0) as address:
        port = int(address.rsplit(":", 1)[1].strip("/"))
        page = visit(address).page
    page.wait_for_timeout(1500)
    assert page.locator("p.eye").inner_text().startswith("Before")
    build_site([loaded_board(3, title="After")], site)
    with serving(site, port):
        page.locator("p.eye", has_text="After").wait_for(timeout=120_000)
