"""Decodes a run of images into its place in a file; imports little, since processes that decode use it."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
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
        BenchError: A file is damaged or not an image (``images-unreadable``), or too large
            (``images-too-large``); exit code 3.
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
        OSError: The file is damaged or not an image; the message names no path.
        BenchError: It has more than `MOST_PIXELS` (``images-too-large``, exit 3).
    """
    data = Path(path).read_bytes()
    try:
        values = grey_values(data)
    except ImageTooLargeError as error:
        message = f"An image has {error.pixels:,} pixels; at most {MOST_PIXELS:,} are decoded."
        raise BenchError(Problem("images-too-large", message), EXIT_ENVIRONMENT) from error
    grey = Image.fromarray(_as_bytes(values))
    if grey.size != (width, height):
        grey = grey.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(grey)


MOST_PIXELS = 89_478_485
"""Largest image that is decoded: Pillow's limit, above which it warns of a decompression bomb."""

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # such images are refused below

_WHITE_IS_ZERO = 0
_PHOTOMETRIC = 262


class ImageTooLargeError(OSError):
    """The image has more than `MOST_PIXELS`."""

    def __init__(self, pixels: int) -> None:
        super().__init__(f"{pixels:,} pixels")
        self.pixels = pixels


class ImageCutShortError(OSError):
    """The file ends before the image does."""


class ImageNotFiniteError(OSError):
    """Pixels are NaN or infinite."""


def grey_values(data: bytes) -> npt.NDArray[np.uint8] | npt.NDArray[np.float64]:
    """(height, width) grey values of an image file at its own size: 8-bit, or float64 where it has more bits.

    Values of more than 8 bits are as stored, negated where white is zero (TIFF's photometric interpretation
    0), so that larger is always brighter.

    Raises:
        ImageTooLargeError: More than `MOST_PIXELS`.
        ImageCutShortError: A JPEG without its end marker: decoders fill in what is missing without a word.
        ImageNotFiniteError: NaN or infinite values.
        OSError: Damaged or not an image.
        SyntaxError: Damaged.
        ValueError: Damaged.
    """
    try:
        opened = Image.open(BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))
        raise ImageTooLargeError(int(pixels[0]) if pixels else MOST_PIXELS + 1) from error
    with opened as image:
        if image.width * image.height > MOST_PIXELS:
            raise ImageTooLargeError(image.width * image.height)
        if image.format in {"JPEG", "MPO"} and not _has_jpeg_end(data):
            raise ImageCutShortError("a JPEG without its end marker")
        if not image.mode.startswith(("I", "F")):
            return np.asarray(image if image.mode == "L" else image.convert("L"))
        values = np.asarray(image, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ImageNotFiniteError("NaN or infinite values")
        tags = getattr(image, "tag_v2", {})
        return -values if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else values


_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # ends the data of a scan
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))


def _has_jpeg_end(data: bytes) -> bool:
    """Whether a JPEG has its end marker, found by walking its segments; what follows it does not matter."""
    place = 2
    while place + 1 < len(data):
        if data[place] != 0xFF:
            return False
        marker = data[place + 1]
        if marker == _END_OF_IMAGE:
            return True
        if marker == 0xFF:  # padding before a marker
            place += 1
            continue
        place += 2
        if marker not in _WITHOUT_LENGTH:
            place += int.from_bytes(data[place : place + 2], "big")
        if marker == _START_OF_SCAN:
            following = _NEXT_MARKER.search(data, place)
            if following is None:
                return False
            place = following.start()
    return False


def _as_bytes(values: npt.NDArray[np.uint8] | npt.NDArray[np.float64]) -> Pixels:
    """8-bit values as they are, others scaled by their own range."""
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    span = float(np.ptp(values)) or 1.0
    scaled: Pixels = ((values - values.min()) * (255 / span)).astype(np.uint8)
    return scaled
