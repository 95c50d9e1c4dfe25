"""Scores again and compares: a stored number that cannot be computed again is an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bench.errors import Problem
from bench.files import round_significant
from bench.scoring.scorecard import Scorecard

MOST_NAMED = 5


def differences(stored: Scorecard, computed: Scorecard) -> list[Problem]:
    """What differs between a stored scorecard and one computed now, after rounding to 9 digits."""
    return document_differences(stored.slug, stored.plain(), computed.plain())


def document_differences(name: str, stored: dict[str, Any], computed: dict[str, Any]) -> list[Problem]:
    """What differs between two documents; `name` stands in the messages."""
    found = list(_walk("", stored, computed))
    problems = [
        Problem("verify-drift", f"{name}: {path} is {_shown(old)} as stored, {_shown(new)} now.")
        for path, old, new in found[:MOST_NAMED]
    ]
    if len(found) > MOST_NAMED:
        message = f"{name}: {len(found) - MOST_NAMED} more numbers differ."
        problems.append(Problem("verify-drift", message))
    return problems


def _walk(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if path or key != "harness_version":
                yield from _walk(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _walk(f"{path}[{_name(a, i)}]", a, b)
    elif not _same(old, new):
        yield path, old, new


def _name(item: Any, place: int) -> str:
    if isinstance(item, dict) and "target" in item:
        return " ".join(str(item[key]) for key in ("target", "division", "level") if key in item)
    return str(place)


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return round_significant(old) == round_significant(new)
    return bool(old == new)


def _shown(value: Any) -> str:
    return str(round_significant(value)) if isinstance(value, float) else str(value)[:60]
