"""Numbers and names as the pages show them."""

from __future__ import annotations

import re
import unicodedata

from bench.board.model import Standing
from bench.metrics import registry
from bench.metrics.results import Estimate

NOT_AVAILABLE = "n/a"

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)


def printable(text: str) -> str:
    """`text` without characters that XML forbids or that reorder other text; each becomes U+FFFD."""
    return text if text.isprintable() else _UNPRINTABLE.sub("\ufffd", text)


def shortened(text: str, length: int) -> str:
    """`text`, or its beginning and an ellipsis where it is longer than `length`."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def letters(text: str) -> float:
    """Width of a text in average letters."""
    return sum(map(_letters, text))


def fitting(text: str, width: float) -> str:
    """`text`, or its beginning and an ellipsis where it would be wider than `width` average letters."""
    room = width
    for index, character in enumerate(text):
        room -= _letters(character)
        if room < 0:
            return text[: max(index - 1, 0)].rstrip() + "…"
    return text


def _letters(character: str) -> float:
    """Width of a character in a sans-serif face, in average lower-case letters."""
    if unicodedata.east_asian_width(character) in "WF":
        return 1.9
    if unicodedata.combining(character):
        return 0.0
    return 1.6 if character in "mwMW@%" else 1.3 if character.isupper() else 1.0


def decimal(value: float | None, digits: int = 3) -> str:
    """A number with fixed decimals; `n/a` for None. Minus zero loses its sign."""
    if value is None:
        return NOT_AVAILABLE
    text = f"{value:.{digits}f}"
    if text[0] != "-":
        return text
    return text[1:] if float(text) == 0 else f"−{text[1:]}"


def significant(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits, never in exponent notation."""
    if value is None:
        return NOT_AVAILABLE
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    rounded = float(f"{mantissa}e{exponent}")
    return f"{rounded:,.{max(digits - 1 - int(exponent), 0)}f}"


def count(value: int | None) -> str:
    """A count with thousands separated; `n/a` for None."""
    return NOT_AVAILABLE if value is None else f"{value:,}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as percent."""
    return NOT_AVAILABLE if share is None else f"{100 * share:.{digits}f}%"


def plural(number: int, singular: str, plural_form: str = "") -> str:
    """`number` with its noun."""
    return f"{number:,} {singular if number == 1 else plural_form or singular + 's'}"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, as ``+0.004`` or ``−0.004``; zero has none."""
    text = decimal(value, digits)
    return f"+{text}" if value > 0 and float(text) > 0 else text


_NUMBERS = (
    *("No", "One", "Two", "Three", "Four", "Five", "Six"),
    *("Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve"),
)


def number_word(number: int) -> str:
    """A count at the beginning of a sentence: in words up to twelve."""
    return _NUMBERS[number] if number < len(_NUMBERS) else f"{number:,}"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """An interval as `0.701–0.802`; empty where there is none. Limits below 0 are parted by `to`."""
    if low is None or high is None:
        return ""
    dash = " to " if low < 0 or high < 0 else "–"
    return f"{decimal(low, digits)}{dash}{decimal(high, digits)}"


def rank_text(standing: Standing) -> str:
    """The rank interval: `3`, `1–4`, or a dash for an entry that is not ranked."""
    if standing.rank is None:
        return "–"
    low, high = standing.rank_low or standing.rank, standing.rank_high or standing.rank
    return f"{low}" if low == high else f"{low}–{high}"


def p_text(p: float | None) -> str:
    """A p-value with two significant digits, never 0; near 0.05 with as many as tell its side."""
    if p is None:
        return ""
    if p < 0.001:
        return "< 0.001"
    if 0.045 <= p < 0.055:
        return f"{p:.4f}"
    return f"{p:.3f}" if p < 0.01 else f"{p:.2f}"


def difference_interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """The interval of a difference; with more digits where a limit beside 0 would otherwise print as 0."""
    if low is None or high is None:
        return ""
    return interval(low, high, difference_digits(low, high, digits))


def difference_digits(low: float, high: float, digits: int = 3) -> int:
    """Decimals that show on which side of 0 the limits of a difference lie; at most 6."""
    nearest = min(abs(low), abs(high))
    while digits < 6 and low * high > 0 and round(nearest, digits) == 0:
        digits += 1
    return digits


def estimate(value: Estimate | None, digits: int = 3) -> str:
    """A metric with its interval in parentheses, or with what a calibrated model would show."""
    if value is None or value.value is None:
        return NOT_AVAILABLE
    if value.noise_floor is not None:
        floor = decimal(value.noise_floor, digits)
        return f"{decimal(value.value, digits)} (a calibrated model would show {floor})"
    limits = interval(value.low, value.high, digits)
    return f"{decimal(value.value, digits)} ({limits})" if limits else decimal(value.value, digits)


def metric_label(name: str) -> str:
    """The name of a metric as shown; an unknown one keeps its words."""
    return registry.label(name)


def sentence(text: str) -> str:
    """`text` as a sentence: a capital where it begins with a plain word, and a full stop; empty stays so."""
    text = text.strip()
    if not text:
        return ""
    first = text.partition(" ")[0].rstrip(":,;")
    if first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else text + "."
