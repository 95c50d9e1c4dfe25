import dataclasses
import json
import random
import re
import shutil
import xml.etree.ElementTree as ET
from urllib.parse import urldefrag

import pytest
from PIL import Image

from bench.board.format import decimal
from bench.board.table import board_table
from bench.errors import BenchError, catalogue
from bench.publish.build import build_site
from bench.publish.checks import check_site
from bench.publish.schemas import Leaderboard, PublishedEntry
from bench.publish.templates import site_sources
from bench.scoring.scorecard import Flag
from tests.publish.boards import loaded_board, reported_only, scorecard
from tests.publish.pages import html_pages, read, walk
from tests.publish.test_audit_view import with_cv5


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
            assert (shown.get("class") == "tie") == standing.may_be_first


def test_the_first_sentence_counts_the_entries_that_may_be_first(site):
    lead = next(p for p in read(site / "index.html").find_all("p") if p.get("class") == "lead")
    assert "2 other entries may be first (95% confidence, adjusted for all pairs)." in lead.text()


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


def without(board, slug):
    return dataclasses.replace(board, entries={s: e for s, e in board.entries.items() if s != slug})


def of_another_split(board):
    stamp = board.board.stamp.model_copy(update={"fingerprint": "cd34" * 16})
    return dataclasses.replace(board, board=board.board.model_copy(update={"stamp": stamp}))


def with_a_bad_slug(board):
    entry = dataclasses.replace(board.entries["paper"], slug="../paper")
    return dataclasses.replace(board, entries={**board.entries, "../paper": entry})


@pytest.mark.parametrize(
    ("boards", "words"),
    [
        ([], "no board"),
        ([loaded_board(2), loaded_board(2)], "2 boards are of cohort 'demo'"),
        ([without(loaded_board(3), "control")], "not stored, first 'control'"),
        ([of_another_split(loaded_board(3))], "4 scorecards are of another split"),
        ([with_a_bad_slug(loaded_board(2))], "'../paper' cannot be a folder"),
    ],
)
def test_boards_that_make_no_site_are_refused(boards, words, tmp_path):
    with pytest.raises(BenchError, match=words) as caught:
        build_site(boards, tmp_path / "site")
    assert {p.code for p in caught.value.problems} == {"site-input"}
    assert not (tmp_path / "site").exists()


def test_a_target_named_like_a_page_gets_a_folder_of_its_own(tmp_path):
    board = loaded_board(3)
    targets = [t.model_copy(update={"name": "speed"}) if t.name == "slvh" else t for t in board.spec.targets]
    spec = board.spec.model_copy(update={"targets": tuple(targets)})
    renamed = tuple(
        t.model_copy(update={"target": "speed"}) if t.target == "slvh" else t for t in board.board.targets
    )
    board = dataclasses.replace(board, spec=spec, board=board.board.model_copy(update={"targets": renamed}))
    build_site([board], tmp_path / "site")
    assert read(tmp_path / "site" / "target-speed" / "index.html")
    assert "One section" in read(tmp_path / "site" / "speed" / "index.html").text()


def test_a_board_with_an_address_describes_itself_to_machines(tmp_path):
    build_site(
        [loaded_board(3, names=("</script><b>",))], tmp_path / "site", base="https://example.org/bench"
    )
    assert list(check_site(tmp_path / "site")) == []
    tree = read(tmp_path / "site" / "index.html")
    (block,) = [s for s in tree.find_all("script") if s.get("type") == "application/ld+json"]
    found = json.loads(block.text())
    assert (found["@type"], found["url"]) == ("Dataset", "https://example.org/bench/")
    assert "</script><b>" in found["description"]
    assert found["distribution"][0]["contentUrl"] == "https://example.org/bench/leaderboard.csv"
    named = {m.get("property"): m.get("content") for m in tree.find_all("meta") if m.get("property")}
    assert named["og:url"] == "https://example.org/bench/"
    assert found["image"] == named["og:image"] == "https://example.org/bench/board.png"
    page = read(tmp_path / "site" / "e" / "entry-0001" / "index.html")
    entry = page.text()
    assert "url = {https://example.org/bench/e/entry-0001/}" in entry
    badge = "![CheXchoBench](https://example.org/bench/badge/entry-0001.svg)"
    assert f"[{badge}](https://example.org/bench/e/entry-0001/)" in entry
    for path, picture in (("slvh/index.html", "slvh/board.png"), ("e/entry-0001/index.html", "board.png")):
        metas = read(tmp_path / "site" / path).find_all("meta")
        (named_picture,) = [m.get("content") for m in metas if m.get("property") == "og:image"]
        assert named_picture == f"https://example.org/bench/{picture}"
        with Image.open(tmp_path / "site" / picture) as image:
            assert (image.format, image.size) == ("PNG", (1200, 630))


def test_the_base_stands_in_what_cannot_be_relative(tmp_path):
    build_site([loaded_board(2)], tmp_path / "site", base="https://example.org/bench")
    assert 'href="/bench/static/site.css"' in (tmp_path / "site" / "404.html").read_text()
    sitemap = ET.fromstring((tmp_path / "site" / "sitemap.xml").read_text())
    places = [e.text for e in sitemap.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]
    assert "https://example.org/bench/" in places
    assert "https://example.org/bench/e/entry-0000/" in places
    feed = ET.fromstring((tmp_path / "site" / "feed.xml").read_text())
    ids = [e.text for e in feed.iter("{http://www.w3.org/2005/Atom}id")]
    assert len(set(ids)) == len(ids) == 5
    items = json.loads((tmp_path / "site" / "feed.json").read_text())["items"]
    assert [item["date_published"] for item in items] == sorted(
        (i["date_published"] for i in items), reverse=True
    )
    ET.fromstring((tmp_path / "site" / "badge" / "entry-0000.svg").read_text())


def test_undefined_cells_name_their_reason_below_the_table(site):
    tree = read(site / "index.html")
    reasons = next(d.text() for d in tree.find_all("details") if d.get("class") == "why")
    assert "Scores are uncalibrated, so calibration is not applicable." in reasons
    assert "The latencies vary by 14%." in reasons
    assert "Largest difference 0.31 is above 0.0001." in reasons
    row = next(r for r in tree.find_all("tr") if r.get("data-e") == "entry-0007")
    assert row.text().count("n/a") == 3
    control = next(r for r in tree.find_all("tr") if r.get("data-e") == "control")
    assert "Control: shuffled labels." in control.text()


def test_every_problem_code_is_listed_and_explained_on_a_page_of_its_own(site):
    listed = read(site / "codes" / "index.html").text()
    for page in catalogue().values():
        assert page.code in listed
        assert page.title in listed
        own = read(site / "codes" / page.code / "index.html").text()
        for words in (page.title, page.meaning, page.remedy):
            assert words.replace("`", "") in own


@pytest.mark.parametrize(
    ("tied", "count", "words"),
    [
        (0, 4, "No other entry may be first (95% confidence, adjusted for all pairs)."),
        (1, 4, "1 other entry may be first (95% confidence, adjusted for all pairs)."),
        (3, 4, "All 3 other entries may be first (95% confidence, adjusted for all pairs)."),
        (1, 2, "1 other entry may be first (95% confidence, adjusted for all pairs)."),
        (0, 1, "One entry is ranked, so there is nothing to compare it with."),
    ],
)
def test_the_sentence_on_entries_that_may_be_first(tied, count, words):
    assert board_table(loaded_board(count, tied=tied), "slvh").sentence == words


def external():
    """A hospital's own cohort: the demo's layout under another name, and not synthetic."""
    board = loaded_board(3, seed=4, title="Echo labels at a hospital")
    spec = board.spec.model_copy(update={"id": "our-hospital", "title": "Our hospital", "synthetic": False})
    return dataclasses.replace(board, spec=spec)


def test_the_name_of_a_site_stands_wherever_a_page_is_cited(tmp_path):
    """Badge, citations, data for search engines and the share picture name the site, not the harness."""
    board = loaded_board(3, seed=4)
    for name, title in (("own", "Heart board"), ("default", "CheXchoBench")):
        build_site([board], tmp_path / name, base="https://example.org/", title=title)
    own, default = tmp_path / "own", tmp_path / "default"
    slug = next(path.name for path in sorted((own / "e").iterdir()))
    page = (own / "e" / slug / "index.html").read_text()
    assert f"Heart board {board.spec.id}" in (own / "badge" / f"{slug}.svg").read_text()
    assert "[![Heart board](" in page
    assert f"on Heart board, cohort {board.spec.id}" in page
    assert "{Heart board contributors}" in (own / "data" / "index.html").read_text()
    assert '"name": "Heart board: ' in (own / "index.html").read_text()
    assert (own / "board.png").read_bytes() != (default / "board.png").read_bytes()
    records = json.loads((own / "eval-results.json").read_text())
    assert {record["source_metadata"]["source_name"] for record in records} == {"Heart board"}
    assert "Heart board" in (own / "e" / slug / "model-index.yaml").read_text()


def test_several_cohorts_stand_in_one_site_with_a_switch(tmp_path):
    boards = [reported_only(), loaded_board(4), external()]
    build_site(boards, tmp_path / "site")
    assert check_site(tmp_path / "site") == []
    for prefix, title in (
        ("", "CheXchoNet"),
        ("demo/", "Synthetic demo cohort"),
        ("our-hospital/", "Our hospital"),
    ):
        for path in html_pages(tmp_path / "site" / prefix):
            inside = path.relative_to(tmp_path / "site").as_posix()
            owner = next((p for p in ("demo/", "our-hospital/") if inside.startswith(p)), "")
            if owner != prefix:
                continue
            tree = read(path)
            switch = next(n for n in tree.find_all("nav") if n.get("aria-label") == "Cohort")
            current = [a.text() for a in switch.find_all("a") if a.get("aria-current")]
            assert current == [title]
            assert len(switch.find_all("a")) == 3
            assert ("Synthetic data." in tree.text()) == (prefix == "demo/")
    names = {f"{p}leaderboard.json" for p in ("", "demo/", "our-hospital/")}
    cohorts = {json.loads((tmp_path / "site" / n).read_text())["cohort"] for n in names}
    assert cohorts == {"chexchonet", "demo", "our-hospital"}


def test_a_template_with_a_fault_is_a_problem_and_the_old_pages_stay(tmp_path, monkeypatch):
    sources = tmp_path / "sources"
    shutil.copytree(site_sources(), sources, ignore=shutil.ignore_patterns("public"))
    monkeypatch.setattr("bench.publish.build.site_sources", lambda: sources)
    build_site([loaded_board(3)], tmp_path / "site")
    whole = (tmp_path / "site" / "index.html").read_bytes()
    (sources / "templates" / "board.html").write_text("{% if %}")
    with pytest.raises(BenchError, match="site-template") as caught:
        build_site([loaded_board(3)], tmp_path / "site")
    assert caught.value.problems[0].where == "board.html, line 1"
    assert (tmp_path / "site" / "index.html").read_bytes() == whole


def test_the_five_fold_track_shows_rank_auroc_and_difference(tmp_path):
    loaded = loaded_board(4, tied=1)
    board = loaded.board
    loaded = dataclasses.replace(loaded, board=board.model_copy(update={"cv5": board.targets}))
    build_site([loaded], tmp_path / "site")
    assert check_site(tmp_path / "site") == []
    first = read(tmp_path / "site" / "cv5" / "index.html").find_all("table")[0]
    rows = first.find_all("tr")[1:]
    assert [row.get("class") == "tie" for row in rows] == [True, True, False, False, False]
    for row, standing in zip(rows, board.targets[0].standings, strict=True):
        cells = [cell.text() for cell in row.find_all("td")]
        auroc = loaded.entries[standing.slug].scorecard.target(board.targets[0].target).metrics["auroc"]
        assert cells[1] == f"{auroc.value:.3f} ({auroc.low:.3f}–{auroc.high:.3f})"
        assert loaded.entries[standing.slug].manifest.name in row.find_all("th")[0].text()
        assert cells[2].startswith("–" if standing.difference is None else decimal(standing.difference))


def test_a_page_of_the_five_fold_track_does_not_speak_of_test_images(tmp_path):
    site = tmp_path / "site"
    build_site([with_cv5(loaded_board(3))], site)
    other, slug = (standing.slug for standing in loaded_board(3).board.targets[0].standings[:2])
    text = read(site / "e" / slug / "index.html").text()
    assert "Five-fold track" in text
    assert "Patients like those of the cohort:" in text
    assert "90% specificity on all images" in text
    assert "the ranked AUROC is the average over the folds" in text
    assert "test images" not in text
    assert "validation images" not in text
    text = read(site / "e" / other / "index.html").text()
    assert "Patients like those of the test set:" in text
    assert "all folds together" not in text


def test_what_is_said_of_several_findings_stands_once(tmp_path):
    loaded = loaded_board(3)
    flag = Flag(code="similar-predictions", message="Predictions nearly equal to those of another.")
    targets = tuple(
        board.model_copy(
            update={
                "standings": tuple(
                    s.model_copy(update={"flags": (flag.model_copy(update={"target": board.target}),)})
                    for s in board.standings
                )
            }
        )
        for board in loaded.board.targets
    )
    board = loaded.board.model_copy(update={"targets": targets})
    build_site([dataclasses.replace(loaded, board=board)], tmp_path / "site")
    text = read(tmp_path / "site" / "e" / board.targets[0].leader / "index.html").text()
    assert text.count("Predictions nearly equal to those of another.") == 1
    assert "Nearly the predictions of another entry (Composite, SLVH, DLV):" in text


def test_a_page_without_subgroups_explains_no_empty_cell(tmp_path):
    loaded, cards = loaded_board(3), {}
    for slug, entry in loaded.entries.items():
        card = scorecard(slug, random.Random(0), 0.8, calibrated=False)
        cards[slug] = card.model_copy(update={"subgroups": ()}) if entry.scorecard else None
    entries = {
        slug: dataclasses.replace(entry, scorecard=cards[slug]) for slug, entry in loaded.entries.items()
    }
    build_site([dataclasses.replace(loaded, entries=entries)], tmp_path / "site")
    text = read(tmp_path / "site" / "subgroups" / "index.html").text()
    assert "No entry has been scored by subgroup" in text
    assert "Why a cell is empty" not in text
