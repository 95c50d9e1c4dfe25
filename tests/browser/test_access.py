"""Accessibility by axe-core, as text: the content policy stops a script tag."""

import datetime
from typing import Any

import pytest

from bench.publish.build import build_site, freeze
from bench.publish.releases import read_releases
from tests.publish.boards import HOSTILE, loaded_board, reported_only

LOOK = ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"]
"""What theme (contrast) or width (the others) can change; further rules read the same whatever these are."""

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = [
    "index.html",
    "e/entry-0007/index.html",
    "e/paper/index.html",
    "compare/index.html",
    "speed/index.html",
    "subgroups/index.html",
    "reported/index.html",
    "submit/index.html",
    "data/index.html",
    "chexchonet/index.html",
    "v/index.html",
    "v/2026.1/index.html",
]


@pytest.fixture(scope="session")
def axe(modules):
    return (modules / "axe-core" / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    out = tmp_path_factory.mktemp("access") / "site"
    boards = [loaded_board(8, names=HOSTILE), reported_only()]
    kept = tmp_path_factory.mktemp("releases")
    freeze(boards, "2026.1", kept, day=datetime.date(2026, 11, 24))
    build_site(boards, out, releases=read_releases(kept))
    return out.as_uri() + "/"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "scheme", "rules"),
    [(1280, "light", RULES), (390, "dark", LOOK)],
)
def test_no_page_breaks_a_rule_of_wcag(visit, small, axe, width, scheme, rules):
    page = visit(small, width=width, scheme=scheme).page
    found: dict[str, Any] = {}
    for path in PAGES:
        page.goto(small + path)
        page.evaluate(axe)
        result = page.evaluate("rules => axe.run({runOnly: rules})", rules)
        for violation in result["violations"]:
            found.setdefault(violation["id"], []).append((path, violation["nodes"][0]["html"][:120]))
    assert found == {}
