"""Random changes of training images, made where the images are: on the device of the network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from baselines.networks.recipe import Augmentation


def augmented(images: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Shifted, zoomed, contrasted and noisy copies of images (n, 1, side, side) with pixels in [0, 1].

    Hearts are not mirrored: left and right differ.
    """
    if how.shift or how.zoom:
        images = _moved(images, how, generator)
    if how.contrast:
        gain = 1 + how.contrast * _even(images, (len(images), 1, 1, 1), generator)
        middle = images.mean((1, 2, 3), keepdim=True)
        images = (images - middle) * gain + middle
    if how.noise:
        noise = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
        images = images + how.noise * noise
    return images.clamp(0, 1)


def _moved(images: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    theta = torch.zeros(len(images), 2, 3, device=images.device, dtype=images.dtype)
    scale = 1 + how.zoom * _even(images, (len(images),), generator)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = 2 * how.shift * _even(images, (len(images), 2), generator)  # the grid spans -1 to 1
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _even(like: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Numbers spread evenly over [-1, 1)."""
    return 2 * torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype) - 1
