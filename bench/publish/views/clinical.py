"""View of an entry in use: yield, calibration in figures, sliding thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.board.format import decimal, estimate, percent, sentence
from bench.publish.views.audit import Row
from bench.scoring.scorecard import Scorecard, SlidingThreshold, TargetScore


def clinical_view(card: Scorecard | None, scores: Sequence[TargetScore], headline: str) -> dict[str, Any]:
    """The template's values; empty tables where there is nothing to show.

    Args:
        card: The entry's scorecard, None for a reported entry.
        scores: Its targets in the order of the page.
        headline: The target whose subgroups are shown.
    """
    yielding = [score for score in scores if score.detection_yield]
    shares = [f"{100 * point.examined:g}%" for point in yielding[0].detection_yield] if yielding else []
    return {
        "yields": [row for score in yielding for row in _yield(score)],
        "yield_shares": shares,
        "calibration_figures": [
            _calibration(score)
            for score in scores
            if score.smooth_calibration or score.brier_skill or score.brier_parts
        ],
        "sliding": [_sliding(one) for one in card.sliding] if card else [],
        "label_efficiency": _label_efficiency(card) if card else [],
        "runs": [row for score in scores for row in _runs(score)],
        "at_threshold": _at_threshold(card, headline),
    }


def _yield(score: TargetScore) -> list[Row]:
    found = tuple(f"{point.per_100:.1f} ({percent(point.found)})" for point in score.detection_yield)
    random = "–" if score.prevalence is None else f"{100 * score.prevalence:.1f}"
    return [Row(score.label, (random, *found))]


def _calibration(score: TargetScore) -> Row:
    """Distances from the smooth curve, skill, and the three parts of the Brier score."""
    smooth, skill, parts = score.smooth_calibration, score.brier_skill, score.brier_parts
    distances = (smooth.ici, smooth.e50, smooth.e90, smooth.emax) if smooth else (None,) * 4
    brier = (parts.miscalibration, parts.discrimination, parts.uncertainty) if parts else (None,) * 3
    words = "n/a" if skill is None or skill.value is None else estimate(skill)
    return Row(score.label, (*map(decimal, distances), words, *map(decimal, brier)))


def _runs(score: TargetScore) -> list[Row]:
    """Number of runs, mean, spread, share of the variance that is between runs, and each run's AUROC."""
    runs = score.runs
    if runs is None:
        return []
    total = None
    if runs.patient_variance is not None and runs.run_variance is not None:
        total = runs.patient_variance + runs.run_variance / runs.count
    share = (
        percent(runs.run_variance / runs.count / total) if total and runs.run_variance is not None else "–"
    )
    each = ", ".join(map(decimal, runs.auroc)) or "withheld"
    sd = "–" if runs.sd is None else decimal(runs.sd, 4)
    return [Row(score.label, (str(runs.count), estimate(score.ranked), sd, share, each))]


def _label_efficiency(card: Scorecard) -> list[Row]:
    return [
        Row(
            f"{score.label}, {100 * point.fraction:g}%",
            (str(point.draws), estimate(point.auroc), decimal(point.draw_sd)),
        )
        for score in card.targets
        for point in card.label_efficiency
        if point.target == score.target
    ]


def _sliding(one: SlidingThreshold) -> tuple[str, list[Row]]:
    rows = [
        Row(
            f"above {point.threshold:g} {one.unit}",
            (
                "–" if point.positives is None else f"{point.positives:,}",
                sentence(point.auroc.reason) if point.auroc.value is None else estimate(point.auroc),
            ),
        )
        for point in one.points
    ]
    return one.label, rows


def _at_threshold(card: Scorecard | None, headline: str) -> list[Row]:
    """Sensitivity and specificity of each subgroup at the threshold that all share."""
    if card is None:
        return []
    return [
        Row(
            f"{group.division_label}: {group.level}",
            tuple(estimate(group.decisions.get(name)) for name in ("sensitivity", "specificity")),
        )
        for group in card.subgroups
        if group.target == headline and group.decisions
    ]
