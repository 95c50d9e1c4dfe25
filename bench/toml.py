"""Reads TOML that people write: a fault of its syntax is named with its line, column and usual cause."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from bench.errors import BenchError, Problem

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_CAUSES = {
    "Invalid value": 'text stands in double quotes ("…"); numbers, dates (2026-01-31), true and false do not',
    "Expected '='": "a line is `key = value`, or [table]; a key of several words stands in double quotes",
    "Cannot overwrite a value": "a key stands there twice",
    "Unescaped '\\' in a string": "write \\\\ for a backslash, or the text in single quotes",
    "Illegal character '\\n'": "text ends on its own line, with the quotes it began with",
}


def read_table(text: str, code: str, where: str) -> dict[str, Any]:
    """A TOML text as plain data.

    Raises:
        BenchError: A problem of code `code`, with the place of the fault after `where`.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"Not valid TOML: {_reason(error, text)}."
        raise BenchError(Problem(code, message, f"{where}{_place(str(error), text)}")) from error


def _reason(error: Exception, text: str) -> str:
    if not isinstance(error, tomllib.TOMLDecodeError):  # Python's own limits
        return "it is nested too deeply" if isinstance(error, RecursionError) else "a number is too long"
    if text.lstrip().startswith("{"):
        return "it looks like JSON; in TOML a line is `key = value`, without braces around the whole"
    plain = _PLACE.sub("", str(error))
    hint = next((f"; {cause}" for start, cause in _CAUSES.items() if plain.startswith(start)), "")
    return f"{plain[:200]}{hint}"


def _place(said: str, text: str) -> str:
    found = _PLACE.search(said)
    if not found:
        return ""
    if found[1]:
        return f", line {found[1]}, column {found[2]}"
    return f", at its end (line {len(text.splitlines()) or 1})"
