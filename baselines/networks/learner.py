"""Lightning module of a network: training step, validation loss and optimiser."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from baselines.networks.augment import augmented
from baselines.networks.heads import Head
from baselines.networks.models import Network
from baselines.networks.recipe import Recipe
from baselines.networks.tensors import Batch

WHITE = 255.0


class Learner(LightningModule):
    """Network with its head and recipe.

    All random numbers follow from the seed, the epoch and the batch number, so that a resumed run equals an
    uninterrupted one.
    """

    def __init__(self, recipe: Recipe, head: Head, seed: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.extra = tuple(name for name in recipe.inputs if name != "image")
        self.seed = seed
        self.head = head
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Network(recipe.network, self.extra, head.outputs, recipe.dropout)
        # twice as fast on a CPU; torch's own stubs leave this argument out
        self.network: Network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._sums = torch.zeros(4, dtype=torch.float64)  # loss and images of train, then of val
        self.train_loss = math.nan
        self.val_loss = math.nan

    def forward(self, pixels: Tensor, extra: Tensor) -> Tensor:
        """Compute raw outputs (n, outputs) from pixels (n, 1, side, side) in [0, 1] and inputs (n, k)."""
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        raw: Tensor = self.network(pixels, *(extra[:, k : k + 1] for k in range(len(self.extra))))
        return raw

    def predict(self, pixels: Tensor, extra: Tensor) -> Tensor:
        """Compute predictions (n, columns); arguments as `forward`."""
        sex = extra[:, [self.extra.index("sex")]] if "sex" in self.extra else None
        return self.head.predictions(self(pixels, extra), sex)

    def start_from(self, labels: Tensor) -> None:
        """Set the last bias so that the untrained network predicts the averages of labels (n, labels)."""
        with torch.no_grad():
            self.network.head.bias.copy_(self.head.initial_bias(labels))

    def on_train_epoch_start(self) -> None:
        """Reset the sums of losses."""
        self._sums = torch.zeros(4, dtype=torch.float64, device=self.device)

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """Compute the mean loss of a batch of augmented images."""
        pixels, extra, labels = batch
        # Seeded at each step, since loaders and restored checkpoints draw random numbers between steps.
        step_seed = (self.seed * 100_003 + self.current_epoch) * 1_000_003 + number
        step_seed = step_seed * self.recipe.processes + self.global_rank
        torch.manual_seed(step_seed)
        generator = torch.Generator(device=pixels.device)
        generator.manual_seed(step_seed)
        images = augmented(pixels.float() / WHITE, self.recipe.augment, generator)
        loss = self.head.loss(self(images, extra), labels).mean()
        self._sums[0] += loss.detach() * len(labels)  # stays on the device: reading it would synchronise
        self._sums[1] += len(labels)
        return loss

    def validation_step(self, batch: Batch, number: int) -> None:
        """Add the losses of a batch of images without augmentation; images without labels do not count."""
        del number
        pixels, extra, labels = batch
        self._sums[2] += self.head.loss(self(pixels.float() / WHITE, extra), labels).sum()
        self._sums[3] += (~torch.isnan(labels)).any(1).sum()

    def on_validation_epoch_end(self) -> None:
        """Log the mean loss over the val images of all processes, for early stopping and checkpoints."""
        sums = self.trainer.strategy.reduce(self._sums, reduce_op="sum")
        train, trained, val, judged = sums.tolist()
        self.train_loss, self.val_loss = train / max(trained, 1.0), val / max(judged, 1.0)
        self.log("val_loss", self.val_loss)

    def configure_optimizers(self) -> Any:
        """Configure AdamW with cosine annealing of the learning rate over the epochs of the recipe."""
        recipe = self.recipe
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=recipe.epochs)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}
