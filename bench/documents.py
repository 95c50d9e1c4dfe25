"""Models of documents on disk: TOML that people write, JSON that the harness writes.

A JSON document names its schema, such as ``scorecard/1.2``, see `schema_field`. The major version changes if
a field is removed or changes its meaning; readers refuse other major versions. The minor version changes when
an optional field is added; readers accept every minor version: a missing field takes its default, and an
unknown field of a newer file is ignored. An unknown field in a file of the same or an older version is
an error.
"""

from __future__ import annotations

import copy
import json
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import BenchError, Problem, did_you_mean, missing_file_hint
from bench.file_kinds import kind_instead_of_text


class Document(BaseModel):
    """Base class of documents on disk; unknown keys and NaN are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def plain(self) -> dict[str, Any]:
        """Return the document as plain data with the keys of the file."""
        return self.model_dump(mode="json", by_alias=True)


def schema_field(name: str, major: int, minor: int = 0) -> Any:
    """Declare the field `schema_` of a document that the harness writes: ``<name>/<major>[.<minor>]``.

    Raise `minor` when an optional field is added, `major` when one is removed or changes its meaning.
    """
    version = f"{major}.{minor}" if minor else f"{major}"
    pattern = rf"^{re.escape(name)}/{major}(\.[1-9][0-9]{{0,5}})?$"
    return Field(default=f"{name}/{version}", alias="schema", pattern=pattern)


def minor_version(schema: str) -> int:
    """Return the minor version of a schema: 2 for ``scorecard/1.2``, 0 for ``scorecard/1``."""
    return int(schema.partition(".")[2] or 0)


def _unknown_fields(model: type[BaseModel], data: Any) -> Literal["ignore"] | None:
    """Return "ignore" for a document of a newer minor version; otherwise the model's own setting applies."""
    field = model.model_fields.get("schema_")
    stated = data.get("schema") if isinstance(data, dict) else None
    pattern = next((m.pattern for m in field.metadata if hasattr(m, "pattern")), None) if field else None
    if field is None or pattern is None or not isinstance(stated, str) or not re.match(pattern, stated):
        return None
    return "ignore" if minor_version(stated) > minor_version(field.default) else None


MAX_BYTES = 64 * 2**20
MAX_TOML_BYTES = 2**20  # people write it, and parsing it is slow
MOST_NAMED = 20
"""Faults of a document that are named; the others are counted."""
MOST_KEY_PARTS = 10
"""Parts of a dotted TOML key: a parser needs memory that grows with the square of their number."""

D = TypeVar("D", bound=Document)


def parse(model: type[D], data: Any, code: str, where: str, *, strict: bool = False) -> D:
    """Validate plain data; with `strict` no value is converted, such as the text "7" to a number.

    Raises:
        BenchError: One problem with code `code` for each fault.
    """
    try:
        return model.model_validate(data, strict=strict, extra=_unknown_fields(model, data))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        faults += _contradictions(model, data, faults, strict=strict)
        if another := _another_document(model, data):
            raise BenchError(Problem(code, another, where=where)) from error
        problems = [
            Problem(code, f"{_key(data, fault)[:200]}: {_explain_fault(model, data, fault)}", where=where)
            for fault in faults[:MOST_NAMED]
        ]
        if (more := len(faults) - MOST_NAMED) > 0:
            problems.append(Problem(code, f"{more:,} more faults are not listed.", where=where))
        raise BenchError(problems) from error


def _another_document(model: type[BaseModel], data: Any) -> str:
    """Say that a document shares no key with the model, nor a similar one; empty where it does."""
    if not isinstance(data, dict) or not data:
        return ""
    known = _keys(model, [])
    if any(key in known or did_you_mean(str(key), known) for key in data):
        return ""
    return f"document: This is another document: it has {_some(data)}, and none of {_some(known)}."


def _some(keys: Iterable[str]) -> str:
    """The first five of some keys."""
    named = [str(key)[:60] for key in keys]
    return ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")


def _contradictions(model: type[D], data: Any, faults: list[Any], *, strict: bool) -> list[Any]:
    """Return faults between keys of one table, which pydantic reports only if each key alone is valid.

    The document is validated again without its unknown keys. Invalid keys stay: removing them could cause
    further contradictions.
    """
    pruned = copy.deepcopy(data)
    for fault in faults:
        *path, last = fault["loc"] or ("",)
        table = _value(pruned, tuple(path))
        if fault["type"] in _UNKNOWN_KEY and isinstance(table, dict):
            table.pop(last, None)
    try:
        model.model_validate(pruned, strict=strict)
    except ValidationError as error:
        reported = {(fault["loc"], fault["msg"]) for fault in faults}
        candidates = error.errors(include_url=False, include_input=False)
        return [f for f in candidates if f["type"] == "value_error" and (f["loc"], f["msg"]) not in reported]
    return []


def _explain_fault(model: type[BaseModel], data: Any, fault: Any) -> str:
    """Describe a validation fault in one sentence; suggest the nearest key for an unknown one."""
    kind, place, context = fault["type"], fault["loc"], fault.get("ctx", {})
    *table, key = place or ("",)
    known = _keys(model, table)
    misplaced = kind in _UNKNOWN_KEY or kind.endswith("_type")
    if misplaced and table and key not in known and key in _keys(model, []) and key not in data:
        return "This key belongs to no table: write it above the first line in brackets."
    if kind in _UNKNOWN_KEY:
        nearest = did_you_mean(str(key), known) or f" Known here are {', '.join(known)}."
        return f"This key is not known.{nearest}"
    if kind == "string_pattern_mismatch" and place == ("schema",):
        known_schema = model.model_fields["schema_"].default
        return f"This is {data['schema']!r}, and this version of bench reads {known_schema!r}."
    if kind == "union_tag_not_found":
        return f"The key {context['discriminator']} is missing."
    if kind == "union_tag_invalid":
        given, expected = context["tag"], context["expected_tags"]
        return f"{context['discriminator']} is {given!r}, which is not one of {expected}."
    if kind == "literal_error":
        value = _value(data, place)
        choices = [str(choice) for choice in re.findall(r"'([^']*)'", context["expected"])]
        near = did_you_mean(value, choices) if isinstance(value, str) else ""
        shown = f", not {value[:60]!r}" if isinstance(value, str) else ""
        return f"This should be {context['expected']}{shown}.{near}"
    explanation = _EXPLANATIONS.get(kind.split("_")[0] if kind.startswith("date_") else kind)
    if explanation:
        return explanation.format_map({"s": "s", **context, "items": _items(context)})
    return f"{fault['msg'].removeprefix('Value error, ')}."


_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
"""Pydantic's types of fault for an unknown key of a document and of a dataclass in it."""


def _items(context: dict[str, Any]) -> str:
    """Describe how many items a list or table may have."""
    least, most = context.get("min_length"), context.get("max_length")
    count = least if most is None else most
    return f"at {'least' if most is None else 'most'} {count} item{'' if count == 1 else 's'}"


def _value(data: Any, place: tuple[str | int, ...]) -> Any:
    """Return the value at a location in plain data; union tags in the location are skipped."""
    for part in place:
        if isinstance(data, dict):
            data = data.get(part, data)
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            data = data[part]
    return data


_EXPLANATIONS = {
    "missing": "This key is missing.",
    "string_type": "This should be text, in double quotes.",
    "tuple_type": "This should be a list, in square brackets.",
    "dict_type": "This should be a table of keys.",
    "model_type": "This should be a table of keys.",
    "dataclass_type": "This should be a table of keys.",
    "int_type": "This should be a whole number, without quotes.",
    "float_type": "This should be a number, without quotes.",
    "date": "This should be a date such as 2026-01-31, without quotes.",
    "bool_type": "This should be true or false, without quotes.",
    "too_short": "This needs {items}.",
    "too_long": "This may have {items}.",
    "string_too_short": "This text is empty.",
    "string_too_long": "This text is longer than {max_length} characters.",
    "string_pattern_mismatch": "This text does not have the form {pattern}.",
    "greater_than": "This should be greater than {gt:g}.",
    "greater_than_equal": "This should be at least {ge:g}.",
    "less_than": "This should be less than {lt:g}.",
    "less_than_equal": "This should be at most {le:g}.",
    "finite_number": "This should be a finite number.",
    "none_required": "This key should be left out.",
}
"""Pydantic's type of fault → explanation for the author of the file."""


def _keys(model: type[BaseModel], table: list[str | int]) -> list[str]:
    """Return the keys of the table at a location in a document; of every alternative in a union."""
    tables: set[type[Any]] = {model}
    for part in table:
        inner = [keys[part] for keys in map(_annotations, tables) if isinstance(part, str) and part in keys]
        tables = set().union(*map(_tables, inner)) if inner else tables  # an index or a union tag
    return sorted({key for table_type in tables for key in _annotations(table_type)})


def _annotations(table: type[Any]) -> dict[str, Any]:
    """Return the annotation of each key of a document or of a dataclass in one."""
    if issubclass(table, BaseModel):
        return {field.alias or name: field.annotation for name, field in table.model_fields.items()}
    return {field.name: field.type for field in fields(table)}


def _tables(annotation: Any) -> set[type[Any]]:
    """Return the documents and dataclasses that a field's annotation names."""
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation)):
        return {annotation}
    return set().union(*map(_tables, get_args(annotation)))


def parse_toml(model: type[D], text: str, code: str, where: str) -> D:
    """Parse and validate a TOML text; errors as `parse`."""
    return parse(model, toml_data(text, code, where), code, where, strict=True)


def toml_data(text: str, code: str, where: str) -> dict[str, Any]:
    """Parse a TOML text without validating it; lists are tuples, as the models hold them.

    Raises:
        BenchError: Not valid TOML, or nested too deeply; one problem with code `code`.
    """
    try:
        return {key: _tuples(value) for key, value in read_table(text, code, where).items()}
    except RecursionError as error:
        raise BenchError(Problem(code, "The document is nested too deeply.", where=where)) from error


def _tuples(data: Any) -> Any:
    """Convert lists to tuples, as the models hold them."""
    if isinstance(data, dict):
        return {key: _tuples(value) for key, value in data.items()}
    return tuple(map(_tuples, data)) if isinstance(data, list) else data


def read_toml(model: type[D], path: Path, code: str, limit: int = MAX_TOML_BYTES) -> D:
    """Read and validate a TOML file of at most `limit` bytes; errors as `parse`."""
    return parse_toml(model, read_text(path, code, limit), code, str(path))


def read_json(model: type[D], path: Path, code: str) -> D:
    """Read and validate a JSON file; errors as `parse`."""
    return parse_json(model, read_bytes(path, code), code, str(path))


def parse_json(model: type[D], data: bytes, code: str, where: str) -> D:
    """Parse and validate JSON; errors as `parse`."""
    try:
        return model.model_validate_json(
            data
        )  # fast path; invalid data is parsed again to report every fault
    except ValidationError:
        pass
    text = text_of(data, code, where)
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        kind = kind_instead_of_text(data)
        message = f"It is {kind}, not JSON." if kind else f"Not valid JSON: {error}."
        raise BenchError(Problem(code, message, where=where)) from error
    return parse(model, plain, code, where)


def read_text(path: Path, code: str, limit: int = MAX_TOML_BYTES) -> str:
    """Read UTF-8 text of at most `limit` bytes, without byte order mark and carriage returns.

    Raises:
        BenchError: Missing, not a regular file, too large or not UTF-8; one problem with code `code`.
    """
    return text_of(read_bytes(path, code, limit), code, str(path))


def read_bytes(path: Path, code: str, limit: int = MAX_BYTES) -> bytes:
    """Read a regular file of at most `limit` bytes.

    Raises:
        BenchError: Missing, unreadable, not a regular file, too large or growing; a problem with code `code`.
    """
    try:
        if path.exists() and not path.is_file():
            message = "It is a folder." if path.is_dir() else "It is a device or pipe, not a file."
            raise BenchError(Problem(code, message, str(path), "Name the file itself."))
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, limit) + 1)  # bounded, in case the file grows
    except FileNotFoundError as error:
        message, remedy = missing_file_hint(path)
        raise BenchError(Problem(code, message, str(path), remedy)) from error
    except OSError as error:
        message = f"Cannot be read: {error.strerror or error}."
        raise BenchError(Problem(code, message, str(path), "Check the path and its permissions.")) from error
    if len(data) > limit:
        raise BenchError(Problem(code, f"The file is larger than {limit / 2**20:g} MiB.", where=str(path)))
    if len(data) > size:
        remedy = "Run the command again when the file is whole."
        raise BenchError(Problem(code, "The file grew while it was read.", str(path), remedy))
    return data


def text_of(data: bytes, code: str, where: str) -> str:
    """Decode UTF-8, without byte order mark and carriage returns.

    Raises:
        BenchError: Not UTF-8; a problem with code `code` and the line.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        message, remedy = f"Not UTF-8 text: {error.reason}.", "Save the file as UTF-8."
        kind = kind_instead_of_text(data)
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            message = "Not UTF-8 text, but UTF-16, as PowerShell and old editors write it."
        elif kind:
            raise BenchError(Problem(code, f"It is {kind}, not text.", where)) from error
        raise BenchError(Problem(code, message, f"{where}, line {line}", remedy)) from error
    return text.replace("\r\n", "\n") if "\r" in text else text


def _key(data: Any, fault: Any) -> str:
    """Return the place of a fault as its author writes it: ``targets (1st).label``.

    What pydantic adds, the kind of a table that may be of several, is left out.
    """
    words = ""
    *path, last = fault["loc"] or ("document",)
    for part in path:
        if isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            words += f" ({_ordinal(part + 1)})"
            data = data[part]
        elif isinstance(data, dict) and part in data:
            words += f".{part}"
            data = data[part]
    if isinstance(data, list | tuple) and isinstance(last, int):
        words += f" ({_ordinal(last + 1)})"
    elif last != "[key]" and (fault["type"] == "missing" or not isinstance(data, dict) or last in data):
        words += f".{last}"
    return words.removeprefix(".") or "document"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_CAUSES = {
    "Invalid value": 'text stands in double quotes ("…"); numbers, dates (2026-01-31), true and false do not',
    "Expected '='": "a line is `key = value`, or [table]; a key of several words stands in double quotes",
    "Cannot overwrite a value": "a key stands there twice",
    "Unescaped '\\' in a string": "write \\\\ for a backslash, or the text in single quotes",
    "Illegal character '\\n'": "text ends on its own line, with the quotes it began with",
}


_NOT_KEYS = re.compile(
    r'''"""(?:\\.|[^\\])*?"""|''' + r"""'''.*?'''|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*""", re.DOTALL
)
"""Texts in quotes and comments of TOML."""
_LONG_KEY = re.compile(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{MOST_KEY_PARTS},}}")


def read_table(text: str, code: str, where: str) -> dict[str, Any]:
    """Parse a TOML text into plain data.

    Raises:
        BenchError: A problem with code `code`; line and column are appended to `where`.
    """
    bare = _NOT_KEYS.sub(lambda part: "s" if part[0][0] != "#" else "", text)
    if long := _LONG_KEY.search(bare):
        parts = long[0].count(".") + 1
        line = bare.count("\n", 0, long.start()) + 1
        message = f"A dotted key has {parts:,} parts; at most {MOST_KEY_PARTS} are read."
        raise BenchError(Problem(code, message, f"{where}, line {line}"))
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        message, place = f"Not valid TOML: {_reason(error, text)}.", _place(str(error), text)
        remedy = f"Correct the {'line' if place else 'file'} named, then run the command again."
        raise BenchError(Problem(code, message, f"{where}{place}", remedy)) from error


def _reason(error: Exception, text: str) -> str:
    if not isinstance(error, tomllib.TOMLDecodeError):  # Python's own limits
        return "it is nested too deeply" if isinstance(error, RecursionError) else "a number is too long"
    if text.lstrip().startswith("{"):
        return "it looks like JSON; in TOML a line is `key = value`, without braces around the whole"
    plain = _PLACE.sub("", str(error))
    if _DATE.search(_line(str(error), text)):
        return "a date is year-month-day, such as 2026-01-31, and must exist in the calendar"
    hint = next((f"; {cause}" for start, cause in _CAUSES.items() if plain.startswith(start)), "")
    return f"{plain[:200]}{hint}"


_DATE = re.compile(r"=\s*(\d{1,4}[-./]\d{1,2}[-./]\d{1,4}|\d{1,2}\.?\s+[^\W\d]+\s+\d{4})\b")


def _line(message: str, text: str) -> str:
    """Return the line that an error message refers to; empty if it names none."""
    location = _PLACE.search(message)
    return text.splitlines()[int(location[1]) - 1] if location and location[1] else ""


def _place(message: str, text: str) -> str:
    location = _PLACE.search(message)
    if not location:
        return ""
    if location[1]:
        return f", line {location[1]}, column {location[2]}"
    return f", at its end (line {len(text.splitlines()) or 1})"
