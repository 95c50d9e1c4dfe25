"""Random augmentation of training images on the device of the network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from baselines.networks.recipe import Augmentation


def augmented(images: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Shift, zoom, change contrast and add noise to images (n, 1, side, side) with pixels in [0, 1].

    Images are not mirrored, since the heart lies on the left.
    """
    if settings.shift or settings.zoom:
        images = _shift_and_zoom(images, settings, generator)
    if settings.contrast:
        gain = 1 + settings.contrast * _uniform(images, (len(images), 1, 1, 1), generator)
        middle = images.mean((1, 2, 3), keepdim=True)
        images = (images - middle) * gain + middle
    if settings.noise:
        noise = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
        images = images + settings.noise * noise
    return images.clamp(0, 1)


def _shift_and_zoom(images: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    theta = torch.zeros(len(images), 2, 3, device=images.device, dtype=images.dtype)
    scale = 1 + settings.zoom * _uniform(images, (len(images),), generator)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = (
        2 * settings.shift * _uniform(images, (len(images), 2), generator)
    )  # the grid spans -1 to 1
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _uniform(like: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw uniform numbers in [-1, 1)."""
    return 2 * torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype) - 1
