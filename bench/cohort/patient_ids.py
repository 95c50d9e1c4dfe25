"""One text for each patient id, whatever file it came from, and ids that may belong to one person.

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
"""Words, in lower case, that pandas, R, SQL, spreadsheets and people write for a missing value."""

LARGEST_EXACT = 2**53
"""Largest whole number up to which a float64 holds every whole number."""

NO_IDS = BLANK_WORDS | {"unknown", "undefined", "anonymous", "anonymized", "anonymised"}
"""Words that people write where a patient has no id; images under one of them may be of many people."""

QUOTES = frozenset("'\"`\u2018\u2019\u201c\u201d")

_PRINTED_BYTES = re.compile(r"""b(['"])(.*)\1""", re.DOTALL)
_WHOLE_NUMBER = re.compile(r"(-?\d{1,400})\.0*", re.ASCII)
_ROUNDED = re.compile(r"-?\d(\.\d+)?[eE]\+\d+", re.ASCII)
_FINAL_ZEROS = re.compile(r"(?<=\d)[.,]0{1,2}$", re.ASCII)
_LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)", re.ASCII)


def is_blank(text: str) -> bool:
    """Whether a cell holds no value: empty, blanks alone, or a word such as ``nan``, ``NA`` or ``None``."""
    return _without_invisible_ends(text).lower() in BLANK_WORDS


def canonical_id(text: str) -> str:
    """Canonical text of a patient id; empty where the cell holds no id."""
    text = _without_invisible_ends(unicodedata.normalize("NFC", text))
    if printed := _PRINTED_BYTES.fullmatch(text):
        text = _without_invisible_ends(printed[2])
    if whole := _WHOLE_NUMBER.fullmatch(text):
        text = "0" if whole[1] == "-0" else whole[1]
    return "" if text.lower() in NO_IDS else text


def canonical_value(text: str) -> str:
    """One text for a value that files write differently, such as ``1``, ``1.0`` and ``True``."""
    text = text.strip()
    if whole := _WHOLE_NUMBER.fullmatch(text):
        return whole[1]
    return {"true": "1", "false": "0"}.get(text.lower(), text)


def is_rounded(text: str) -> bool:
    """Whether an id was stored as a floating-point number that may have lost digits.

    That is a number in scientific notation (``1.23457E+15``), or a fraction beyond the whole numbers that a
    float64 holds exactly (``9007199254740994.0``).
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
        writing: Groups whose ids differ by blanks, quotes, a final ``.0`` or Unicode compatibility forms.
    """

    groups: tuple[tuple[str, ...], ...]
    case: int
    zeros: int
    writing: int

    def differences(self) -> str:
        """How the ids differ, with counts of groups, for messages."""
        kinds = {
            "upper and lower case": self.case,
            "leading zeros": self.zeros,
            "blanks, quotes, final .0 or Unicode forms": self.writing,
        }
        return ", ".join(f"{kind} ({count:,})" for kind, count in kinds.items() if count)


def similar_ids(patients: Strings) -> SimilarIds:
    """Find canonical ids that differ by case, leading zeros, blanks, quotes, a final .0 or Unicode form.

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
    """An id in compatibility form, without blanks, invisible characters, quotes and a final ``.0``."""
    if not patient.isalnum() or not patient.isascii():
        text = unicodedata.normalize("NFKC", patient)
        patient = "".join(c for c in text if c not in QUOTES and not _is_invisible(c))
    return _FINAL_ZEROS.sub("", patient)


def _padded_or_equal(group: list[str]) -> list[str]:
    """The ids of a group that equal another one but for padding, which changes the length, or case."""
    if len(group) == 1:
        return group
    texts = {patient: _plain(patient).casefold() for patient in group}
    of_length: dict[int, set[str]] = defaultdict(set)
    for text in texts.values():
        of_length[len(text)].add(text)
    if len(of_length) > 1:
        return group
    return [p for p in group if sum(text == texts[p] for text in texts.values()) > 1]
