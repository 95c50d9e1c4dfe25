"""Reads one image file as grey values; imports little, since processes that only decode use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def read_grey(path: Path | str, height: int, width: int) -> Pixels:
    """(height, width) 8-bit grey values, resized with antialiasing where the file has another size.

    Colour files are converted by ITU-R 601 luma; 16-bit ones are scaled by their own range.

    Raises:
        OSError: The file is damaged or no image; the message names no path.
    """
    with Image.open(path) as image:
        wide = image.mode.startswith(("I", "F"))
        if wide:
            grey = _rescaled(np.asarray(image, dtype=np.float64))
        else:
            grey = image if image.mode == "L" else image.convert("L")
        if grey.size != (width, height):
            grey = grey.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(grey)


def _rescaled(values: npt.NDArray[np.float64]) -> Image.Image:
    span = np.ptp(values) or 1.0
    return Image.fromarray(((values - values.min()) * (255 / span)).astype(np.uint8))
