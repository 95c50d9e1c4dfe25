"""Twelve pages in two widths and themes look as recorded; `.layout` holds pictures of those that do not."""

import dataclasses
from pathlib import Path

import pytest

from tests.browser import layout

PICTURES = Path(__file__).parents[2] / ".layout"


@pytest.fixture(scope="module")
def measured_site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layout") / "site"
    layout.build(folder)
    return folder.as_uri() + "/"


@pytest.mark.parametrize("width", layout.WIDTHS)
def test_pages_look_as_recorded(browser, measured_site, width):
    page, changed = layout.opened(browser, width), []
    for path in layout.PAGES:
        kept = layout.record(path, width)
        wanted = [layout.Part.read(line) for line in kept.read_text("utf-8").splitlines()]
        found = list(layout.differences(wanted, layout.measured(page, measured_site + path)))
        if not found:
            continue
        changed += [f"{kept.stem}: {words}" for _, words in found]
        PICTURES.mkdir(exist_ok=True)
        (PICTURES / f"{kept.stem}.txt").write_text("\n".join(words for _, words in found), "utf-8")
        page.evaluate(layout.MARK, [layout.PARTS, [place for place, _ in found]])
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=PICTURES / f"{kept.stem}-{scheme}.png", full_page=True)
    page.context.close()
    shown = "\n".join(changed[:20])
    renew = "If that is meant, look at the pages and run: python -m tests.browser.layout"
    assert not changed, f"{len(changed)} differences, pictures in {PICTURES}:\n{shown}\n{renew}"


def test_a_part_that_moves_grows_or_changes_its_colour_is_found():
    lines = (layout.RECORDS / "board-1280.txt").read_text("utf-8").splitlines()
    wanted = [layout.Part.read(line) for line in lines]
    assert not list(layout.differences(wanted, wanted))
    place = next(i for i, part in enumerate(wanted) if part.name == "p.lead")
    part = wanted[place]
    x, y, width, height = part.box

    def found(*parts):
        return list(layout.differences(wanted, [*wanted[:place], *parts, *wanted[place + 1 :]]))

    assert found(dataclasses.replace(part, box=(x + 3, y, width, height))) == []
    assert found(dataclasses.replace(part, box=(x + 40, y, width, height))) == [
        (place, f"p.lead: left {x} → {x + 40}")
    ]
    assert found(dataclasses.replace(part, dark="000000 -")) == [
        (place, f"p.lead: dark {part.dark} → 000000 -")
    ]
    assert found() == [(place, "there was p.lead, and now is nothing")]
    assert found(dataclasses.replace(part, box=(x, y + 90, width, height))) == [
        (place, f"p.lead: below {y} → {y + 90}")
    ]
