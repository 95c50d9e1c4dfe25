"""Figures as text in tables of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.scoring.scorecard import Estimate


def interval(estimate: Estimate, digits: int = 3) -> str:
    """An estimate as text: value and interval, or why there is none."""
    if estimate.value is None:
        return f"– ({estimate.reason})"
    value = f"{estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return f"{value} (no interval)"
    return f"{value} ({estimate.low:.{digits}f}–{estimate.high:.{digits}f})"


def figure(estimate: Estimate | None) -> str:
    """An estimate's value as text."""
    return "–" if estimate is None or estimate.value is None else f"{estimate.value:.3f}"


def difference(value: float | None, low: float | None, high: float | None) -> str:
    """A difference with its interval as text."""
    if value is None:
        return "–"
    if low is None or high is None:
        return f"{value:+.3f} (no interval)"
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
