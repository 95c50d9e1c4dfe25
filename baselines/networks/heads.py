"""What the raw outputs of a network mean: the loss they are trained by and the predictions made of them."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from baselines.networks.models import known_sex
from bench.cohort.spec import LabelRule

LEAST_SPREAD = 0.05  # of a measurement, so that no likelihood grows without bound
LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)
ROOT_TWO = math.sqrt(2)


class Head(Protocol):
    """Gives meaning to raw outputs.

    Attributes:
        labels: Targets or measurements that it learns from, one column each.
        outputs: Raw outputs that it needs.
        columns: Targets that it predicts, one column each.
    """

    labels: tuple[str, ...]
    outputs: int
    columns: tuple[str, ...]

    def initial_bias(self, labels: Tensor) -> Tensor:
        """(outputs,) raw outputs that predict the training labels' averages: where training starts."""

    def loss(self, raw: Tensor, labels: Tensor) -> Tensor:
        """(n,) loss of each image; labels (n, len(labels)) with NaN where excluded."""

    def predictions(self, raw: Tensor, sex: Tensor | None) -> Tensor:
        """(n, len(columns)) of raw outputs, and of sex (n, 1) where the recipe names it."""


class BinaryHead(nn.Module):
    """One logit per target; cross-entropy over the labels that are known."""

    def __init__(self, targets: tuple[str, ...]) -> None:
        super().__init__()
        self.labels = self.columns = targets
        self.outputs = len(targets)

    def initial_bias(self, labels: Tensor) -> Tensor:
        """(outputs,) log odds of each target among labels (n, targets)."""
        known = ~torch.isnan(labels)
        share = (torch.nan_to_num(labels).sum(0) + 0.5) / (known.sum(0) + 1)
        return torch.logit(share)

    def loss(self, raw: Tensor, labels: Tensor) -> Tensor:
        """(n,) mean cross-entropy over the known targets of each image, 0 where none is known."""
        known = ~torch.isnan(labels)
        each = binary_cross_entropy_with_logits(raw, torch.nan_to_num(labels), reduction="none")
        return (each * known).sum(1) / known.sum(1).clamp(min=1)

    def predictions(self, raw: Tensor, sex: Tensor | None) -> Tensor:  # noqa: ARG002
        """(n, targets) probabilities."""
        return torch.sigmoid(raw)


class EchoHead(nn.Module):
    """Mean and spread of each measurement; targets by the probability of exceeding sex-specific thresholds.

    The method of Bhave et al., Eur Heart J 2024;45:2002: a normal distribution per measurement, trained by
    its likelihood; a threshold's tail is the probability of exceeding it; alternatives are combined as if
    they were independent. An unknown sex is half of each.

    Args:
        measurements: Continuous targets, one label column each.
        rules: How binary targets follow from measurements; columns are names of `measurements`.
    """

    def __init__(self, measurements: tuple[str, ...], rules: tuple[LabelRule, ...]) -> None:
        super().__init__()
        self.labels = measurements
        self.outputs = 2 * len(measurements)
        self.rules = {rule.target: rule for rule in rules}
        self.columns = (*self.rules, *measurements)

    def initial_bias(self, labels: Tensor) -> Tensor:
        """(outputs,) raw outputs of the mean and spread of labels (n, len(measurements))."""
        known = ~torch.isnan(labels)
        count = known.sum(0).clamp(min=1)
        mean = torch.nan_to_num(labels).sum(0) / count
        spread = (torch.nan_to_num(labels - mean).square().sum(0) / count).sqrt()
        wanted = torch.cat([mean, spread - LEAST_SPREAD]).clamp(min=1e-3)
        return wanted + torch.log(-torch.expm1(-wanted))  # the inverse of softplus

    def distribution(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """(n, measurements) means and standard deviations."""
        count = len(self.labels)
        return softplus(raw[:, :count]), softplus(raw[:, count:]) + LEAST_SPREAD

    def loss(self, raw: Tensor, labels: Tensor) -> Tensor:
        """(n,) mean negative log-likelihood over the known measurements of each image."""
        mean, spread = self.distribution(raw)
        known = ~torch.isnan(labels)
        z = (torch.where(known, labels, mean) - mean) / spread
        each = torch.log(spread) + z.square() / 2 + LOG_ROOT_TWO_PI
        return (each * known).sum(1) / known.sum(1).clamp(min=1)

    def predictions(self, raw: Tensor, sex: Tensor | None) -> Tensor:
        """(n, columns): probabilities of the targets that have a rule, then the means of the measurements."""
        if sex is None:
            raise ValueError("thresholds differ by sex")
        mean, spread = self.distribution(raw)
        male = known_sex(sex)[:, 0]
        found: dict[str, Tensor] = {}
        for target in self.rules:
            self._probability(target, mean, spread, male, found)
        return torch.cat([torch.stack([found[target] for target in self.rules], dim=1), mean], dim=1)

    def _probability(
        self, target: str, mean: Tensor, spread: Tensor, male: Tensor, found: dict[str, Tensor]
    ) -> Tensor:
        if target not in found:
            rule = self.rules[target]
            none = torch.ones_like(male)
            for limit in rule.any_of:
                at = self.labels.index(limit.column)
                tails = [
                    _tail(limit_cm, mean[:, at], spread[:, at]) for limit_cm in (limit.male, limit.female)
                ]
                none = none * (1 - male * tails[0] - (1 - male) * tails[1])
            for other in rule.or_targets:
                none = none * (1 - self._probability(other, mean, spread, male, found))
            found[target] = 1 - none
        return found[target]


def _tail(limit: float, mean: Tensor, spread: Tensor) -> Tensor:
    """Probability of exceeding `limit`."""
    return torch.erfc((limit - mean) / (spread * ROOT_TWO)) / 2
