"""Canonical patient ids, and similar ids that may belong to one person.

The canonical text of an id is its Unicode text in normal form C, without blanks and invisible characters at
its ends; ``b'7'`` (bytes printed by Python) is ``7``, and a whole number written as a decimal fraction is the
whole number: ``7.0`` and ``7.00`` are ``7``. Nothing else changes: ``007``, ``p7`` and ``1e5`` stay as they
are, so that an id of hexadecimal digits is never taken for a number.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Strings = npt.NDArray[np.object_]

BLANK_WORDS = frozenset(
    {
        *("", "na", "n/a", "n.a.", "#n/a", "#n/a n/a", "#na", "<na>", "nan", "-nan", "1.#ind", "-1.#ind"),
        *("1.#qnan", "-1.#qnan", "nat", "none", "null", "nil", "missing", "-", "--", "?"),
    }
)
"""Words for a missing value, in lower case, as pandas, R, SQL, spreadsheets and people write them."""

LARGEST_EXACT = 2**53
"""Largest whole number up to which a float64 holds every whole number."""

NO_IDS = BLANK_WORDS | {
    *("unknown", "unk", "undefined", "anonymous", "anonymized", "anonymised", "deidentified"),
    *("de-identified", "redacted", "withheld", "not available", "not known"),
}
"""Words for a missing id, in lower case; rows with such a word may belong to many people."""

QUOTES = frozenset("'\"`\u2018\u2019\u201c\u201d")

_PRINTED_BYTES = re.compile(r"""b(['"])(.*)\1""", re.DOTALL)
_WHOLE_NUMBER = re.compile(r"(-?\d{1,400})\.0*", re.ASCII)
_ROUNDED = re.compile(r"-?\d(\.\d+)?[eE]\+\d+", re.ASCII)
_FINAL_ZEROS = re.compile(r"(?<=\d)[.,]0{1,2}$", re.ASCII)
_ASCII_OMITTED = re.compile(r"[\s\x00-\x1f\x7f'\"`]+", re.ASCII)
_THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+", re.ASCII)
_PUNCTUATION = re.compile(r"[\W_]+")
_BETWEEN_KINDS = re.compile(r"(?<=[^\W\d_])-(?=\d)|(?<=\d)-(?=[^\W\d_])")
_HEXADECIMAL = re.compile(r"(?:urn-uuid-)?([0-9a-fA-F-]+)")
_NUMBER_WITH_LETTERS = re.compile(r"([^\W\d_]*)(\d+)([^\W\d_]*)")
_DATE = re.compile(r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})( 00:00:00)?", re.ASCII)
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)", re.ASCII)


def is_blank(text: str) -> bool:
    """Return whether a cell is empty, blank, or a word for a missing value such as ``nan`` or ``NA``."""
    return _without_invisible_ends(text).lower() in BLANK_WORDS


def canonical_id(text: str) -> str:
    """Return the canonical text of a patient id; empty for a missing id."""
    text = _without_invisible_ends(unicodedata.normalize("NFC", text))
    if printed := _PRINTED_BYTES.fullmatch(text):
        text = _without_invisible_ends(printed[2])
    if whole := _WHOLE_NUMBER.fullmatch(text):
        text = "0" if whole[1] == "-0" else whole[1]
    return "" if text.lower() in NO_IDS else text


def canonical_value(text: str) -> str:
    """Return one text for equal values, such as ``1``, ``1.0`` and ``True``."""
    text = text.strip()
    if whole := _WHOLE_NUMBER.fullmatch(text):
        return whole[1]
    return {"true": "1", "false": "0"}.get(text.lower(), text)


def is_rounded(text: str) -> bool:
    """Return whether an id is a floating-point number that may have lost digits.

    Such an id is in scientific notation (``1.23457E+15``), or a decimal fraction above the largest whole
    number that a float64 represents exactly (``9007199254740994.0``).
    """
    text = text.strip()
    if whole := _WHOLE_NUMBER.fullmatch(text):
        return "." in text and abs(int(whole[1])) > LARGEST_EXACT
    return _ROUNDED.fullmatch(text) is not None


def _without_invisible_ends(text: str) -> str:
    if text.isascii():
        return text.strip()
    start, stop = 0, len(text)
    while start < stop and _is_invisible(text[start]):
        start += 1
    while stop > start and _is_invisible(text[stop - 1]):
        stop -= 1
    return text[start:stop]


def _is_invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in {"Cf", "Cc"}


@dataclass(frozen=True, slots=True)
class SimilarIds:
    """Groups of patients whose ids differ in their writing alone.

    Attributes:
        groups: Ids of each group, at least two.
        case: Groups whose ids differ by upper and lower case.
        zeros: Groups whose ids differ by leading zeros.
        writing: Groups whose ids differ by blanks, punctuation, accents, a final ``.0`` or Unicode forms.
    """

    groups: tuple[tuple[str, ...], ...]
    case: int
    zeros: int
    writing: int

    def differences(self) -> str:
        """Describe how the ids differ, with counts of groups."""
        kinds = {
            "upper and lower case": self.case,
            "leading zeros": self.zeros,
            "blanks, punctuation, accents, final .0 or Unicode forms": self.writing,
        }
        return ", ".join(f"{kind} ({count:,})" for kind, count in kinds.items() if count)


def similar_ids(patients: Strings) -> SimilarIds:
    """Find canonical ids that differ by case, leading zeros, punctuation, accents or Unicode form.

    Zeros before the digits of a number count as leading wherever the number stands: ``p007`` and ``p7``. Ids
    of one length that differ by zeros are not similar: padding changes the length.

    Args:
        patients: (n,) canonical ids.
    """
    by_key: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(set(patients.tolist())):
        by_key[_LEADING_ZEROS.sub("", _plain(patient).casefold())].append(patient)
    groups = [group for group in map(_padded_or_equal, by_key.values()) if len(group) > 1]

    def differ(change: Callable[[str], str]) -> int:
        return sum(len({change(patient) for patient in group}) > 1 for group in groups)

    return SimilarIds(
        groups=tuple(map(tuple, groups)),
        case=differ(lambda patient: _LEADING_ZEROS.sub("", _plain(patient))),
        zeros=differ(lambda patient: _plain(patient).casefold()),
        writing=differ(lambda patient: _LEADING_ZEROS.sub("", patient.casefold())),
    )


def _plain(patient: str) -> str:
    """Return an id in compatibility form with ASCII digits, without accents, blanks and final ``.0``.

    Punctuation at the ends and between a letter and a digit is removed, other punctuation becomes a hyphen:
    ``PT_7`` is ``PT7``, and ``1.23`` stays different from ``12.3``. A UUID is its 32 hexadecimal digits.
    """
    if patient.isascii() and patient.isalnum():
        return patient
    if patient.isascii():
        text = _ASCII_OMITTED.sub("", patient)
    else:
        text = "".join(
            str(digit) if (digit := unicodedata.decimal(c, None)) is not None else c
            for c in unicodedata.normalize("NFKD", patient)
            if c not in QUOTES and not _is_invisible(c) and not unicodedata.combining(c)
        )
    text = _FINAL_ZEROS.sub("", text)
    text = text.replace(",", "") if _THOUSANDS.fullmatch(text) else text
    text = _BETWEEN_KINDS.sub("", _PUNCTUATION.sub("-", text).strip("-"))
    hexadecimal = _HEXADECIMAL.fullmatch(text)
    digits = hexadecimal[1].replace("-", "") if hexadecimal else ""
    return digits if len(digits) == 32 else text


def prefixed_ids(patients: Strings) -> int:
    """Count numbers that are an id alone and also with letters before or behind them: ``7`` and ``PT7``.

    Args:
        patients: (n,) canonical ids.
    """
    plain = {_plain(patient) for patient in set(patients.tolist())}
    numbers = {text for text in plain if text.isdigit()}
    lettered = {
        match[2]
        for text in plain - numbers
        if (match := _NUMBER_WITH_LETTERS.fullmatch(text)) and not (match[1] and match[3])
    }
    return len(numbers & lettered)


def is_date(patient: str) -> bool:
    """Return whether an id is a date, such as ``1950-01-31`` or ``31.01.1950``."""
    return _DATE.fullmatch(patient) is not None


def _padded_or_equal(group: list[str]) -> list[str]:
    """Return the ids of a group that differ from another only by case, or by padding to another length."""
    if len(group) == 1:
        return group
    texts = {patient: _plain(patient).casefold() for patient in group}
    of_length: dict[int, set[str]] = defaultdict(set)
    for text in texts.values():
        of_length[len(text)].add(text)
    if len(of_length) > 1:
        return group
    return [p for p in group if sum(text == texts[p] for text in texts.values()) > 1]
