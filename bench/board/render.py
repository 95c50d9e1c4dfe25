"""A board's table as CSV, Markdown and LaTeX; `bench.publish` renders pages and JSON from the same table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

from bench.board.column import Column, Group, Row
from bench.board.format import printable
from bench.board.table import BoardTable

Field = str | int | float | bool | None

INERT = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""First characters that make a spreadsheet read a cell as a formula."""

_BREAKS = re.compile("[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")


def board_csv(tables: Sequence[BoardTable], keys: Sequence[str] = ()) -> bytes:
    """Boards as one CSV table with numbers in full precision: a row for each entry and target.

    Args:
        tables: Of all targets that the CSV has.
        keys: Columns to keep, in this order; all by default.

    Raises:
        BenchError: A key is unknown (``column-unknown``).
    """
    columns = {c.key: c for table in tables for c in (table.choose(keys) if keys else table.columns)}
    order = list(Group)
    ordered = list(columns.values())
    if not keys:  # a target's own columns come between those that it shares with others
        ordered.sort(key=lambda column: order.index(column.group))
    rows: list[list[Field]] = [["target", *(name for column in ordered for name in column.csv_fields)]]
    for table in tables:
        for row in table.rows:
            cells = table.cells[row.slug]
            values = (value for column in ordered for value in column.csv_values(cells.get(column.key)))
            rows.append([table.target, *values])
    return csv_bytes(rows)


def csv_bytes(rows: Iterable[Sequence[Field]]) -> bytes:
    """Rows as UTF-8 CSV, a line each. A text that a spreadsheet would run begins with an apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([None if v is None else _writer(type(v))(v) for v in row] for row in rows)  # type: ignore[arg-type]
    return buffer.getvalue().encode()


def inert(text: str) -> str:
    """`text` such that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(INERT) or text.startswith(INERT) else text


@lru_cache(maxsize=4096)
def _text(text: str) -> str:
    """A text as one inert line; labels and reasons come back in every row."""
    return inert(_BREAKS.sub(" ", printable(text)))


_WRITTEN: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (str, _text),
    (bool, {True: "yes", False: "no"}.__getitem__),
    (Integral, str),
    (Real, "{:.9g}".format),
)
"""How a field is written: by the first type that it is of, since a bool is an int. None is an empty field."""


@lru_cache(maxsize=64)
def _writer(kind: type) -> Callable[[Any], str]:
    return next(write for base, write in _WRITTEN if issubclass(kind, base))


def texts(table: BoardTable, columns: Sequence[Column]) -> tuple[list[list[str]], tuple[str, ...]]:
    """The cells as one-line texts, a list for each row, and the footnotes that marks such as `[1]` name."""
    reasons = table.reasons(columns)
    marks = {reason: f" [{number}]" for number, reason in enumerate(reasons, 1)}

    def text(row: Row, column: Column) -> str:
        cell = table.cell(row, column)
        return " ".join(printable(column.full_text(cell) + marks.get(cell.reason, "")).split())

    return [[text(row, column) for column in columns] for row in table.rows], reasons


def board_markdown(table: BoardTable, columns: Sequence[Column]) -> str:
    """The table in Markdown, its footnotes below."""
    rows, reasons = texts(table, columns)
    lines = [
        [markdown(column.label) for column in columns],
        ["---:" if column.numeric else "---" for column in columns],
        *([markdown(text) for text in row] for row in rows),
    ]
    notes = "\n".join(f"{number}. {markdown(reason)}" for number, reason in enumerate(reasons, 1))
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{body}\n\n{notes}" if notes else body


def markdown(text: str) -> str:
    """`text` without any effect on the table or the page: markup is escaped."""
    return text.translate(_MARKDOWN)


_MARKDOWN = str.maketrans(
    {character: f"\\{character}" for character in r"\`*_{}[]|~"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
)


def board_latex(table: BoardTable, columns: Sequence[Column]) -> str:
    """The table as a LaTeX ``tabular`` for the package booktabs, its footnotes below."""
    rows, reasons = texts(table, columns)
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in columns)}}}",
        r"\toprule",
        _latex_row([column.label for column in columns]),
        r"\midrule",
        *(_latex_row(row) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par {{[}}{number}{{]}} {latex(reason)}" for number, reason in enumerate(reasons, 1)),
    ]
    return "\n".join(lines)


def _latex_row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(latex(cell).replace('[', '{[}').replace(']', '{]}') for cell in cells)} \\"


_SPECIAL = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "$": r"\$", "#": r"\#"}
_SPECIAL |= {"_": r"\_", "^": r"\^{}", "~": r"\~{}", "−": "$-$", "–": "--", "<": "$<$", ">": "$>$"}


def latex(text: str) -> str:
    """`text` on one line with every special character of LaTeX escaped."""
    return "".join(_SPECIAL.get(character, character) for character in re.sub(r"\s+", " ", text))
