"""View of an entry for 1,000 patients: natural frequencies, and other prevalences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from bench.board.format import percent
from bench.publish.charts.icons import icon_array
from bench.scoring.scorecard import Point, TargetScore

SENSITIVITIES = (0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
PREVALENCES = (0.02, 0.05, 0.1, 0.4)
RULE = "sensitivity 0.9"
CHOSEN = 0.9
"""Sensitivity of the operating point whose threshold may come from the val images."""


@dataclass(frozen=True, slots=True)
class Shift:
    """An operating point at one prevalence: counts per 1,000 patients, as text."""

    sick: str
    flagged: str
    right: str
    per_case: str
    missed: str
    current: bool


@dataclass(frozen=True, slots=True)
class Frequencies:
    """Counts per 1,000 patients like those of the test set, at one sensitivity.

    Attributes:
        wanted: The sensitivity as text.
        found: Patients with the finding who are flagged.
        missed: Those who are not.
        alarms: Patients without it who are flagged.
        cleared: Those who are not.
        per_case: Flagged patients for each one found, as text.
        icons: The same as squares.
        shifts: The same threshold at other prevalences.
        chosen_on: Images on which the threshold was chosen.
    """

    wanted: str
    found: int
    missed: int
    alarms: int
    cleared: int
    per_case: str
    icons: Markup
    shifts: tuple[Shift, ...]
    chosen_on: str

    @property
    def flagged(self) -> int:
        """All flagged patients."""
        return self.found + self.alarms


def frequencies(score: TargetScore | None) -> tuple[Frequencies, ...]:
    """One for each of six sensitivities; empty without a ROC curve."""
    if score is None or not score.roc or not score.prevalence:
        return ()
    return tuple(_at(score, score.prevalence, wanted) for wanted in SENSITIVITIES)


def _at(score: TargetScore, prevalence: float, wanted: float) -> Frequencies:
    point = next((p for p in score.operating_points if p.rule == RULE), None)
    sensitivity, alarm_rate, chosen_on = wanted, false_positive_rate(score.roc, wanted), "test"
    known = (point.sensitivity.value, point.specificity.value) if point and wanted == CHOSEN else (None, None)
    if point and known[0] is not None and known[1] is not None:
        sensitivity, alarm_rate, chosen_on = known[0], 1 - known[1], point.chosen_on
    sick = round(1000 * prevalence)
    found = round(1000 * prevalence * sensitivity)
    alarms = round(1000 * (1 - prevalence) * alarm_rate)
    counts = (found, sick - found, alarms, 1000 - sick - alarms)
    words = f"{found} found, {sick - found} missed, {alarms} false alarms, {counts[3]} rightly cleared"
    shown = sorted({*PREVALENCES, prevalence})
    return Frequencies(
        wanted=percent(wanted, 0),
        found=counts[0],
        missed=counts[1],
        alarms=counts[2],
        cleared=counts[3],
        per_case=_per_case(found + alarms, found),
        icons=icon_array(counts, words),
        shifts=tuple(_shift(p, sensitivity, alarm_rate, p == prevalence) for p in shown),
        chosen_on=chosen_on,
    )


def _shift(prevalence: float, sensitivity: float, alarm_rate: float, current: bool) -> Shift:
    sick = round(1000 * prevalence)
    found, alarms = round(1000 * prevalence * sensitivity), round(1000 * (1 - prevalence) * alarm_rate)
    flagged = found + alarms
    return Shift(
        sick=f"{sick} in 1,000",
        flagged=f"{flagged:,}",
        right=percent(found / flagged, 0) if flagged else "–",
        per_case=_per_case(flagged, found),
        missed=f"{sick - found}",
        current=current,
    )


def _per_case(flagged: int, found: int) -> str:
    return f"{flagged / found:.1f}" if found else "–"


def false_positive_rate(roc: Sequence[Point], sensitivity: float) -> float:
    """False positive rate at which the curve reaches a sensitivity, by linear interpolation.

    Args:
        roc: Points of a ROC curve, x and y never falling, from (0, 0) to (1, 1).
        sensitivity: Between 0 and 1.
    """
    for before, after in pairwise(roc):
        if after.y >= sensitivity:
            rise = after.y - before.y
            share = (sensitivity - before.y) / rise if rise > 0 else 0.0
            return before.x + max(share, 0.0) * (after.x - before.x)
    return 1.0
