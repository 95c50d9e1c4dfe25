"""Curves of a scorecard, coarse enough that no image's label can be read off a curve.

Stored predictions are public and in a known order. A full ROC curve would then tell the label of every image
to anyone who lines up its steps with the sorted scores. Every curve is therefore cut at the same few places,
between any two of which at least `cell` images of each class lie, and interpolated in between; `cell` is 0
where labels are public.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.metrics.validation import Floats
from bench.scoring.scorecard import DecisionPoint, Point, ReliabilityBin, ScoreDistribution
from bench.uncertainty.curves import benefit_influence, bin_shares
from bench.uncertainty.intervals import sandwich_interval
from bench.uncertainty.sample import Sample

Places = npt.NDArray[np.intp]

MOST_POINTS = 200
THRESHOLDS = np.arange(1, 51) / 100
BINS = 15
CLASS_BINS = 20


class Cuts:
    """The images by falling score, and the places where curves may be cut.

    Attributes:
        score: (n,) falling scores.
        rank: (n,) place of every image among them, from 0.
        hits: (n + 1,) positives among the first k images.
        places: Allowed numbers k of images at or above a cut, from 0 to n.
    """

    def __init__(self, labels: Floats, score: Floats, cell: int) -> None:
        order = np.argsort(-score, kind="stable")
        self.score = score[order]
        self.rank = np.empty(len(score), np.intp)
        self.rank[order] = np.arange(len(score))
        self.hits = np.concatenate([[0], np.cumsum(labels[order] == 1)])
        self.cell = cell
        self.places = self._places()

    def _places(self) -> Places:
        n = len(self.score)
        ends = np.flatnonzero(np.append(self.score[1:] != self.score[:-1], True)) + 1
        if not self.cell:
            return np.concatenate([[0], ends])
        kept = [0]
        for end in ends:
            hits = self.hits[end] - self.hits[kept[-1]]
            if min(hits, end - kept[-1] - hits) >= self.cell:
                kept.append(int(end))
        rest = self.hits[n] - self.hits[kept[-1]]
        if kept[-1] != n and len(kept) > 1 and min(rest, n - kept[-1] - rest) < self.cell:
            kept.pop()  # what is left over joins the last step
        return np.array(kept + ([n] if kept[-1] != n else []))

    def snap(self, wanted: Places) -> Places:
        """For each wanted place the nearest allowed one."""
        right = np.searchsorted(self.places, wanted).clip(1, len(self.places) - 1)
        low, high = self.places[right - 1], self.places[right]
        nearest: Places = np.where(wanted - low < high - wanted, low, high)
        return nearest

    def positives_above(self, k: npt.ArrayLike) -> Floats:
        """Positives among the first `k` images, as far as the allowed places tell: linear between them."""
        shown: Floats = np.interp(np.asarray(k, np.float64), self.places, self.hits[self.places])
        return shown

    def above(self, threshold: npt.ArrayLike) -> Places:
        """How many scores are at or above each threshold."""
        return np.searchsorted(-self.score, -np.asarray(threshold, np.float64), side="right")


def _thinned(places: Places) -> Places:
    if len(places) <= MOST_POINTS:
        return places
    return places[np.linspace(0, len(places) - 1, MOST_POINTS).round().astype(np.intp)]


def roc(cuts: Cuts) -> tuple[Point, ...]:
    """False positive rate against sensitivity, from (0, 0) to (1, 1)."""
    k = _thinned(cuts.places)
    tp, n, m = cuts.hits[k], len(cuts.score), cuts.hits[-1]
    return tuple(Point(x=float(x), y=float(y)) for x, y in zip((k - tp) / (n - m), tp / m, strict=True))


def precision_recall(cuts: Cuts) -> tuple[Point, ...]:
    """Sensitivity against precision, by falling threshold."""
    k = _thinned(cuts.places)[1:]
    tp, m = cuts.hits[k], cuts.hits[-1]
    return tuple(Point(x=float(x), y=float(y)) for x, y in zip(tp / m, tp / k, strict=True))


def decision(cuts: Cuts, sample: Sample, level: float) -> tuple[DecisionPoint, ...]:
    """Net benefit at thresholds from 1% to 50%; between two allowed places positives are interpolated.

    Vickers & Elkin 2006: (TP - FP · t / (1 - t)) / n. The interval has the standard error of acting on the
    images above the nearest allowed place.
    """
    n, m = len(cuts.score), int(cuts.hits[-1])
    points = []
    wanted = cuts.above(THRESHOLDS)
    for threshold, k, allowed in zip(THRESHOLDS, wanted, cuts.snap(wanted), strict=True):
        tp, odds = float(cuts.positives_above(k)), threshold / (1 - threshold)
        benefit = float((tp - (k - tp) * odds) / n)
        called = cuts.rank < allowed
        found = sandwich_interval(benefit, benefit_influence(sample, called, float(threshold)), level)
        points.append(
            DecisionPoint(
                threshold=float(threshold),
                net_benefit=benefit,
                low=found.low,
                high=found.high,
                treat_all=float((m - (n - m) * odds) / n),
            )
        )
    return tuple(points)


def reliability(
    cuts: Cuts, labels: Floats, score: Floats, sample: Sample, level: float
) -> tuple[ReliabilityBin, ...]:
    """Observed frequency in about equal-width bins of the prediction, edges moved to allowed places.

    The band holds Wilson's interval of each bin at its effective sample size.
    """
    edges = np.unique(cuts.snap(cuts.above(np.arange(1, BINS) / BINS)))
    edges = np.unique(np.concatenate([[0], edges, [len(score)]]))
    bins = len(edges) - 1
    index = bins - np.searchsorted(edges, cuts.rank, side="right")
    found = []
    for b, share in enumerate(bin_shares(sample, index, bins, level)):
        chosen = index == b
        found.append(
            ReliabilityBin(
                low=float(score[chosen].min()),
                high=float(score[chosen].max()),
                images=int(chosen.sum()),
                mean_prediction=float(score[chosen].mean()),
                observed=float(labels[chosen].mean()),
                observed_low=share.low,
                observed_high=share.high,
            )
        )
    return tuple(found)


def distribution(cuts: Cuts) -> ScoreDistribution:
    """Shares of each class in equal-width bins; between two allowed places positives are interpolated."""
    low, high = float(cuts.score[-1]), float(cuts.score[0])
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    edges = np.linspace(low, high if high > low else low + 1, CLASS_BINS + 1)
    above = np.concatenate([cuts.above(edges[:-1]), [0]])
    hits = cuts.positives_above(above)
    return ScoreDistribution(
        low=low,
        high=float(edges[-1]),
        positive=tuple(float(share) for share in -np.diff(hits) / hits[0]),
        negative=tuple(float(share) for share in -np.diff(above - hits) / (above[0] - hits[0])),
    )
