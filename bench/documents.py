"""Documents on disk and their models: TOML that people write, JSON that the harness writes.

What the harness writes names its schema, such as ``scorecard/1.2``, see `schema_field`. The major version
changes where a field is removed or changes its meaning; readers refuse any other than their own. The minor
version changes where an optional field is added, and readers take every one: a field that an older file lacks
has its default, and a field of a newer file that the reader does not know is ignored. An unknown field in a
file of the reader's own version, or of an older one, is an error.
"""

from __future__ import annotations

import copy
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import BenchError, Problem, did_you_mean, not_there


class Document(BaseModel):
    """Base of everything that is read from or written to disk: unknown keys are refused, NaN too."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def plain(self) -> dict[str, Any]:
        """The document as plain data, keys as they stand on disk."""
        return self.model_dump(mode="json", by_alias=True)


def schema_field(name: str, major: int, minor: int = 0) -> Any:
    """The field `schema_` of a document that the harness writes: ``<name>/<major>[.<minor>]``.

    Raise `minor` when an optional field is added, `major` when one is removed or changes its meaning.
    """
    version = f"{major}.{minor}" if minor else f"{major}"
    pattern = rf"^{re.escape(name)}/{major}(\.[1-9][0-9]{{0,5}})?$"
    return Field(default=f"{name}/{version}", alias="schema", pattern=pattern)


def minor_version(schema: str) -> int:
    """The minor version of a schema such as ``scorecard/1.2``: 2, and 0 for ``scorecard/1``."""
    return int(schema.partition(".")[2] or 0)


def _unknown_fields(model: type[BaseModel], data: Any) -> Literal["ignore"] | None:
    """What happens to unknown fields: ignored in a document of a newer minor version, else as declared."""
    field = model.model_fields.get("schema_")
    stated = data.get("schema") if isinstance(data, dict) else None
    pattern = next((m.pattern for m in field.metadata if hasattr(m, "pattern")), None) if field else None
    if field is None or pattern is None or not isinstance(stated, str) or not re.match(pattern, stated):
        return None
    return "ignore" if minor_version(stated) > minor_version(field.default) else None


MAX_BYTES = 64 * 2**20
MAX_TOML_BYTES = 2**20  # people write it, and parsing it is slow

D = TypeVar("D", bound=Document)


def parse(model: type[D], data: Any, code: str, where: str, *, strict: bool = False) -> D:
    """`data` as a `model`; with `strict` no value is converted, such as the text "7" to a number.

    Raises:
        BenchError: One problem of code `code` for each fault.
    """
    try:
        return model.model_validate(data, strict=strict, extra=_unknown_fields(model, data))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        faults += _contradictions(model, data, faults, strict=strict)
        raise BenchError(
            [
                Problem(code, f"{_key(data, fault)}: {_said(model, data, fault)}", where=where)
                for fault in faults
            ]
        ) from error


def _contradictions(model: type[D], data: Any, faults: list[Any], *, strict: bool) -> list[Any]:
    """Faults between keys of one table, which pydantic looks for only where each key alone is right.

    They are looked for in the document without its unknown keys. A faulty key is never taken away: that
    would make contradictions that are not there.
    """
    pruned = copy.deepcopy(data)
    for fault in faults:
        *path, last = fault["loc"] or ("",)
        table = _value(pruned, tuple(path))
        if fault["type"] == "extra_forbidden" and isinstance(table, dict):
            table.pop(last, None)
    try:
        model.model_validate(pruned, strict=strict)
    except ValidationError as error:
        known = {(fault["loc"], fault["msg"]) for fault in faults}
        found = error.errors(include_url=False, include_input=False)
        return [f for f in found if f["type"] == "value_error" and (f["loc"], f["msg"]) not in known]
    return []


def _said(model: type[BaseModel], data: Any, fault: Any) -> str:
    """What is wrong, as a sentence; a key that a table does not have gets the nearest that it has."""
    kind, place, context = fault["type"], fault["loc"], fault.get("ctx", {})
    *table, key = place or ("",)
    known = _keys(model, table)
    of_place = kind == "extra_forbidden" or kind.endswith("_type")
    if of_place and table and key not in known and key in _keys(model, []) and key not in data:
        return "This key belongs to no table: write it above the first line in brackets."
    if kind == "extra_forbidden":
        nearest = did_you_mean(str(key), known) or f" Known here are {', '.join(known)}."
        return f"This key is not known.{nearest}"
    if kind == "string_pattern_mismatch" and place == ("schema",):
        known_schema = model.model_fields["schema_"].default
        return f"This is {data['schema']!r}, and this version of bench reads {known_schema!r}."
    if kind == "union_tag_not_found":
        return f"The key {context['discriminator']} is missing."
    if kind == "union_tag_invalid":
        return (
            f"{context['discriminator']} is {context['tag']!r}, which is none of {context['expected_tags']}."
        )
    if kind == "literal_error":
        value = _value(data, place)
        choices = [str(choice) for choice in re.findall(r"'([^']*)'", context["expected"])]
        near = did_you_mean(value, choices) if isinstance(value, str) else ""
        shown = f", not {value[:60]!r}" if isinstance(value, str) else ""
        return f"This should be {context['expected']}{shown}.{near}"
    said = _SAID.get(kind.split("_")[0] if kind.startswith("date_") else kind)
    if said:
        return said.format_map({"s": "s", **context, "items": _items(context)})
    return f"{fault['msg'].removeprefix('Value error, ')}."


def _items(context: dict[str, Any]) -> str:
    """How many items a list or table may have, as words."""
    least, most = context.get("min_length"), context.get("max_length")
    count = least if most is None else most
    return f"at {'least' if most is None else 'most'} {count} item{'' if count == 1 else 's'}"


def _value(data: Any, place: tuple[str | int, ...]) -> Any:
    """What stands at a place of plain data; kinds of tables in the place are passed over."""
    for part in place:
        if isinstance(data, dict):
            data = data.get(part, data)
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            data = data[part]
    return data


_SAID = {
    "missing": "This key is missing.",
    "string_type": "This should be text, in double quotes.",
    "tuple_type": "This should be a list, in square brackets.",
    "dict_type": "This should be a table of keys.",
    "model_type": "This should be a table of keys.",
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
"""What pydantic says of a kind of fault, in the words of who writes the file."""


def _keys(model: type[BaseModel], table: list[str | int]) -> list[str]:
    """Keys of the table at a place in a document; of all that it may be where there are several kinds."""
    tables = {model}
    for part in table:
        inner = [
            _tables(field.annotation)
            for one in tables
            for name, field in one.model_fields.items()
            if part in (name, field.alias)
        ]
        tables = set().union(*inner) if inner else tables  # a place in a list, or a kind, leads no deeper
    return sorted(field.alias or name for one in tables for name, field in one.model_fields.items())


def _tables(annotation: Any) -> set[type[BaseModel]]:
    """The documents that a field's annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return set().union(*map(_tables, get_args(annotation)))


def parse_toml(model: type[D], text: str, code: str, where: str) -> D:
    """A TOML text as a `model`; raises as `parse` does."""
    try:
        data = _tuples(read_table(text, code, where))
    except RecursionError as error:
        raise BenchError(Problem(code, "It is nested too deeply.", where=where)) from error
    return parse(model, data, code, where, strict=True)


def _tuples(data: Any) -> Any:
    """`data` with its lists as tuples, as the models hold them."""
    if isinstance(data, dict):
        return {key: _tuples(value) for key, value in data.items()}
    return tuple(map(_tuples, data)) if isinstance(data, list) else data


def read_toml(model: type[D], path: Path, code: str, limit: int = MAX_TOML_BYTES) -> D:
    """A TOML file of at most `limit` bytes as a `model`; raises as `parse` does."""
    return parse_toml(model, read_text(path, code, limit), code, str(path))


def read_json(model: type[D], path: Path, code: str) -> D:
    """A JSON file as a `model`; raises as `parse` does."""
    return parse_json(model, read_bytes(path, code), code, str(path))


def parse_json(model: type[D], data: bytes, code: str, where: str) -> D:
    """JSON as a `model`; raises as `parse` does."""
    try:
        return model.model_validate_json(data)  # one pass; what it refuses is read again to name every fault
    except ValidationError:
        pass
    text = _text(data, code, where)
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BenchError(Problem(code, f"Not valid JSON: {error}", where=where)) from error
    return parse(model, plain, code, where)


def read_text(path: Path, code: str, limit: int = MAX_TOML_BYTES) -> str:
    """A UTF-8 text of at most `limit` bytes, without its byte order mark and carriage returns.

    Raises:
        BenchError: One problem of code `code`: it is missing, no regular file, too large or no such text.
    """
    return _text(read_bytes(path, code, limit), code, str(path))


def read_bytes(path: Path, code: str, limit: int = MAX_BYTES) -> bytes:
    """A regular file of at most `limit` bytes.

    Raises:
        BenchError: It is missing, cannot be read, grows meanwhile, or is another thing or larger; a problem
            of code `code`.
    """
    try:
        if path.exists() and not path.is_file():
            raise BenchError(Problem(code, "It is no regular file.", where=str(path)))
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, limit) + 1)  # no more, should it grow meanwhile
    except FileNotFoundError as error:
        message, remedy = not_there(path)
        raise BenchError(Problem(code, message, str(path), remedy)) from error
    except OSError as error:
        message = f"Cannot be read: {error.strerror or error}."
        raise BenchError(Problem(code, message, str(path), "Check the path and its permissions.")) from error
    if len(data) > limit:
        raise BenchError(Problem(code, f"It is larger than {limit / 2**20:g} MiB.", where=str(path)))
    if len(data) > size:
        remedy = "Run the command again when the file is whole."
        raise BenchError(Problem(code, "It grew while it was read.", str(path), remedy))
    return data


def _text(data: bytes, code: str, where: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        message = f"Not UTF-8 text: {error.reason}. Save it as UTF-8."
        raise BenchError(Problem(code, message, where=f"{where}, line {line}")) from error
    return text.replace("\r\n", "\n") if "\r" in text else text


def _key(data: Any, fault: Any) -> str:
    """Where a fault stands, in the words of who wrote the document: ``targets (1st).label``.

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
    if _DATE.search(_line(str(error), text)):
        return "a date is year-month-day, such as 2026-01-31, and must exist in the calendar"
    hint = next((f"; {cause}" for start, cause in _CAUSES.items() if plain.startswith(start)), "")
    return f"{plain[:200]}{hint}"


_DATE = re.compile(r"=\s*(\d{1,4}[-./]\d{1,2}[-./]\d{1,4}|\d{1,2}\.?\s+[^\W\d]+\s+\d{4})\b")


def _line(said: str, text: str) -> str:
    """The line that an error names; empty where it names none."""
    found = _PLACE.search(said)
    return text.splitlines()[int(found[1]) - 1] if found and found[1] else ""


def _place(said: str, text: str) -> str:
    found = _PLACE.search(said)
    if not found:
        return ""
    if found[1]:
        return f", line {found[1]}, column {found[2]}"
    return f", at its end (line {len(text.splitlines()) or 1})"
