"""The part of decoding that cannot be left out; imports nothing else, since fresh processes run it."""

from __future__ import annotations

import numpy as np
from PIL import Image


def pillow_alone(files: list[str]) -> None:
    """Opens and decodes image files into arrays."""
    for file in files:
        with Image.open(file) as image:
            np.asarray(image)
