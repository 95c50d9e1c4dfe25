import json
import xml.etree.ElementTree as ET

import pytest

from tests.browser.conftest import Piecemeal, serving

PAGES = [
    "index.html",
    "slvh/index.html",
    "e/entry-0000/index.html",
    "e/entry-0007/index.html",
    "e/control/index.html",
    "e/paper/index.html",
    "compare/index.html",
    "speed/index.html",
    "subgroups/index.html",
    "reported/index.html",
    "methods/index.html",
    "python/index.html",
    "submit/index.html",
    "codes/index.html",
    "codes/manifest-absent/index.html",
    "data/index.html",
    "changes/index.html",
    "404.html",
    "chexchonet/index.html",
    "chexchonet/reported/index.html",
    "chexchonet/e/paper/index.html",
]

A4_LANDSCAPE = 1047
"""Pixels across a sheet within Chromium's margins."""


def names(page):
    return page.eval_on_selector_all(
        "#board tbody tr[data-e]:not([hidden])", "rows => rows.map(r => r.dataset.e)"
    )


def head(page, key):
    return page.locator(f"#board th[data-k='{key}']")


def test_the_first_row_is_above_the_fold_of_a_phone(visit, address):
    page = visit(address, width=390).page
    page.set_viewport_size({"width": 390, "height": 844})
    box = page.locator("#board tbody tr[data-e]").first.bounding_box()
    assert box["y"] + box["height"] <= 844


def test_presets_choose_columns_without_script(visit, address):
    page = visit(address, java_script_enabled=False).page
    assert head(page, "difference").is_visible()
    assert not head(page, "ece").is_visible()
    page.check("#v-c")
    assert head(page, "ece").is_visible()
    assert not head(page, "difference").is_visible()
    assert head(page, "auroc").is_visible()


def test_two_ticked_entries_are_set_against_each_other_as_in_the_matrix(visit, address, folder):
    board = json.loads((folder / "some" / "base" / "leaderboard.json").read_text())
    page = visit(address + "compare/index.html?e=entry-0001,entry-0003").page
    rows = page.locator("#against tbody tr").all_inner_texts()
    assert len(rows) == len(board["targets"])
    for text, target in zip(rows, board["targets"], strict=True):
        slugs, pairs = target["pairs"]["slugs"], target["pairs"]
        a, b = slugs.index("entry-0001"), slugs.index("entry-0003")
        i, j = min(a, b), max(a, b)
        k = [(x, y) for x in range(len(slugs)) for y in range(x + 1, len(slugs))].index((i, j))
        difference = pairs["difference"][k] * (1 if a < b else -1)
        words = text.replace("\u2212", "-").split("\t")
        assert words[0] == target["label"]
        assert float(words[2].split(" (")[0]) == pytest.approx(difference, abs=0.0006)
        assert (words[3] == "separated") == (pairs["low"][k] > 0)


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        pytest.param(640, "dark", marks=pytest.mark.full_size),
        pytest.param(390, "light", marks=pytest.mark.full_size),
        (320, "dark"),
    ],
)
def test_every_page_opens_cleanly_and_is_no_wider_than_the_window(visit, address, width, scheme):
    """640 px are a window of 1280 px at 200% zoom, 320 px at 400%."""
    opened = visit(address, width=width, scheme=scheme)
    for path in PAGES:
        opened.page.goto(address + path)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert opened.page.locator("h1").count() == 1
    assert opened.faults == []
    assert all(url.startswith(address) for url in opened.requests)


def layout_shift(page):
    return page.evaluate(
        """() => new Promise(done => {
            let total = 0;
            new PerformanceObserver(list => { for (const e of list.getEntries()) total += e.value; })
                .observe({type: 'layout-shift', buffered: true});
            setTimeout(() => done(total), 300);
        })"""
    )


def test_a_board_needs_few_requests_and_does_not_shift(visit, address):
    opened = visit(address)
    assert layout_shift(opened.page) <= 0.02
    assert len(opened.requests) <= 6


@pytest.mark.parametrize("path", ["index.html", "e/entry-0000/index.html", "compare/index.html"])
def test_nothing_moves_on_a_phone_while_a_page_arrives_in_pieces(visit, folder, path):
    with serving(folder, Piecemeal) as root:
        assert layout_shift(visit(f"{root}some/base/{path}", width=390).page) <= 0.02


def test_the_site_works_from_a_folder(visit, folder):
    start = (folder / "some" / "base" / "index.html").as_uri()
    opened = visit(start)
    opened.page.click("#board tbody tr a >> nth=0")
    opened.page.click("text=Leaderboard >> nth=0")
    opened.page.check("#v-d")
    head(opened.page, "date").locator("button").click()
    assert head(opened.page, "date").get_attribute("aria-sort") == "descending"
    opened.page.click("nav[aria-label=Finding] >> text=SLVH")
    assert "/slvh/" in opened.page.url
    assert opened.faults == []


def test_without_script_every_row_and_chart_is_there(visit, address, folder):
    board = json.loads((folder / "some" / "base" / "leaderboard.json").read_text())
    rows = board["targets"][0]["rows"]
    page = visit(address, java_script_enabled=False).page
    assert names(page) == [row["slug"] for row in rows]
    shown = page.eval_on_selector_all(
        "#board tbody tr[data-e] td.b", "cells => cells.map(c => c.textContent)"
    )
    assert shown == [f"{row['metrics']['auroc']['value']:.3f}" for row in rows]
    assert page.locator("svg.chart").count() == 2
    assert not page.locator("#tools").is_visible()
    page.goto(address + "compare/index.html")
    assert page.locator("#compare tbody tr").count() == len(rows)
    assert page.locator(".nojs").is_visible()


def test_sorting_by_keyboard_keeps_the_focus_and_survives_a_reload(visit, address):
    page = visit(address).page
    before = names(page)
    button = head(page, "auprc").locator("button")
    button.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert head(page, "auprc").get_attribute("aria-sort") == "ascending"
    assert page.evaluate("document.activeElement.closest('th').dataset.k") == "auprc"
    ascending = names(page)
    assert ascending != before
    values = page.eval_on_selector_all(
        "#board tbody:first-of-type tr[data-e]", "rows => rows.map(r => Number(r.cells[4].textContent))"
    )
    assert values == sorted(values)
    assert "sort=auprc" in page.url
    page.reload()
    assert names(page) == ascending
    assert page.locator("[aria-sort]").count() == 1


def test_missing_values_are_sorted_last_in_both_directions(visit, address):
    page = visit(address + "?view=c").page
    place = page.eval_on_selector_all("#board thead th", "es => es.findIndex(e => e.dataset.k === 'ece')")
    for _ in range(2):
        head(page, "ece").locator("button").click()
        cells = page.eval_on_selector_all(
            "#board tbody:first-of-type tr[data-e]",
            f"rows => rows.map(r => r.cells[{place}].textContent)",
        )
        missing = [text.startswith("n/a") for text in cells]
        assert any(missing)
        assert missing == sorted(missing)


def test_filters_count_live_and_go_back_and_forward(visit, address):
    page = visit(address).page
    everything = names(page)
    page.select_option("select[name=inputs]", "image, age, sex")
    some = names(page)
    assert 0 < len(some) < len(everything)
    assert page.locator("#count").inner_text() == f"{len(some)} of {len(everything)} entries"
    assert not head(page, "ece").is_visible()
    page.check("#v-c")
    assert head(page, "ece").is_visible()
    assert not head(page, "difference").is_visible()
    page.go_back()
    assert not head(page, "ece").is_visible()
    page.go_back()
    assert names(page) == everything
    page.go_forward()
    assert names(page) == some


def test_a_view_is_restored_from_its_address(visit, address):
    page = visit(address + "?q=densenet&view=d&sort=-date").page
    assert page.locator("input[name=q]").input_value() == "densenet"
    shown = page.locator("#board tbody tr[data-e]:not([hidden])")
    assert 0 < shown.count() < page.locator("#board tbody tr[data-e]").count()
    assert [row for row in shown.all_text_contents() if "densenet" not in row.lower()] == []
    assert not head(page, "speed").is_visible()
    assert head(page, "date").get_attribute("aria-sort") == "descending"


def test_a_view_of_nonsense_is_the_plain_board(visit, address):
    plain = names(visit(address).page)
    opened = visit(address + "?sort=constructor&kind=%3Cscript%3E&view=__proto__&q=")
    assert names(opened.page) == plain
    assert opened.faults == []


def test_ranks_do_not_change_with_filters(visit, address):
    page = visit(address).page
    read = "rows => Object.fromEntries(rows.map(r => [r.dataset.e, r.cells[0].textContent]))"
    before = page.eval_on_selector_all("#board tbody tr[data-e]", read)
    page.fill("input[name=q]", "vit")
    page.check("#v-c")
    head(page, "brier").locator("button").click()
    assert page.eval_on_selector_all("#board tbody tr[data-e]", read) == before


def tab_to(page, wanted, limit=120):
    """Presses Tab until the focused element fits."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate(f"(e => {wanted})(document.activeElement)"):
            return
    raise AssertionError(f"{wanted} is not reached by {limit} steps")


def test_from_the_board_to_a_comparison_by_keyboard_alone(visit, address):
    opened = visit(address)
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for slug in ("entry-0001", "entry-0003"):
        tab_to(page, f"e.value === '{slug}'")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Space")
    tab_to(page, "e.type === 'submit'")
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare/index.html?e=entry-0001,entry-0003")
    shown = page.eval_on_selector_all("#compare tbody tr:not([hidden])", "rows => rows.map(r => r.dataset.e)")
    assert shown == ["entry-0001", "entry-0003"]
    tab_to(page, "e.id === 'every'")
    page.keyboard.press("Enter")
    page.wait_for_url(address + "compare/index.html")
    assert page.locator("#compare tbody tr:not([hidden])").count() > 20
    assert opened.faults == []


def test_back_and_forward_restore_each_view(visit, address):
    opened = visit(address + "?view=c")
    page = opened.page
    plain = names(page)
    head(page, "brier").locator("button").click()
    by_brier = names(page)
    page.select_option("select[name=kind]", "baseline")
    assert names(page) == ["control"]
    page.locator("#board tbody tr:not([hidden]) a").first.click()
    assert "/e/control/" in page.url
    page.go_back()
    assert names(page) == ["control"]
    page.go_back()
    assert names(page) == by_brier
    assert head(page, "brier").get_attribute("aria-sort") == "ascending"
    page.go_back()
    assert names(page) == plain
    assert head(page, "rank").get_attribute("aria-sort") == "ascending"
    page.go_forward()
    assert names(page) == by_brier
    page.go_forward()
    assert names(page) == ["control"]
    assert page.locator("select[name=kind]").input_value() == "baseline"
    assert opened.faults == []


def test_too_few_or_too_many_ticks_are_told(visit, address):
    page = visit(address).page
    page.click("#pick button[type=submit]")
    assert page.locator("#picked").inner_text() == "Tick two to four entries."
    for index in range(5):
        page.locator("#board input[name=e]").nth(index).check()
    assert "at most four" in page.locator("#picked").inner_text()


def test_the_theme_is_kept_from_page_to_page(visit, address):
    page = visit(address).page
    light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != light
    page.goto(address + "methods/index.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("#theme").inner_text() == "Light"


def test_a_mark_shows_its_numbers_on_focus_and_lights_up_in_the_table(visit, address):
    page = visit(address).page
    page.locator("svg.chart a[data-e], svg.chart [data-e] a").first.focus()
    assert page.locator(".tip").is_visible()
    assert "0." in page.locator(".tip").inner_text()
    assert page.locator("#board tr.on").count() == 1
    page.keyboard.press("Escape")
    assert not page.locator(".tip").is_visible()


def test_hostile_names_run_nothing(visit, address):
    opened = visit(address)
    for path in ("index.html", "compare/index.html", "speed/index.html", "changes/index.html"):
        opened.page.goto(address + path)
        assert opened.page.locator("main script, main img").count() == 0
    assert opened.faults == []


def test_inline_script_and_foreign_requests_are_stopped_by_the_policy(visit, address):
    opened = visit(address)
    ran = opened.page.evaluate(
        """() => { const s = document.createElement('script');
            try { s.text = 'window.ran = 1'; document.body.append(s); } catch (e) { return 'stopped'; }
            return window.ran ? 'ran' : 'stopped'; }"""
    )
    assert ran == "stopped"


def test_forced_colours_keep_marks_words_and_dashes(visit, address):
    page = visit(address, forced_colors="active").page
    border = page.evaluate("getComputedStyle(document.querySelector('tr.tie td')).borderLeftWidth")
    assert border == "3px"
    style = "e => { const s = getComputedStyle(e); return [s.fill, s.stroke]; }"
    back = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    fill, _ = page.locator(".chart .dot").first.evaluate(style)
    _, stroke = page.locator(".chart .ci").first.evaluate(style)
    assert back not in (fill, stroke)
    page.goto(address + "e/entry-0000/index.html")
    dashes = page.eval_on_selector_all(
        ".charts:not(.cals) figure:first-child .curve",
        "es => es.map(e => getComputedStyle(e).strokeDasharray)",
    )
    assert len(set(dashes)) == len(dashes) == 3


def test_a_table_wider_than_a_phone_shows_that_it_scrolls(visit, address):
    page = visit(address + "e/entry-0000/index.html", width=390).page
    for details in page.locator("details").all():
        details.evaluate("d => { d.open = true; }")
    wide = page.locator(".scroll").evaluate_all("""es => es.filter(e => e.scrollWidth > e.clientWidth)
        .map(e => [e.tabIndex, getComputedStyle(e).backgroundImage.split('linear-gradient').length - 1])""")
    assert len(wide) > 3
    assert {tuple(one) for one in wide} == {
        (0, 4)
    }  # by keyboard too; a shadow at each side, covered at the end


def test_the_skip_link_leads_past_the_navigation(visit, address):
    page = visit(address + "e/entry-0000/index.html").page
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert skip.inner_text() == "Skip to the content"
    box = skip.bounding_box()
    assert box["width"] > 24
    assert box["height"] >= 24
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("!!document.activeElement.closest('main')")


def test_an_entry_is_printed_whole_on_a4(visit, address):
    page = visit(address + "e/entry-0000/index.html").page
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4_LANDSCAPE, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= A4_LANDSCAPE
    outside = page.locator("main table, main svg").evaluate_all(
        "(es, most) => es.filter(e => e.getBoundingClientRect().right > most).map(e => e.outerHTML)",
        A4_LANDSCAPE,
    )
    assert outside == []
    assert page.locator(".panel:visible").count() == 1  # one of the six sensitivities
    assert page.locator("main h2:visible").count() > 8


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_print_is_dark_on_white_with_the_whole_table(visit, address, scheme):
    page = visit(address, scheme=scheme).page
    if scheme == "dark":
        page.click("#theme")
        page.click("#theme")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.emulate_media(media="print", color_scheme=scheme)
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.documentElement).color") == "rgb(21, 24, 28)"
    assert page.locator("#board").is_visible()
    assert page.locator("svg.chart").first.is_visible()
    for hidden in ("#tools", ".pick button", "#theme", ".cohorts"):
        assert not page.locator(hidden).first.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
    page.set_viewport_size({"width": A4_LANDSCAPE, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= A4_LANDSCAPE


def test_nothing_moves_with_or_without_reduced_motion(visit, address):
    for motion in ("reduce", "no-preference"):
        page = visit(address + "?view=c", reduced_motion=motion).page
        head(page, "brier").locator("button").click()
        assert page.evaluate("document.getAnimations().length") == 0
        moving = page.eval_on_selector_all(
            "*", "es => es.filter(e => getComputedStyle(e).transitionDuration !== '0s').length"
        )
        assert moving == 0
        assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_arabic_and_chinese_names_are_whole_isolated_and_cut_to_fit(visit, address):
    for slug, name in (("entry-0003", "نموذج الأشعة"), ("entry-0004", "胸部X线模型")):
        page = visit(address).page
        row = page.locator(f"#board tr[data-e={slug}]")
        assert row.locator("bdi").first.inner_text() == name
        assert row.locator("bdi").first.evaluate("e => getComputedStyle(e).unicodeBidi") == "isolate"
        row.locator("a").first.click()
        assert page.locator("h1").inner_text() == name
        assert name in page.title()
        page.goto(address + "compare/index.html")
        assert page.locator(f"#compare tr[data-e={slug}] bdi").inner_text() == name


def test_no_label_of_a_chart_leaves_its_drawing(visit, address):
    page = visit(address).page
    for path in ("index.html", "compare/index.html", "speed/index.html", "e/entry-0006/index.html"):
        page.goto(address + path)
        outside = page.eval_on_selector_all(
            "svg.chart text",
            """es => es.filter(e => {
                const own = e.getBoundingClientRect(), all = e.ownerSVGElement.getBoundingClientRect();
                return own.left < all.left - 2 || own.right > all.right + 2;
            }).map(e => e.textContent)""",
        )
        assert outside == [], path


def test_curves_say_their_values_by_pointer_and_by_keyboard(visit, address, folder):
    entry = json.loads((folder / "some" / "base" / "e" / "entry-0000" / "entry.json").read_text())
    points = entry["scorecard"]["targets"][0]["roc"]
    half = next(p["y"] for p in points if abs(p["x"] - 0.5) < 1e-9)
    page = visit(address + "e/entry-0000/index.html").page
    drawing = page.locator("svg[data-x]").first
    drawing.focus()
    words = page.locator(".tip").inner_text()
    assert words.startswith("1 − specificity 0.50: Composite 0.")
    assert abs(float(words.split("Composite ")[1].split(",")[0]) - half) <= 0.006
    assert page.locator(".tip[role=status][aria-hidden=false]").count() == 1
    page.keyboard.press("ArrowRight")
    assert page.locator(".tip").inner_text().startswith("1 − specificity 0.55:")
    page.keyboard.press("Escape")
    assert not page.locator(".tip").is_visible()
    page.locator("svg[data-x]").nth(2).hover()
    assert page.locator(".tip").inner_text().startswith("Predicted probability 0.")


SVG = "{http://www.w3.org/2000/svg}"


def saved(page, name):
    """The drawing that the button of this name saves."""
    with page.expect_download(timeout=120_000) as download:
        page.locator(f"button[aria-label='SVG: {name}']:visible").first.click()
    return download.value.suggested_filename, ET.parse(download.value.path()).getroot()


def test_a_table_is_saved_as_a_drawing_with_its_words_and_marks(visit, address, folder):
    board = json.loads((folder / "some" / "base" / "leaderboard.json").read_text())["targets"][0]
    page = visit(address).page
    name, drawing = saved(page, page.locator("h1").inner_text()[:80])
    assert name.endswith(".svg")
    words = {text.text for text in drawing.iter(f"{SVG}text")}
    ranked = [row for row in board["rows"] if row["standing"]["rank"]]
    assert {row["cells"]["auroc"]["text"] for row in ranked} <= words
    assert "DenseNet-121" in words
    points = [c for c in drawing.iter(f"{SVG}circle") if c.get("class") == "pt"]
    assert len(points) == len(ranked)  # the one that is not ranked is off the axis
    assert {c.get("fill") for c in points} == {"rgb(11, 87, 164)"}  # without the style sheet of the page
    places = {u.get("href") for u in drawing.iter(f"{SVG}use")}
    assert {f"#{g.get('id')}" for g in drawing.iter(f"{SVG}g") if g.get("id")} >= places


def test_an_icon_array_is_saved_with_the_mask_that_it_refers_to(visit, address):
    page = visit(address + "e/entry-0000/index.html").page
    label = page.locator(".panel:visible svg.icons").get_attribute("aria-label")
    _, drawing = saved(page, label[:80])
    ids = {e.get("id") for e in drawing.iter() if e.get("id")}
    assert {"squares", "square"} <= ids
    assert len(list(drawing.iter(f"{SVG}path"))) == 4


def test_the_badge_is_copied_as_markdown(visit, address):
    page = visit(address + "e/entry-0000/index.html", permissions=["clipboard-read", "clipboard-write"]).page
    block = page.locator("pre[data-copy]", has_text="![CheXchoBench]")
    block.locator("xpath=following-sibling::button[1]").click()
    page.locator("button", has_text="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == block.inner_text()


def test_problem_codes_are_searched_by_title_and_meaning(visit, address):
    page = visit(address + "codes/index.html").page
    every = page.locator(".codes li:visible").count()
    page.fill("#find input", "patient")
    some = page.locator(".codes li:visible")
    assert 0 < some.count() < every
    assert page.locator("#find output").inner_text() == f"{some.count()} of {every} codes"
    left = some.all_inner_texts()
    page.reload()
    assert page.locator(".codes li:visible").all_inner_texts() == left
    page.fill("#find input", "manifest-absent")
    assert page.locator(".codes li:visible").count() == 1
