"""The layout of twelve pages as it is meant to be: places and colours of parts, in `tests/browser/layout`.

``python -m tests.browser.layout`` measures them anew, after a change that was meant; look at the pages first.

All text is set in `even.ttf`, in which every character has the same width, so that the fonts of a machine do
not matter: it has one glyph, which a character map of format 13 gives to all characters. Heights are measured
from the part before, so that a part that grew is reported once, and not everything below it.
"""

from __future__ import annotations

import base64
import difflib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.publish.build import build_site
from tests.publish.boards import HOSTILE, loaded_board, reported_only

HERE = Path(__file__).parent
RECORDS = HERE / "layout"
WIDTHS = (1280, 390)
PAGES = (
    "index.html",
    "slvh/index.html",
    "all/index.html",
    "e/entry-0000/index.html",
    "e/entry-0007/index.html",
    "e/paper/index.html",
    "compare/index.html?e=entry-0001,entry-0003",
    "subgroups/index.html",
    "reported/index.html",
    "data/index.html",
    "changes/index.html",
    "chexchonet/index.html",
)
TOLERANCE, SHARE = 4, 0.02
"""Pixels, and share of a length, by which a part may differ: browsers round differently."""

FONT = "*{font-family:Even!important}@font-face{font-family:Even;src:url(data:font/ttf;base64,%s)}"
PARTS = (
    "header, header nav, header a, .synthetic, main, main nav, main nav a, main h1, main h2, main h3, main p,"
    "main ul, main ol, main dl, main dl > div, section, form, fieldset, fieldset label, output, select,"
    "summary, input[type=search], main button, table, thead th, tbody tr:nth-child(-n+3), figure, pre,"
    "footer, footer p,"
    "tbody:first-of-type tr:first-child > *, main svg.chart, main svg.icons, tbody tr:first-child svg"
)
MEASURE = """parts => [...document.querySelectorAll(parts)].flatMap(e => {
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    if (!box.width || !box.height || e.closest('.vh, .skip')) return [];
    const name = e.localName + (e.id ? '#' + e.id : [...e.classList].slice(0, 2).map(c => '.' + c).join(''));
    return [[name, Math.round(box.x + scrollX), Math.round(box.y + scrollY), Math.round(box.width),
        Math.round(box.height), style.color, style.backgroundColor]];
})"""
MARK = """([parts, places]) => {
    const shown = [...document.querySelectorAll(parts)].filter(e => {
        const box = e.getBoundingClientRect();
        return box.width && box.height && !e.closest('.vh, .skip');
    });
    for (const place of places) shown[place].style.outline = '3px solid #f0f';
}"""


@dataclass(frozen=True)
class Part:
    """A part of a page.

    Attributes:
        name: Element, and id or classes.
        box: Left edge, how far the top is below that of the part before, width and height, in pixels.
        light: Colours of text and background in the light theme.
        dark: The same in the dark theme.
    """

    name: str
    box: tuple[int, int, int, int]
    light: str
    dark: str

    @classmethod
    def read(cls, line: str) -> Part:
        name, box, light, dark = line.split(" | ")
        x, y, width, height = map(int, box.split())
        return cls(name, (x, y, width, height), light, dark)

    def __str__(self) -> str:
        return f"{self.name} | {' '.join(map(str, self.box))} | {self.light} | {self.dark}"


def build(folder: Path) -> None:
    """Builds the site that is measured."""
    build_site([loaded_board(72, names=HOSTILE), reported_only()], folder)


def opened(browser: Any, width: int) -> Any:
    """A page of a browser in which every character has the same width."""
    context = browser.new_context(viewport={"width": width, "height": 900}, bypass_csp=True)
    context.set_default_timeout(120_000)  # a busy machine is slow, not wrong
    return context.new_page()


def measured(page: Any, address: str) -> list[Part]:
    """The parts of a page."""
    page.emulate_media(color_scheme="light")
    page.goto(address)
    font = base64.b64encode((HERE / "even.ttf").read_bytes()).decode()
    page.add_style_tag(content=FONT % font)
    page.evaluate("document.fonts.load('16px Even').then(() => document.fonts.ready)")
    light = page.evaluate(MEASURE, PARTS)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(MEASURE, PARTS)
    tops = [0, *(top for _, _, top, *_ in light)]
    return [
        Part(name, (left, top - before, width, height), _colours(*colours), _colours(*other[5:]))
        for before, (name, left, top, width, height, *colours), other in zip(tops, light, dark, strict=False)
    ]


def _colours(colour: str, background: str) -> str:
    return f"{_hex(colour)} {_hex(background)}"


def _hex(colour: str) -> str:
    """``rgb(1, 2, 3)`` as ``010203``; no colour as ``-``."""
    numbers = colour[colour.index("(") + 1 : -1].split(",")
    if len(numbers) > 3 and not float(numbers[3]):
        return "-"
    return "".join(f"{int(number):02x}" for number in numbers[:3]) + ("a" if len(numbers) > 3 else "")


def record(path: str, width: int) -> Path:
    """Where the layout of a page is kept."""
    name = path.partition("?")[0].replace("/index.html", "").replace("index.html", "board").replace("/", "-")
    return RECORDS / f"{name}-{width}.txt"


def differences(wanted: list[Part], found: list[Part]) -> Iterator[tuple[int, str]]:
    """Places in `found`, with what is different there."""
    matcher = difflib.SequenceMatcher(None, [p.name for p in wanted], [p.name for p in found], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            for i, j in zip(range(a, b), range(c, d), strict=True):
                if words := _difference(wanted[i], found[j], placed=i == a == 0 or i > a):
                    yield j, f"{found[j].name}: {words}"
        else:
            lost, new = (", ".join(p.name for p in parts) for parts in (wanted[a:b], found[c:d]))
            yield min(c, len(found) - 1), f"there was {lost or 'nothing'}, and now is {new or 'nothing'}"


def _difference(old: Part, new: Part, *, placed: bool) -> str:
    """What differs; the place below the part before counts where that part is the same (`placed`)."""
    words = []
    for name, was, now in zip(("left", "below", "width", "height"), old.box, new.box, strict=True):
        # Whatever holds other parts is as high as they are, and they are compared themselves.
        free = SHARE * max(abs(was), abs(now)) * (5 if name == "height" else 1)
        if abs(was - now) > TOLERANCE + free and (placed or name != "below"):
            words.append(f"{name} {was} → {now}")
    words += [
        f"{theme} {was} → {now}"
        for theme, was, now in (("light", old.light, new.light), ("dark", old.dark, new.dark))
        if was != now
    ]
    return ", ".join(words)


def main() -> int:
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import ARGUMENTS, chromium_path

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        build(Path(folder) / "site")
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        RECORDS.mkdir(exist_ok=True)
        for width in WIDTHS:
            page = opened(browser, width)
            for path in PAGES:
                address = (Path(folder) / "site").as_uri() + "/" + path
                lines = [str(part) for part in measured(page, address)]
                record(path, width).write_text("\n".join(lines) + "\n", "utf-8")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
