import dataclasses
import shutil

import pytest

from bench.metrics.results import Estimate
from bench.publish.build import build_site
from bench.publish.checks import check_site
from tests.publish.boards import loaded_board


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    out = tmp_path_factory.mktemp("small") / "site"
    build_site([loaded_board(7)], out)
    return out


@pytest.fixture
def copy(small, tmp_path):
    shutil.copytree(small, tmp_path / "site")
    return tmp_path / "site"


def edit(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_a_built_site_has_no_problem(site):
    assert check_site(site) == []


def test_an_empty_folder_is_no_site(tmp_path):
    assert [p.code for p in check_site(tmp_path)] == ["site-missing"]


@pytest.mark.parametrize(
    ("page", "old", "new", "code"),
    [
        ("index.html", 'href="speed/index.html"', 'href="speeed/index.html"', "site-link"),
        ("index.html", 'href="speed/index.html"', 'href="/speed/index.html"', "site-link"),
        ("index.html", 'href="#main"', 'href="#nowhere"', "site-link"),
        ("index.html", 'href="speed/index.html"', 'href="javascript:alert(1)"', "site-link"),
        ("index.html", 'src="static/site.js"', 'src="https://example.org/site.js"', "site-external"),
        ("index.html", "<main", '<main style="color:red"', "site-html"),
        ("index.html", "</main>", "", "site-html"),
        ("index.html", "<main", "<script>1</script><main", "site-html"),
        ("index.html", "script-src 'self'", "script-src 'unsafe-inline'", "site-html"),
        ("index.html", 'id="tools"', 'id="board"', "site-html"),
        ("index.html", '<td class="n b">0.', '<td class="n b">1.', "site-json"),
        ("index.html", 'data-l="DLV">0.', 'data-l="DLV">1.', "site-json"),
        ("index.html", 'data-l="ECE">0.', 'data-l="ECE">1.', "site-json"),
        ("index.html", 'data-l="Median time, ms">', 'data-l="Median time, ms">9', "site-json"),
        ("e/entry-0005/index.html", '<span class="b">0.', '<span class="b">1.', "site-json"),
        ("e/entry-0005/entry.json", '"fingerprint":"ab', '"fingerprint":"cd', "site-json"),
        ("slvh/index.html", 'data-target="slvh"', 'data-target="dlv"', "site-json"),
        ("e/entry-0005/index.html", "<h1>", "<h1>Not ", "site-json"),
        ("e/entry-0005/entry.json", '"slug"', '"slogan"', "site-json"),
        ("leaderboard.json", '"schema":"leaderboard/2.1"', '"schema":"leaderboard/3"', "site-json"),
        ("index.html", '<span class="it">0.8', '<span class="it">0.9', "site-json"),
        ("index.html", 'data-l="Team">Lab', 'data-l="Team">Laboratory', "site-json"),
        ("index.html", "#0</bdi></a></th>", "#0 II</bdi></a></th>", "site-json"),
    ],
)
def test_each_fault_is_found(copy, page, old, new, code):
    edit(copy / page, old, new)
    problems = check_site(copy)
    assert code in {p.code for p in problems}
    assert any(
        p.where.removesuffix("entry.json") == page.removesuffix("index.html") or p.where == page
        for p in problems
    )


def test_a_page_beyond_its_budget_is_found(copy):
    import random

    rng = random.Random(1)
    noise = " ".join(str(rng.random()) for _ in range(4000))
    edit(copy / "e" / "entry-0005" / "index.html", "</main>", f"<p>{noise}</p></main>")
    edit(copy / "static" / "site.js", '"use strict";', f'"use strict";// {noise}')
    assert {p.where for p in check_site(copy) if p.code == "site-budget"} >= {
        "e/entry-0005/index.html",
        "static/site.js",
    }


def test_rows_in_another_order_are_found(copy):
    for old, new in (("entry-0001", "x"), ("entry-0002", "entry-0001"), ("x", "entry-0002")):
        edit(copy / "index.html", f'<tr data-e="{old}"', f'<tr data-e="{new}"')
    problems = [p for p in check_site(copy) if p.code == "site-json"]
    assert [p.message for p in problems] == ["2 of 8 rows differ from the JSON, first 'entry-0002'."]


def test_a_column_that_the_json_does_not_list_for_the_page_is_found(copy):
    edit(copy / "leaderboard.json", '"on_page":true', '"on_page":false')
    problems = {(p.code, p.where) for p in check_site(copy)}
    assert problems == {("site-json", "index.html")}


def uncalibrated(loaded):
    """The board with a reason in place of every calibration error of the headline."""

    def bare(entry):
        if entry.scorecard is None:
            return entry
        missing = Estimate(value=None, reason="scores are uncalibrated")
        targets = tuple(
            t.model_copy(update={"metrics": {**t.metrics, "ece": missing}}) for t in entry.scorecard.targets
        )
        return dataclasses.replace(entry, scorecard=entry.scorecard.model_copy(update={"targets": targets}))

    return dataclasses.replace(loaded, entries={slug: bare(e) for slug, e in loaded.entries.items()})


def test_a_metric_that_every_scorecard_calls_undefined_is_no_fault(tmp_path):
    build_site([uncalibrated(loaded_board(3))], tmp_path / "site")
    assert check_site(tmp_path / "site") == []


def test_a_metric_that_no_scorecard_has_is_a_fault(tmp_path):
    loaded = uncalibrated(loaded_board(3))
    for entry in loaded.entries.values():
        for target in entry.scorecard.targets if entry.scorecard else ():
            del target.metrics["ece"]
    build_site([loaded], tmp_path / "site")
    assert [p.code for p in check_site(tmp_path / "site")] == ["site-column-empty"] * 3
    assert (
        "column 'ece' has no value for any entry. ECE not scored." in check_site(tmp_path / "site")[0].message
    )
