"""Ids of images in another form than the cohort's: with folders, another ending, quotes, lost zeros."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from bench.cohort.split import Strings


def id_hint(unknown: Sequence[object], images: Strings, patients: Strings) -> str:
    """Name the change of form, or the two, that would make unknown ids known; "" if there is none.

    Args:
        unknown: Some ids that are not in the cohort.
        images: (n,) image ids of the cohort.
        patients: (n,) their patient ids.
    """
    sample = [str(value) for value in unknown]
    forms = _id_forms(images)
    known = frozenset(images)

    def enough(*steps: Callable[[str], str]) -> bool:
        changed = sample
        for step in steps:
            changed = [step(value) for value in changed]
        return sum(value in known for value in changed) > len(sample) / 2

    for advice, form in forms.items():
        if enough(form):
            return advice
    for first, convert in forms.items():
        for second, convert_again in forms.items():
            if first != second and enough(convert, convert_again):
                return f"{first} {second}"
    if all(value.isdecimal() and int(value) <= len(images) for value in sample):
        return "These are row numbers: write the image column of the table beside the predictions."
    people = frozenset(patients)
    if sum(value in people for value in sample) > len(sample) / 2:
        return "These are ids of patients: write one row for each image, with the id of the image."
    return ""


def _id_forms(images: Strings) -> dict[str, Callable[[str], str]]:
    """Remedies for ids of another form → conversion of such an id to the cohort's form."""
    names = [str(image) for image in images]
    endings = sorted({PurePosixPath(name).suffix for name in names[:1000]} - {""})
    cases = {name.casefold(): name for name in names}
    zeros = {name.lstrip("0"): name for name in names if name.startswith("0")}
    forms: dict[str, Callable[[str], str]] = {
        "Remove the folders from the ids.": lambda s: PurePosixPath(s.replace("\\", "/")).name,
        "Remove the blanks around the ids.": str.strip,
        "Remove the invisible characters from the ids.": _without_invisible,
        "Remove the quotes around the ids.": lambda s: s.strip().strip(_QUOTES),
        "Write the ids alone, without the brackets of a list, tuple or path.": lambda s: _BRACKETS.sub(
            "", s
        ).strip(_QUOTES),
        "Write the ids in the cohort's Unicode form.": lambda s: unicodedata.normalize("NFKC", s),
        "Decode the ids: they are written as Python's bytes, b'…'.": lambda s: (
            s[2:-1] if s[:2] in ("b'", 'b"') and s[-1:] in ("'", '"') else s
        ),
        "Remove the decimals `.0` from the ids: they are text, not numbers.": lambda s: s.removesuffix(".0"),
        "Remove the file ending from the ids.": lambda s: PurePosixPath(s).stem,
        **{f"Add the file ending {end} to the ids.": ("{}" + end).format for end in endings},
    }
    for end in endings:
        forms[f"The ids have another file ending; the cohort's end in {end}."] = _with_ending(end)
    forms["Write the ids in the cohort's upper and lower case."] = lambda s: cases.get(s.casefold(), s)
    if zeros:
        advice = "Keep the zeros in front of the ids: read and write them as text, `dtype=str` in pandas."
        forms[advice] = lambda s: zeros.get(s.lstrip("0"), s)
    return forms


_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
_BRACKETS = re.compile(r"^(?:\w*Path)?[\[({]|,?[\])}]$")


def _without_invisible(text: str) -> str:
    return "".join(c for c in text if unicodedata.category(c) not in {"Cf", "Cc"})


def _with_ending(end: str) -> Callable[[str], str]:
    return lambda s: str(PurePosixPath(s).with_suffix(end)) if PurePosixPath(s).name else s
