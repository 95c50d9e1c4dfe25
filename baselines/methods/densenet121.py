"""DenseNet-121 on the image alone."""

from __future__ import annotations

from baselines.networks.by_recipe import by_recipe

BASELINE = by_recipe("densenet121", "DenseNet-121 on the image; a GPU is advised", needs_packages=("monai",))
