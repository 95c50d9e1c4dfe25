"""Decodes a run of images into its place in a file; imports little, since processes that decode use it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem

SLICE = 32  # images held in memory


@dataclass(frozen=True, slots=True)
class Place:
    """Where decoded images go.

    Attributes:
        path: The file, which has its full size.
        height: Of an image in pixels.
        width: Of an image in pixels.
        start: Images before the first.
    """

    path: Path
    height: int
    width: int
    start: int


def decode_into(place: Place, files: Sequence[str]) -> str:
    """Writes the grey values of image files, one after the other, and returns their SHA-256.

    Raises:
        BenchError: A file is damaged or no image (``images-unreadable``, exit 3).
        OSError: The pixels cannot be written.
    """
    digest = hashlib.sha256()
    offset = place.start * place.height * place.width
    fd = os.open(place.path, os.O_WRONLY)
    try:
        for first in range(0, len(files), SLICE):
            names = files[first : first + SLICE]
            pixels = np.empty((len(names), place.height, place.width), np.uint8)
            for at, name in enumerate(names):
                pixels[at] = _read(name, place)
            digest.update(pixels.data)
            offset = _write(fd, pixels.data.cast("B"), offset)
    finally:
        os.close(fd)
    return digest.hexdigest()


def _read(name: str, place: Place) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    try:
        return read_grey(name, place.height, place.width)
    except (OSError, SyntaxError, ValueError) as error:
        message = "An image cannot be read; `bench cohort check` lists all such images."
        raise BenchError(Problem("images-unreadable", message), EXIT_ENVIRONMENT) from error


def _write(fd: int, view: memoryview, offset: int) -> int:
    """Writes all of `view`; returns where it ends."""
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
    return offset


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
