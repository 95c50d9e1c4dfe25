"""Scales and ticks of the charts: from values to positions, and the round numbers between."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Linear:
    """Linear scale from `low`…`high` to `start`…`end`; values outside are drawn at the edge.

    Attributes:
        low: Smallest value shown, below `high`.
        high: Largest value shown.
        start: Position of `low`.
        end: Position of `high`; may be smaller than `start`, as on a vertical axis.
    """

    low: float
    high: float
    start: float
    end: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"an axis from {self.low} to {self.high} has no length")

    def __call__(self, value: float) -> float:
        """The position of `value`."""
        inside = self.low if value < self.low else self.high if value > self.high else value
        return self.start + (self.end - self.start) / (self.high - self.low) * (inside - self.low)

    def positions(self, values: Sequence[float]) -> list[float]:
        """The positions of many values."""
        low, high, start = self.low, self.high, self.start
        factor = (self.end - start) / (high - low)
        return [
            start + factor * ((low if value < low else high if value > high else value) - low)
            for value in values
        ]

    def ticks(self, count: int = 5) -> tuple[float, ...]:
        """About `count` round values within the axis."""
        step = round_step((self.high - self.low) / max(count, 1))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(round(index * step, 12) + 0.0 for index in range(first, last + 1))


@dataclass(frozen=True, slots=True)
class Log:
    """Logarithmic scale from `low`…`high`, both above 0, to `start`…`end`."""

    low: float
    high: float
    start: float
    end: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high:
            raise ValueError(f"a log axis from {self.low} to {self.high} cannot be drawn")

    def __call__(self, value: float) -> float:
        """The position of `value`."""
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def positions(self, values: Sequence[float]) -> list[float]:
        """The positions of many values."""
        return [self(value) for value in values]

    def ticks(self) -> tuple[float, ...]:
        """The values 1, 2 and 5 times a power of ten within the axis; only powers on a long axis."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        digits = (1, 2, 5) if last - first <= 4 else (1,)
        values = (float(f"{digit}e{power}") for power in range(first, last + 1) for digit in digits)
        return tuple(v for v in values if self.low * (1 - 1e-9) <= v <= self.high * (1 + 1e-9))


def log_domain(values: Iterable[float]) -> tuple[float, float]:
    """The nearest values 1, 2 or 5 times a power of ten strictly around all `values`, which are above 0."""
    known = list(values)
    lowest, highest = min(known), max(known)
    first, last = math.floor(math.log10(lowest)) - 1, math.ceil(math.log10(highest)) + 1
    steps = [float(f"{digit}e{power}") for power in range(first, last + 1) for digit in (1, 2, 5)]
    return max(s for s in steps if s < lowest), min(s for s in steps if s > highest)


def round_step(rough: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    for digit in (1.0, 2.0, 2.5, 5.0):
        if digit * power >= rough * (1 - 1e-9):
            return digit * power
    return 10.0 * power


def domain(
    values: Iterable[float | None],
    *,
    within: tuple[float, float] = (-math.inf, math.inf),
    margin: float = 0.04,
    least: float = 0.1,
) -> tuple[float, float]:
    """Round limits that hold all `values`, at least `least` apart and inside `within`.

    Without any value the limits are those of `within` where finite, else 0 and 1.
    """
    known = [value for value in values if value is not None]
    if not known:
        low, high = within
        return (low if math.isfinite(low) else 0.0, high if math.isfinite(high) else 1.0)
    low, high = min(known), max(known)
    spread = max(high - low, least)
    middle = (low + high) / 2
    low, high = middle - spread * (0.5 + margin), middle + spread * (0.5 + margin)
    step = round_step((high - low) / 20)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    low, high = max(low, within[0]), min(high, within[1])
    return round(low, 12), round(high, 12)


def tick_texts(ticks: Iterable[float]) -> tuple[str, ...]:
    """The ticks as text, all with the decimals that the finest of them needs."""
    values = tuple(ticks)
    decimals = max((_decimals(value) for value in values), default=0)
    return tuple(f"{value:.{decimals}f}".replace("-", "−") for value in values)


def _decimals(value: float) -> int:
    text = f"{value:.10f}".rstrip("0")
    return len(text.partition(".")[2])
