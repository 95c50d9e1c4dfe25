"""What the raw outputs of a network mean: the loss they are trained by and the predictions made of them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


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

    def loss(self, raw: Tensor, labels: Tensor) -> Tensor:
        """(n,) mean cross-entropy over the known targets of each image, 0 where none is known."""
        known = ~torch.isnan(labels)
        each = binary_cross_entropy_with_logits(raw, torch.nan_to_num(labels), reduction="none")
        return (each * known).sum(1) / known.sum(1).clamp(min=1)

    def predictions(self, raw: Tensor, sex: Tensor | None) -> Tensor:  # noqa: ARG002
        """(n, targets) probabilities."""
        return torch.sigmoid(raw)
