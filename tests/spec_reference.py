"""Reference of a cohort spec's keys: ``python -m tests.spec_reference`` prints docs/cohort-spec.md."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bench.cohort.spec import CohortSpec

HEAD = """\
# Cohort spec: the keys

A spec is a TOML file that describes a cohort, so that another site needs no code. `bench cohort specs NAME`
prints a built-in one. With `extends = "NAME"` a spec takes every key of a built-in one that it does not give
itself. Unknown keys are refused. Made by `make spec-reference` from the model that reads the file; a whole
example is at the end.
"""
EXAMPLE = """\
schema = "cohort-spec/1"
id = "our-hospital"
version = "2026-01"
title = "Our hospital"
headline = "lvef_below_40"
labels = "private"

[files]
table = "xrays.csv"
images = "images"

[columns]
image = "xray_id"
patient = "patient_id"
time = "days_since_first"
image_suffix = ".png"
inputs = { age = "age_years", sex = "sex" }

[[rows]]
column = "view"
values = ["AP", "PA"]
label = "frontal views"

[[targets]]
name = "lvef_below_40"
label = "LVEF below 40%"
source = "lvef_low"
blank = "exclude"

[[targets]]
name = "lvef"
kind = "continuous"
label = "LVEF"
source = "lvef_percent"
unit = "%"
plausible = [5.0, 90.0]

[[subgroups]]
name = "age"
label = "Age"
column = "age_years"
bands = [18, 40, 60, 80]
unit = "years"

[split]
rule = "hash"
salt = "our-hospital-2026"
"""
PLAIN = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "none"}
UNION = (Union, types.UnionType)


def models(kind: Any) -> Iterator[type[BaseModel]]:
    """The models that a type holds, in order."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for part in get_args(kind) if get_origin(kind) is not Literal else ():
        yield from models(part)


def anchor(model: type[BaseModel]) -> str:
    """Heading of a model: `Band subgroups` for `BandSubgroups`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", model.__name__).capitalize()


def words(kind: Any) -> str:
    """A type as people read it."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return words(parts[0])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in UNION:
        return " or ".join(words(part) for part in parts if part is not type(None))
    if origin is tuple:
        return (
            f"list of {words(parts[0])}"
            if parts[-1] is Ellipsis
            else f"list of {len(parts)} {words(parts[0])}s"
        )
    if origin is dict:
        return f"table of {words(parts[1])}"
    if issubclass(kind, BaseModel):
        return f"[{anchor(kind)}](#{anchor(kind).lower().replace(' ', '-')})"
    if issubclass(kind, Enum):
        return " or ".join(f"`{choice.value}`" for choice in kind)
    return PLAIN[kind]


def default(field: FieldInfo) -> str:
    """The default as TOML has it; empty values and none are `–`."""
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ("", (), {}):
        return "–"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "`{}`".format(text.replace("|", "\\|"))


def section(model: type[BaseModel]) -> str:
    """Heading, meaning and the table of keys of one model."""
    rows = "".join(
        f"| `{field.alias or name}` | {words(field.annotation)} | {default(field)} | {field.description} |\n"
        for name, field in model.model_fields.items()
    )
    about = inspect.cleandoc(model.__doc__ or "")
    return f"\n## {anchor(model)}\n\n{about}\n\n| key | type | default | meaning |\n|---|---|---|---|\n{rows}"


def all_models() -> list[type[BaseModel]]:
    """The spec's model and those that its keys hold, each once, in the order in which they are named."""
    found: list[type[BaseModel]] = [CohortSpec]
    for model in found:  # grows while it is read
        held = (m for field in model.model_fields.values() for m in models(field.annotation))
        found.extend(m for m in dict.fromkeys(held) if m not in found)
    return found


def page() -> str:
    """The whole document."""
    return HEAD + "".join(map(section, all_models())) + f"\n## Example\n\n```toml\n{EXAMPLE}```\n"


if __name__ == "__main__":
    print(page(), end="")
