"""Where a target's values stand in a model's outputs; imports nothing heavy, since workers use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """Where a target's values stand: an output of the model, and a column of it.

    Attributes:
        name: Name of the output.
        column: Column of an (N, columns) output; None where the output is (N,) or (N, 1).
    """

    name: str
    column: int | None


def output_column(reference: str, names: Sequence[str]) -> OutputColumn:
    """The output that ``name`` or ``name:column`` of a manifest means; a whole name goes first.

    Raises:
        KeyError: The model has no such output.
    """
    if reference in names:
        return OutputColumn(reference, None)
    name, _, column = reference.rpartition(":")
    if name not in names or not column.isdecimal():
        raise KeyError(reference)
    return OutputColumn(name, int(column))
