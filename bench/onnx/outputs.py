"""Output and column of a model that hold a target's values; imports nothing heavy, for workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """Output of a model, and its column, that hold a target's values.

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
