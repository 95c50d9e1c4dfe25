"""Two entries or files on the same images: the paired difference, target by target."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench.cohort.table import Cohort
from bench.documents import Document
from bench.errors import BenchError, Problem
from bench.scoring.plan import Track, make_plan
from bench.scoring.score import estimate
from bench.scoring.scorecard import Estimate
from bench.submission.manifest import SLUG_PATTERN
from bench.submission.pack import unpack
from bench.submission.predictions import Values, load_predictions
from bench.submission.store import find_submission
from bench.uncertainty.compare import compare
from bench.uncertainty.evaluate import evaluate


class TargetComparison(Document):
    """One target: both AUROCs and their paired difference A − B; null with a reason where undefined."""

    target: str
    label: str
    auroc_a: Estimate
    auroc_b: Estimate
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    reason: str
    order_differs: int


class Side:
    """One side of a comparison: predictions in canonical order of a track's images."""

    def __init__(self, values: dict[str, Values], track: Track) -> None:
        self.values = values
        self.track = track


def read_either(name: str, folder: Path, cohort: Cohort) -> Side:
    """The predictions of a stored entry (by slug) or of a file; scores need not be probabilities.

    Raises:
        BenchError: Neither an entry nor a valid file.
    """
    path = Path(name)
    if path.is_file() or not re.fullmatch(SLUG_PATTERN, name):
        return Side(load_predictions(path, cohort, scores="uncalibrated").values, "holdout")
    entry = find_submission(folder, name)
    if entry.manifest.kind == "reported":
        message = f"{name!r} holds published numbers only, no predictions."
        raise BenchError(Problem("compare-impossible", message))
    track = entry.manifest.track
    return Side(unpack(entry.predictions, cohort, track), track)


def compare_predictions(
    cohort: Cohort, a: Side, b: Side, *, replicates: int = 2000, seed: int = 0
) -> list[TargetComparison]:
    """Compares two sides on every binary target that both predict.

    Raises:
        BenchError: The sides are of different tracks, or share no target (``compare-impossible``).
    """
    if a.track != b.track:
        message = f"A is of the {a.track} track, B of the {b.track} track: other images."
        raise BenchError(Problem("compare-impossible", message))
    plan = make_plan(cohort, track=a.track, replicates=replicates, seed=seed)
    found = []
    for target in plan.targets:
        name = target.target.name
        if name not in a.values or name not in b.values:
            continue
        y, boot = target.labels, target.bootstrap
        p_a, p_b = a.values[name][target.rows], b.values[name][target.rows]
        areas = [estimate(evaluate(y, p, bootstrap=boot, probabilities=False).auroc) for p in (p_a, p_b)]
        paired = compare(y, p_a, p_b, bootstrap=boot)
        found.append(
            TargetComparison(
                target=name,
                label=target.target.label,
                auroc_a=areas[0],
                auroc_b=areas[1],
                difference=paired.difference,
                low=paired.low,
                high=paired.high,
                p_value=paired.p,
                reason=paired.reason,
                order_differs=_disagreements(y, p_a, p_b),
            )
        )
    if not found:
        raise BenchError(Problem("compare-impossible", "The two share no target."))
    return found


def _disagreements(y: Values, p_a: Values, p_b: Values) -> int:
    """Images on which the two differ when each calls as many images positive as there are positives."""
    positives = int(y.sum())
    calls = []
    for p in (p_a, p_b):
        call = np.zeros(len(p), bool)
        call[np.argsort(-p, kind="stable")[:positives]] = True
        calls.append(call)
    return int((calls[0] != calls[1]).sum())
