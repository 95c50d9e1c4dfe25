"""Durability of a command's results after a power cut, judged by the order of its calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

KEPT = ("/submissions/", "/models/")
_UNIMPORTANT = (".lock", ".holder")


def not_durable(calls: Sequence[str]) -> Iterator[str]:
    """What a power cut could lose or tear after the command has ended.

    Args:
        calls: ``operation path``, in order, as the shim logs them. A rename is logged with its new name; what
            is renamed is the temporary file or folder ``.name.*.part`` beside it.

    A file must be synced between its last write and its renaming, and the folder that holds it afterwards.
    What is written under its own name, never renamed, is torn by a crash at any time.
    """
    steps = [(call.partition(" ")[0], call.partition(" ")[2]) for call in calls]
    for number, (operation, path) in enumerate(steps):
        place = PurePosixPath(path)
        if not path.startswith(KEPT) or place.name.endswith(_UNIMPORTANT):
            continue
        if operation == "write" and not any(part.endswith(".part") for part in place.parts):
            yield f"{path} is written in place"
        if operation in ("rename", "exchange") and not place.name.startswith("."):
            yield from _renamed(steps, number, place)


def _renamed(steps: list[tuple[str, str]], number: int, place: PurePosixPath) -> Iterator[str]:
    begin = f"{place.parent}/.{place.name}."
    last: dict[str, str] = {}
    for operation, path in steps[:number]:
        if path.startswith(begin) and operation in ("write", "truncate", "fsync"):
            last[path] = operation
    for path, operation in last.items():
        if operation != "fsync":
            yield f"{path} is renamed before it is synced"
    if ("fsync", str(place.parent)) not in steps[number:]:
        yield f"{place.parent} is not synced after {place.name} was renamed"
