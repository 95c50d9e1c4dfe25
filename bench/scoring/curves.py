"""Curves of a scorecard, coarsened so that no image's label can be read from them.

Stored predictions are public and in a known order, so a full ROC curve would reveal every image's label
by its steps along the sorted scores. All curves therefore share a few cuts with at least `cell` images per
class between neighbours, and are interpolated in between; `cell` is 0 if labels are public.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.metrics.score_ranking import falling_order
from bench.metrics.validation import Floats
from bench.scoring.scorecard import DecisionPoint, Point, ReliabilityBin, ScoreDistribution
from bench.uncertainty.curves import benefit_intervals, bin_shares
from bench.uncertainty.sample import Sample

Places = npt.NDArray[np.intp]

MOST_POINTS = 200
THRESHOLDS = np.arange(1, 51) / 100
BINS = 15
CLASS_BINS = 20


class Cuts:
    """Images in order of decreasing score, and the allowed cuts of curves.

    Attributes:
        score: (n,) decreasing scores.
        rank: (n,) rank of every image among them, from 0.
        hits: (n + 1,) positives among the first k images.
        places: Allowed numbers k of images at or above a cut, from 0 to n.
    """

    def __init__(self, labels: Floats, score: Floats, cell: int) -> None:
        order = falling_order(score)
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
        cut_places = [0]
        for end in ends:
            hits = self.hits[end] - self.hits[cut_places[-1]]
            if min(hits, end - cut_places[-1] - hits) >= self.cell:
                cut_places.append(int(end))
        rest = self.hits[n] - self.hits[cut_places[-1]]
        if cut_places[-1] != n and len(cut_places) > 1 and min(rest, n - cut_places[-1] - rest) < self.cell:
            cut_places.pop()  # the remainder joins the last step
        return np.array(cut_places + ([n] if cut_places[-1] != n else []))

    def snap(self, requested: Places) -> Places:
        """Return the nearest allowed cut for each requested one."""
        right = np.searchsorted(self.places, requested).clip(1, len(self.places) - 1)
        low, high = self.places[right - 1], self.places[right]
        nearest: Places = np.where(requested - low < high - requested, low, high)
        return nearest

    def positives_above(self, k: npt.ArrayLike) -> Floats:
        """Estimate the positives among the first `k` images by linear interpolation between allowed cuts."""
        shown: Floats = np.interp(np.asarray(k, np.float64), self.places, self.hits[self.places])
        return shown

    def above(self, threshold: npt.ArrayLike) -> Places:
        """Count the scores at or above each threshold."""
        return np.searchsorted(-self.score, -np.asarray(threshold, np.float64), side="right")


def _thinned(places: Places) -> Places:
    if len(places) <= MOST_POINTS:
        return places
    return places[np.linspace(0, len(places) - 1, MOST_POINTS).round().astype(np.intp)]


def roc(cuts: Cuts) -> tuple[Point, ...]:
    """Compute the ROC curve: false positive rate and sensitivity, from (0, 0) to (1, 1)."""
    k = _thinned(cuts.places)
    tp, n, m = cuts.hits[k], len(cuts.score), cuts.hits[-1]
    return tuple(Point(x=float(x), y=float(y)) for x, y in zip((k - tp) / (n - m), tp / m, strict=True))


def precision_recall(cuts: Cuts) -> tuple[Point, ...]:
    """Compute the precision-recall curve: sensitivity and precision, by decreasing threshold."""
    k = _thinned(cuts.places)[1:]
    tp, m = cuts.hits[k], cuts.hits[-1]
    return tuple(Point(x=float(x), y=float(y)) for x, y in zip(tp / m, tp / k, strict=True))


def decision(cuts: Cuts, sample: Sample, level: float) -> tuple[DecisionPoint, ...]:
    """Compute net benefit at thresholds from 1% to 50%, with positives interpolated between cuts.

    Vickers & Elkin 2006: (TP - FP · t / (1 - t)) / n. The limits of the CI are as far from the net benefit
    as those of acting on the images above the nearest allowed cut.
    """
    n, m = len(cuts.score), int(cuts.hits[-1])
    wanted, odds = cuts.above(THRESHOLDS), THRESHOLDS / (1 - THRESHOLDS)
    tp = cuts.positives_above(wanted)
    benefits = (tp - (wanted - tp) * odds) / n
    treat_all = (m - (n - m) * odds) / n
    calls = len(wanted) - np.searchsorted(cuts.snap(wanted)[::-1], cuts.rank, side="right")
    estimates = benefit_intervals(sample, calls, THRESHOLDS, benefits, level)
    columns = (THRESHOLDS.tolist(), benefits.tolist(), estimates, treat_all.tolist())
    return tuple(
        DecisionPoint(threshold=threshold, net_benefit=benefit, low=e.low, high=e.high, treat_all=of_all)
        for threshold, benefit, e, of_all in zip(*columns, strict=True)
    )


def reliability(
    cuts: Cuts, labels: Floats, score: Floats, sample: Sample, level: float
) -> tuple[ReliabilityBin, ...]:
    """Compute the observed frequency in nearly equal-width bins of the prediction, with allowed edges.

    The band is the Wilson CI of each bin at its effective sample size.
    """
    edges = np.unique(cuts.snap(cuts.above(np.arange(1, BINS) / BINS)))
    edges = np.unique(np.concatenate([[0], edges, [len(score)]]))
    bins = len(edges) - 1
    index = bins - np.searchsorted(edges, cuts.rank, side="right")
    reliability_bins = []
    for b, share in enumerate(bin_shares(sample, index, bins, level)):
        in_bin = index == b
        reliability_bins.append(
            ReliabilityBin(
                low=float(score[in_bin].min()),
                high=float(score[in_bin].max()),
                images=int(in_bin.sum()),
                mean_prediction=float(score[in_bin].mean()),
                observed=float(labels[in_bin].mean()),
                observed_low=share.low,
                observed_high=share.high,
            )
        )
    return tuple(reliability_bins)


def distribution(cuts: Cuts) -> ScoreDistribution:
    """Compute the share of each class in equal-width bins, with positives interpolated between cuts."""
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
