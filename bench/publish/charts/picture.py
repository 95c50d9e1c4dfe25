"""The picture of a board that messengers and search engines show beside a link: a PNG of fixed size.

It is drawn with the font that Pillow carries, so that one version of Pillow gives the same bytes everywhere.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from bench.board.format import decimal
from bench.publish.charts.scales import Linear, domain

WIDTH, HEIGHT = 1200, 630
LEFT, RIGHT = 64, 1136
ROWS, FIRST_ROW, ROW = 6, 330, 42
AXIS = (452.0, 890.0)
NAME = 292
"""Most pixels of the site's name."""
INK, DIM, LINE, BLUE, TINT, WARN = "#15181c", "#535c66", "#d9dee4", "#0b57a4", "#e7eef6", "#8a6100"
COLOURS = 64
DOT = 9
"""Radius of the mark of an AUROC."""


@dataclass(frozen=True, slots=True)
class PictureRow:
    """An entry: its name, its AUROC with interval, and whether it may be first."""

    name: str
    value: float
    low: float | None
    high: float | None
    may_be_first: bool


@dataclass(frozen=True, slots=True)
class PictureText:
    """The words of the picture: the site's name, above the title, title, answer, and below the drawing."""

    site: str
    eyebrow: str
    title: str
    answer: str
    foot: str


def board_picture(words: PictureText, rows: Sequence[PictureRow]) -> bytes:
    """A PNG of 1200 × 630 pixels: the words, and the first rows as a forest plot."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "#ffffff")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, WIDTH, 12), fill=BLUE)
    _write(draw, LEFT, 44, _fitting(words.site, 30, NAME), 30, BLUE, bold=True)
    _write(draw, RIGHT, 48, _fitting(words.eyebrow, 24, RIGHT - LEFT - NAME - 20), 24, DIM, right=True)
    size = next((size for size in (60, 54, 48) if _width(words.title, size) <= RIGHT - LEFT), 42)
    _write(draw, LEFT, 108, _fitting(words.title, size, RIGHT - LEFT), size, INK, bold=True)
    for index, line in enumerate(_lines(words.answer, 32, RIGHT - LEFT, 3)):
        _write(draw, LEFT, 192 + 42 * index, line, 32, INK)
    _forest(draw, rows[:ROWS])
    _write(draw, LEFT, 588, _fitting(words.foot, 22, RIGHT - LEFT), 22, WARN)
    out = io.BytesIO()
    image.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(out, "PNG")
    return out.getvalue()


def _forest(draw: ImageDraw.ImageDraw, rows: Sequence[PictureRow]) -> None:
    if not rows:
        return
    values = [v for row in rows for v in (row.value, row.low, row.high)]
    axis = Linear(*domain(values, within=(0, 1), least=0.02), *AXIS)
    for index, row in enumerate(rows):
        top = FIRST_ROW + ROW * index
        middle = top + ROW // 2
        if row.may_be_first:
            draw.rectangle((AXIS[0], top, AXIS[1], top + ROW), fill=TINT)
            draw.rectangle((LEFT - 16, top, LEFT - 10, top + ROW), fill=BLUE)
        draw.line((LEFT - 16, top + ROW, RIGHT, top + ROW), fill=LINE, width=1)
        _write(draw, LEFT, top + 6, _fitting(row.name, 25, AXIS[0] - LEFT - 24), 25, INK)
        if row.low is not None and row.high is not None:
            ends = (axis(row.low), middle, axis(row.high), middle)
            draw.line(ends, fill=BLUE, width=4)
            limits = f"{decimal(row.low)}-{decimal(row.high)}"
            _write(draw, RIGHT, top + 9, limits, 20, DIM, right=True)
        draw.bitmap((round(axis(row.value)) - DOT, middle - DOT), _dot(), fill=BLUE)
        _write(draw, AXIS[1] + 12, top + 6, decimal(row.value), 25, INK, bold=True)
    leader = axis(rows[0].value)
    for y in range(FIRST_ROW, FIRST_ROW + ROW * len(rows), 12):
        draw.line((leader, y, leader, y + 6), fill=DIM, width=1)


@lru_cache(maxsize=1)
def _dot() -> Image.Image:
    """A disc with a smooth edge: drawn four times as large, and reduced."""
    large = Image.new("L", (8 * DOT, 8 * DOT))
    ImageDraw.Draw(large).ellipse((0, 0, 8 * DOT - 1, 8 * DOT - 1), fill=255)
    return large.resize((2 * DOT, 2 * DOT), Image.Resampling.BOX)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _write(
    draw: ImageDraw.ImageDraw,
    x: float,
    y: float,
    words: str,
    size: int,
    colour: str,
    *,
    bold: bool = False,
    right: bool = False,
) -> None:
    place = (x, y)
    heavier = size / 60 if bold else 0
    anchor = "ra" if right else "la"
    draw.text(place, words, colour, _font(size), anchor, stroke_width=heavier, stroke_fill=colour)


def _width(words: str, size: int) -> float:
    return _font(size).getlength(words)


def _fitting(words: str, size: int, width: float) -> str:
    """`words`, cut with an ellipsis where they are wider than `width`."""
    shown = plain_letters(words)
    if _width(shown, size) <= width:
        return shown
    while shown and _width(shown.rstrip() + "...", size) > width:
        shown = shown[:-1]
    return shown.rstrip() + "..."


def _lines(words: str, size: int, width: float, most: int) -> list[str]:
    """`words` over at most `most` lines."""
    lines: list[str] = []
    rest = plain_letters(words).split()
    while rest and len(lines) < most - 1:
        count = len(rest)
        while count > 1 and _width(" ".join(rest[:count]), size) > width:
            count -= 1
        lines.append(" ".join(rest[:count]))
        rest = rest[count:]
    return [*lines, _fitting(" ".join(rest), size, width)] if rest else lines


_SIGNS = str.maketrans({"–": "-", "−": "-", "\u2011": "-", "×": "x", "·": "-", "…": "..."})


def plain_letters(words: str) -> str:
    """`words` in the letters of the font: without accents; a letter that it does not have as ``?``."""
    decomposed = unicodedata.normalize("NFKD", words.translate(_SIGNS))
    return "".join(c if " " <= c <= "~" else "?" for c in decomposed if not unicodedata.combining(c))
