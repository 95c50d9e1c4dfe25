"""Small convolutional network on small images, trained in seconds on a CPU."""

from __future__ import annotations

from baselines.networks.by_recipe import by_recipe

BASELINE = by_recipe("cnn-small", "a small convolutional network, seconds per epoch on a CPU", quick=True)
