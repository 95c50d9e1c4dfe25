"""Networks: an image encoder, a small branch for age and sex, and a linear layer on both."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from baselines.networks.recipe import NetworkName

PIXEL_MEAN = 0.5
PIXEL_STD = 0.25
CHANNELS = (16, 32, 64, 96, 128)
DENSENET121_WIDTH = 1024
KERNELS = (5, 3, 3, 3, 3)
AGE_MEAN_YEARS = 60.0
AGE_STD_YEARS = 16.0
SEX_UNKNOWN = 0.5


class Network(nn.Module):
    """Network from image, and age and sex if the recipe uses them, to `outputs` raw outputs.

    Pixels are in [0, 1] and age in years: the network scales them, so that an exported file needs no scaling.
    A missing age (NaN) is replaced by the mean, a missing sex by 0.5.
    """

    def __init__(self, name: NetworkName, extra: Sequence[str], outputs: int, dropout: float) -> None:
        super().__init__()
        self.encoder, width = _encoder(name)
        self.record = nn.Sequential(nn.Linear(len(extra), 10), nn.ReLU(), nn.Linear(10, 3)) if extra else None
        self.extra = tuple(extra)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width + (3 if extra else 0), outputs)

    def forward(self, image: Tensor, *extra: Tensor) -> Tensor:
        """Compute raw outputs (n, outputs) from image (n, 1, side, side) and each extra input (n, 1)."""
        features = self.encoder((image - PIXEL_MEAN) / PIXEL_STD)
        if self.record is not None:
            scaled = [_scaled(name, value) for name, value in zip(self.extra, extra, strict=True)]
            features = torch.cat([features, self.record(torch.cat(scaled, dim=1))], dim=1)
        raw: Tensor = self.head(self.dropout(features))
        return raw


def known_sex(sex: Tensor) -> Tensor:
    """Replace a missing sex (NaN) by 0.5; male is 1, female 0."""
    return torch.where(torch.isnan(sex), torch.full_like(sex, SEX_UNKNOWN), sex)


def _scaled(name: str, value: Tensor) -> Tensor:
    if name == "sex":
        return known_sex(value) - SEX_UNKNOWN
    return torch.where(torch.isnan(value), torch.zeros_like(value), (value - AGE_MEAN_YEARS) / AGE_STD_YEARS)


def _encoder(name: NetworkName) -> tuple[nn.Module, int]:
    if name == "small":
        return SmallEncoder(), 2 * CHANNELS[-1]
    from monai.networks.nets.densenet import DenseNet121

    dense = DenseNet121(spatial_dims=2, in_channels=1, out_channels=1, pretrained=False)
    pooled = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(dense.features, pooled), DENSENET121_WIDTH


class SmallEncoder(nn.Module):
    """Encoder of five convolutions with stride 2, followed by mean and maximum pooling."""

    def __init__(self) -> None:
        super().__init__()
        sizes = zip((1, *CHANNELS), CHANNELS, KERNELS, strict=False)
        self.features = nn.Sequential(*(_block(*size) for size in sizes))

    def forward(self, image: Tensor) -> Tensor:
        """Compute features (n, 256) from images (n, 1, side, side)."""
        maps = self.features(image)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)


def _block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
