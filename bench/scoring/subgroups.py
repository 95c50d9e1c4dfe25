"""Subgroups of the test images, and how far each is from all other images."""

from __future__ import annotations

from bench.metrics.recalibration_line import IDEAL, Line
from bench.metrics.results import Estimate
from bench.metrics.validation import Floats
from bench.scoring.operating_points import decisions_at, threshold_of
from bench.scoring.plan import Cell, Rows, TargetPlan
from bench.scoring.scorecard import OperatingPoint, SubgroupScore
from bench.uncertainty.bootstrap import PatientBootstrap
from bench.uncertainty.estimates import Scored, gap_metrics, subgroup_gap
from bench.uncertainty.evaluate import prepare, summarise
from bench.uncertainty.replicates import replicate_together


class _Parts:
    """Sets of images, each prepared once: two subgroups that divide all images are each other's rest."""

    def __init__(
        self, target: TargetPlan, scores: Floats, probabilities: bool, level: float, line: Line
    ) -> None:
        self._target, self._scores, self._line = target, scores, line
        self._probabilities, self._level = probabilities, level
        self._prepared: dict[bytes, Scored] = {}
        self.gaps = gap_metrics(probabilities)

    def prepared(self, rows: Rows, bootstrap: PatientBootstrap) -> Scored:
        key = rows.tobytes()
        if key not in self._prepared:
            labels, scores = self._target.labels[rows], self._scores[rows]
            self._prepared[key] = prepare(
                labels,
                scores,
                bootstrap,
                probabilities=self._probabilities,
                level=self._level,
                metrics=gap_metrics(),
                start=self._line,
            )
        return self._prepared[key]

    def replicate(self) -> None:
        """Compute the replicates of all parts in one pass over the draws."""
        for cell in self._target.cells:
            for rows, bootstrap in ((cell.inside, cell.bootstrap), (cell.rest, cell.rest_bootstrap)):
                if bootstrap is not None:
                    self.prepared(rows, bootstrap)
        replicate_together([part.replicates for part in self._prepared.values()], self._probabilities)


def score_subgroups(
    target: TargetPlan,
    scores: Floats,
    *,
    probabilities: bool,
    level: float,
    line: Line = IDEAL,
    common: OperatingPoint | None = None,
) -> list[SubgroupScore]:
    """Every subgroup of one target.

    Args:
        target: The target's plan.
        scores: (n,) predictions of the target's images.
        probabilities: Whether they are probabilities.
        level: Nominal coverage.
        line: Calibration line of all images, from which the fits of the subgroups begin.
        common: Operating point of all images, at which each subgroup's decisions are shown.
    """
    parts = _Parts(target, scores, probabilities, level, line)
    parts.replicate()
    by_cell = [_score(cell, target, parts, probabilities, level) for cell in target.cells]
    if common is None:
        return by_cell
    cut = threshold_of(common, scores)
    return [
        score.model_copy(
            update={
                "decisions": decisions_at(
                    common,
                    cut,
                    target.labels[cell.inside],
                    scores[cell.inside],
                    cell.bootstrap,
                    level,
                )
            }
        )
        if cell.bootstrap is not None
        else score
        for score, cell in zip(by_cell, target.cells, strict=True)
    ]


def _score(cell: Cell, target: TargetPlan, parts: _Parts, probabilities: bool, level: float) -> SubgroupScore:
    heading = {
        "target": target.target.name,
        "division": cell.division,
        "division_label": cell.division_label,
        "level": cell.level,
    }
    if cell.bootstrap is None:
        return SubgroupScore(**heading, suppressed=True, reason=cell.reason)
    summary = summarise(parts.prepared(cell.inside, cell.bootstrap), probabilities, gap_metrics())
    return SubgroupScore(
        **heading,
        suppressed=False,
        images=summary.images,
        patients=summary.patients,
        positives=summary.positives,
        metrics={name: summary[name] for name in gap_metrics()},
        gaps=_gaps(cell, cell.bootstrap, parts, level),
    )


def _gaps(cell: Cell, bootstrap: PatientBootstrap, parts: _Parts, level: float) -> dict[str, Estimate]:
    if cell.rest_bootstrap is None:
        nothing = Estimate(None, reason=f"the rest: {cell.rest_reason}")
        return dict.fromkeys(parts.gaps, nothing)
    inside, outside = parts.prepared(cell.inside, bootstrap), parts.prepared(cell.rest, cell.rest_bootstrap)
    return {name: subgroup_gap(inside, outside, name, level) for name in parts.gaps}
