"""Display of results in notebooks: an HTML table, a DataFrame and a short `repr`, all from the same rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MISSING = "n/a"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    Attributes:
        caption: What it shows, in a few words.
        columns: Headings.
        rows: A text for each column.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def html(self) -> str:
        """Return the table as HTML; every text is escaped."""
        head = "".join(f'<th style="text-align: left">{escape(name)}</th>' for name in self.columns)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in self.rows)
        caption = f'<caption style="text-align: left">{escape(self.caption)}</caption>'
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    return f'<td style="text-align: left">{escape(text)}</td>'


class Displayed:
    """A result that notebooks show as tables; `records` and `tables` say which."""

    __slots__ = ()

    @abstractmethod
    def records(self) -> Sequence[Mapping[str, Any]]:
        """Return the rows of `to_frame` with every digit."""

    @abstractmethod
    def tables(self) -> Iterable[Table]:
        """Return what a notebook shows."""

    def to_frame(self) -> pd.DataFrame:
        """Return the result as a DataFrame with every digit; needs pandas.

        Raises:
            ImportError: pandas is not installed.
        """
        return frame(self.records())

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return "".join(table.html() for table in self.tables())


def frame(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return records as a DataFrame, columns in the order of the first record.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        message = "A DataFrame needs pandas, which is not installed: pip install 'chexchobench[board]'"
        raise ImportError(message) from error
    return pd.DataFrame.from_records(list(records))


def estimate_text(value: float | None, low: float | None, high: float | None, reason: str = "") -> str:
    """Return ``0.8541 (0.7764 to 0.9082)``, or why value or interval is missing."""
    if value is None:
        return f"{MISSING} ({reason})" if reason else MISSING
    if low is None or high is None:
        return f"{value:.4g} ({reason})" if reason else f"{value:.4g}"
    return f"{value:.4g} ({low:.4g} to {high:.4g})"
