"""Output heads of a network: training loss and predictions from raw outputs."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from baselines.networks.models import known_sex
from bench.cohort.spec import LabelRule

LEAST_SPREAD = 0.05  # smallest standard deviation of a measurement, which bounds the likelihood
LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)
ROOT_TWO = math.sqrt(2)


class Head(Protocol):
    """Interface of an output head.

    Attributes:
        labels: Targets or measurements to learn from, one column each.
        outputs: Number of raw outputs.
        columns: Predicted targets, one column each.
    """

    labels: tuple[str, ...]
    outputs: int
    columns: tuple[str, ...]

    def initial_bias(self, labels: Tensor) -> Tensor:
        """Compute initial raw outputs (outputs,) that predict the averages of the training labels."""

    def loss(self, raw: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss (n,) of each image; labels (n, len(labels)) are NaN if excluded."""

    def predictions(self, raw: Tensor, sex: Tensor | None) -> Tensor:
        """Compute predictions (n, len(columns)) from raw outputs and, if the recipe uses it, sex (n, 1)."""


class BinaryHead(nn.Module):
    """Head with one logit per target, trained by cross-entropy over the available labels."""

    def __init__(self, targets: tuple[str, ...]) -> None:
        super().__init__()
        self.labels = self.columns = targets
        self.outputs = len(targets)

    def initial_bias(self, labels: Tensor) -> Tensor:
        """Compute the log odds (outputs,) of each target among labels (n, targets)."""
        labelled = ~torch.isnan(labels)
        share = (torch.nan_to_num(labels).sum(0) + 0.5) / (labelled.sum(0) + 1)
        return torch.logit(share)

    def loss(self, raw: Tensor, labels: Tensor) -> Tensor:
        """Compute the mean cross-entropy (n,) over the labelled targets of each image, 0 without labels."""
        labelled = ~torch.isnan(labels)
        each = binary_cross_entropy_with_logits(raw, torch.nan_to_num(labels), reduction="none")
        return (each * labelled).sum(1) / labelled.sum(1).clamp(min=1)

    def predictions(self, raw: Tensor, sex: Tensor | None) -> Tensor:  # noqa: ARG002
        """Compute probabilities (n, targets)."""
        return torch.sigmoid(raw)


class EchoHead(nn.Module):
    """Head with a normal distribution per measurement; targets are tail probabilities beyond thresholds.

    The method of Bhave et al., Eur Heart J 2024;45:2002: the distributions are trained by maximum likelihood;
    the probability of a target is that of exceeding a sex-specific threshold; alternatives are combined as if
    independent. For an unknown sex the probabilities of both sexes are averaged.

    Args:
        measurements: Continuous targets, one label column each.
        rules: Label rules that derive binary targets; columns are names of `measurements`.
    """

    def __init__(self, measurements: tuple[str, ...], rules: tuple[LabelRule, ...]) -> None:
        super().__init__()
        self.labels = measurements
        self.outputs = 2 * len(measurements)
        self.rules = {rule.target: rule for rule in rules}
        self.columns = (*self.rules, *measurements)

    def initial_bias(self, labels: Tensor) -> Tensor:
        """Compute raw outputs (outputs,) of the mean and spread of labels (n, len(measurements))."""
        labelled = ~torch.isnan(labels)
        count = labelled.sum(0).clamp(min=1)
        mean = torch.nan_to_num(labels).sum(0) / count
        spread = (torch.nan_to_num(labels - mean).square().sum(0) / count).sqrt()
        target_outputs = torch.cat([mean, spread - LEAST_SPREAD]).clamp(min=1e-3)
        return target_outputs + torch.log(-torch.expm1(-target_outputs))  # the inverse of softplus

    def distribution(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Compute means and standard deviations, each (n, measurements)."""
        count = len(self.labels)
        return softplus(raw[:, :count]), softplus(raw[:, count:]) + LEAST_SPREAD

    def loss(self, raw: Tensor, labels: Tensor) -> Tensor:
        """Compute the mean negative log-likelihood (n,) over the available measurements of each image."""
        mean, spread = self.distribution(raw)
        labelled = ~torch.isnan(labels)
        z = (torch.where(labelled, labels, mean) - mean) / spread
        each = torch.log(spread) + z.square() / 2 + LOG_ROOT_TWO_PI
        return (each * labelled).sum(1) / labelled.sum(1).clamp(min=1)

    def predictions(self, raw: Tensor, sex: Tensor | None) -> Tensor:
        """Compute (n, columns): probabilities of the targets with a rule, then means of the measurements."""
        if sex is None:
            raise ValueError("thresholds differ by sex")
        mean, spread = self.distribution(raw)
        male = known_sex(sex)[:, 0]
        probabilities: dict[str, Tensor] = {}
        for target in self.rules:
            self._probability(target, mean, spread, male, probabilities)
        return torch.cat([torch.stack([probabilities[target] for target in self.rules], dim=1), mean], dim=1)

    def _probability(
        self, target: str, mean: Tensor, spread: Tensor, male: Tensor, probabilities: dict[str, Tensor]
    ) -> Tensor:
        if target not in probabilities:
            rule = self.rules[target]
            none = torch.ones_like(male)
            for limit in rule.any_of:
                at = self.labels.index(limit.column)
                tails = [
                    _tail(limit_cm, mean[:, at], spread[:, at]) for limit_cm in (limit.male, limit.female)
                ]
                none = none * (1 - male * tails[0] - (1 - male) * tails[1])
            for alternative in rule.or_targets:
                none = none * (1 - self._probability(alternative, mean, spread, male, probabilities))
            probabilities[target] = 1 - none
        return probabilities[target]


def _tail(limit: float, mean: Tensor, spread: Tensor) -> Tensor:
    """Compute the probability of exceeding `limit`."""
    return torch.erfc((limit - mean) / (spread * ROOT_TWO)) / 2
