"""Arrays of one target, and what several metrics compute from them, each computed once when first needed."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from bench.metrics import influence
from bench.metrics.calibration import logit
from bench.metrics.recalibration_line import IDEAL, Line, fit_line, fit_shift, line_deletions, shift_deletions
from bench.metrics.regression import Agreement, agreement
from bench.metrics.score_ranking import ScoreRanking
from bench.metrics.validation import Bools, Floats, Ints


class LabelledScores:
    """Labels and scores of the images that count: the argument of every metric of a binary target.

    Args:
        positive: (n,) labels.
        score: (n,) finite scores; probabilities where the metric needs them.
        weight: (n,) positive row weights, or None where all images count the same.
        start: Where the fit of the calibration line begins.
        ranking: The images sorted by score, where they are sorted already.
    """

    def __init__(
        self,
        positive: Bools,
        score: Floats,
        weight: Floats | None = None,
        start: Line = IDEAL,
        ranking: ScoreRanking | None = None,
    ) -> None:
        self.positive, self.score, self.weight, self.start = positive, score, weight, start
        if ranking is not None:
            self.ranking = ranking
        self.positives = int(np.count_nonzero(positive))
        self.negatives = len(score) - self.positives

    def __len__(self) -> int:
        return len(self.score)

    @property
    def arrays(self) -> tuple[Bools, Floats, Floats | None]:
        """Labels, scores and weights, as the pure functions take them."""
        return self.positive, self.score, self.weight

    @property
    def unit(self) -> Floats:
        """(n,) row weights, ones where none were given."""
        return influence.row_units(self.positive, self.weight)

    @property
    def missing(self) -> str:
        """Reason why nothing that needs both classes is defined; empty where both are there."""
        if not len(self.score):
            return "no images"
        if not self.positives:
            return "no positive image"
        return "" if self.negatives else "no negative image"

    @cached_property
    def ranking(self) -> ScoreRanking:
        """The images sorted by score."""
        return ScoreRanking.of(*self.arrays)

    @cached_property
    def auroc_influence(self) -> Floats:
        """(n,) influence on the AUROC, where there are both classes."""
        return influence.auroc(self.ranking)

    @cached_property
    def squared_errors(self) -> Floats:
        """(n,) squared distance of probability and label."""
        return (self.score - self.positive) ** 2

    @cached_property
    def log_odds(self) -> Floats:
        """(n,) logit of the probabilities."""
        return logit(self.score)

    @cached_property
    def line(self) -> Line | None:
        """The calibration line; None without a finite maximum-likelihood fit."""
        return fit_line(self.positive, self.log_odds, self.weight, self.start)

    @cached_property
    def shift(self) -> float | None:
        """The calibration in the large; None with one class."""
        return fit_shift(self.positive, self.log_odds, self.weight)

    @cached_property
    def line_influence(self) -> tuple[Floats, Floats]:
        """(n,) and (n,) influence on slope and intercept, where there is a line."""
        assert self.line is not None
        return influence.line(self.positive, self.score, self.line, self.weight)

    @cached_property
    def shift_influence(self) -> Floats:
        """(n,) influence on the calibration in the large, where it is defined."""
        assert self.shift is not None
        return influence.shift(self.positive, self.score, self.shift, self.weight)

    def line_deletions(self, patient: Ints) -> Floats:
        """(2, P) changes of slope and intercept without each patient, where there is a line.

        Args:
            patient: (n,) whole numbers from 0 without gaps.
        """
        assert self.line is not None
        return line_deletions(self.positive, self.log_odds, self.line, patient, self.weight)

    def shift_deletions(self, patient: Ints) -> Floats:
        """(P,) changes of the calibration in the large without each patient, where it is defined."""
        assert self.shift is not None
        return shift_deletions(self.positive, self.log_odds, self.shift, patient, self.weight)


class MeasuredPairs:
    """Measured and predicted values: the argument of every metric of a continuous target.

    Args:
        truth: (n,) measured values.
        prediction: (n,) predicted values, in the same unit.
        weight: (n,) positive row weights, or None where all images count the same.
    """

    def __init__(self, truth: Floats, prediction: Floats, weight: Floats | None = None) -> None:
        self.truth, self.prediction, self.weight = truth, prediction, weight

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def missing(self) -> str:
        """Reason why nothing is defined; empty where there are images."""
        return "" if len(self.truth) else "no images"

    @cached_property
    def agreement(self) -> Agreement:
        """Every figure of agreement."""
        return agreement(self.truth, self.prediction, self.weight)
