"""Decoding of image files to 8-bit grey values; imports little, since worker processes load it."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem

SLICE = 32  # images held in memory

FULL_RANGE = (0.0, 65535.0)
"""Values of a 16-bit image that become black and white by `ImageRule.pixel_range` ``full``."""


@dataclass(frozen=True, slots=True)
class ImageRule:
    """How an image file becomes 8-bit grey values of a given size.

    The steps in order: decode; colour to grey by ITU-R 601 luma; values of more than 8 bits to 8 bits by
    `pixel_range`, cut off to whole numbers; resize without cropping or keeping the aspect ratio, rounded.

    Attributes:
        resize: Interpolation. ``bilinear`` and ``bicubic`` are the kernels of Pillow (bicubic with a = -0.5),
            widened by the factor of reduction; ``area`` averages the pixels that are covered.
        antialias: Whether kernels are widened. Without, values are taken from the 2 × 2 (bicubic: 4 × 4,
            a = -0.75) pixels around each point, as by ``torch.nn.functional.interpolate`` and OpenCV.
        pixel_range: Values of deeper images that become 0 and 255: ``image``, the smallest and the largest of
            the image; ``full``, `FULL_RANGE`; or two values, beyond which all is black or white.
    """

    resize: Literal["bilinear", "bicubic", "area"] = "bilinear"
    antialias: bool = True
    pixel_range: Literal["image", "full"] | tuple[float, float] = "image"

    @property
    def words(self) -> tuple[str, ...]:
        """What differs from the default rule, such as ``("bicubic",)``; empty where nothing does.

        Rules with equal words give equal pixels: the words name files of a cache.
        """
        spread = self.pixel_range
        words = (
            self.resize if self.resize != "bilinear" else "",
            "" if self.antialias else "not-antialiased",
            spread if isinstance(spread, str) else "-".join(repr(float(value)) for value in spread),
        )
        return tuple(word for word in words if word not in ("", "image"))


DEFAULT_RULE = ImageRule()


@dataclass(frozen=True, slots=True)
class PixelSlot:
    """Position of a block of decoded images in a file of pixels.

    Attributes:
        path: The file, already at its full size.
        height: Height of an image in pixels.
        width: Width of an image in pixels.
        start: Number of images before the block.
        rule: How files become grey values.
    """

    path: Path
    height: int
    width: int
    start: int
    rule: ImageRule = DEFAULT_RULE


def decode_into(slot: PixelSlot, files: Sequence[str]) -> str:
    """Decode image files in order, write their grey values, and return the SHA-256 of the values.

    Raises:
        BenchError: A file is damaged or not an image (``images-unreadable``), or too large
            (``images-too-large``); exit code 3.
        OSError: The pixels cannot be written.
    """
    digest = hashlib.sha256()
    offset = slot.start * slot.height * slot.width
    fd = os.open(slot.path, os.O_WRONLY)
    try:
        for first in range(0, len(files), SLICE):
            names = files[first : first + SLICE]
            pixels = np.empty((len(names), slot.height, slot.width), np.uint8)
            for position, name in enumerate(names):
                pixels[position] = _read(name, slot)
            digest.update(pixels.data)
            offset = _write(fd, pixels.data.cast("B"), offset)
    finally:
        os.close(fd)
    return digest.hexdigest()


def _read(name: str, slot: PixelSlot) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    try:
        return read_grey(name, slot.height, slot.width, slot.rule)
    except (OSError, SyntaxError, ValueError) as error:
        raise unreadable_image("cannot be read", Path(name).parent) from error


def unreadable_image(fault: str, folder: Path) -> BenchError:
    """Build the error for an image that "is missing" or "cannot be read", without its id."""
    message = f"An image {fault}; `bench cohort check` lists all such images."
    return BenchError(Problem("images-unreadable", message, where=str(folder)), EXIT_ENVIRONMENT)


def _write(fd: int, view: memoryview, offset: int) -> int:
    """Write all of `view`; return the offset of its end."""
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
    return offset


Pixels = npt.NDArray[np.uint8]


def read_grey(path: Path | str, height: int, width: int, rule: ImageRule = DEFAULT_RULE) -> Pixels:
    """Read an image as 8-bit grey values (height, width) by `rule`.

    Raises:
        OSError: The file is damaged or not an image; the message names no path.
        BenchError: It has more than `MOST_PIXELS` (``images-too-large``, exit 3).
    """
    return decode_grey(Path(path).read_bytes(), height, width, rule)


def decode_grey(data: bytes, height: int, width: int, rule: ImageRule = DEFAULT_RULE) -> Pixels:
    """Decode the bytes of an image file as `read_grey` does; same errors."""
    try:
        values, negated = _decoded(data)
    except ImageTooLargeError as error:
        message = f"An image has {error.pixels:,} pixels; at most {MOST_PIXELS:,} are decoded."
        raise BenchError(Problem("images-too-large", message), EXIT_ENVIRONMENT) from error
    pixels = _as_bytes(values, negated, rule)
    if pixels.shape == (height, width):
        return pixels
    if not rule.antialias and rule.resize != "area":
        return _interpolated(pixels, height, width, rule.resize)
    return np.asarray(Image.fromarray(pixels).resize((width, height), _RESAMPLING[rule.resize]))


_RESAMPLING: Final = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}


def _interpolated(pixels: Pixels, height: int, width: int, kernel: str) -> Pixels:
    """Resize without antialiasing, rounded to whole numbers; pixels at the edge continue beyond it."""
    rows, columns = (_taps(*sizes, kernel) for sizes in ((pixels.shape[0], height), (pixels.shape[1], width)))
    wide = sum(w[:, None] * pixels[at] for at, w in rows)
    values = sum(w * np.asarray(wide)[:, at] for at, w in columns)
    rounded: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def _taps(size: int, target: int, kernel: str) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]]:
    """Source index and weight of each target pixel along one axis, for every place of the kernel."""
    centre = (np.arange(target) + 0.5) * size / target - 0.5
    base = np.floor(centre)
    part = centre - base
    if kernel == "bilinear":
        weights = [1 - part, part]
    else:
        weights = [_cubic(distance) for distance in (1 + part, part, 1 - part, 2 - part)]
    first = base.astype(np.intp) - (len(weights) // 2 - 1)
    return [(np.clip(first + k, 0, size - 1), weight) for k, weight in enumerate(weights)]


def _cubic(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cubic convolution kernel with a = -0.75 at distances from 0 to 2 (Keys 1981)."""
    a, d = -0.75, distance
    inner = ((a + 2) * d - (a + 3)) * d**2 + 1
    outer = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, inner, outer)


MOST_PIXELS = 89_478_485
"""Size limit of an image in pixels: Pillow's limit for decompression bombs."""

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # such images are refused below
warnings.filterwarnings("ignore", module=r"PIL\.")  # on damaged metadata, on a line without the file's name

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
    """Decode an image file to grey values (height, width): 8-bit, or float64 for deeper images.

    Values of more than 8 bits are as stored, negated if white is zero (TIFF photometric interpretation 0), so
    that larger is always brighter.

    Raises:
        ImageTooLargeError: More than `MOST_PIXELS`.
        ImageCutShortError: A JPEG, PNG or WebP without its end, which decoders complete silently.
        ImageNotFiniteError: NaN or infinite values.
        OSError: Damaged or not an image.
        SyntaxError: Damaged.
        ValueError: Damaged.
    """
    return _decoded(data)[0]


def _decoded(data: bytes) -> tuple[npt.NDArray[np.uint8] | npt.NDArray[np.float64], bool]:
    """Return the grey values and whether they were negated; see `grey_values`."""
    try:
        opened = Image.open(BytesIO(data))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))
        raise ImageTooLargeError(int(pixels[0]) if pixels else MOST_PIXELS + 1) from error
    with opened as image:
        if image.width * image.height > MOST_PIXELS:
            raise ImageTooLargeError(image.width * image.height)
        has_end = _END_TESTS.get(image.format or "")
        if has_end and not has_end(data):
            raise ImageCutShortError(f"{image.format} without its end")
        if not image.mode.startswith(("I", "F")):
            return np.asarray(image if image.mode == "L" else image.convert("L")), False
        values = np.asarray(image, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ImageNotFiniteError("NaN or infinite values")
        tags = getattr(image, "tag_v2", {})
        negated = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        return (-values if negated else values), negated


_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # ends the data of a scan
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))


def _has_jpeg_end(data: bytes) -> bool:
    """Walk the segments of a JPEG and return whether it has an end marker; trailing bytes are ignored."""
    position = 2
    while position + 1 < len(data):
        if data[position] != 0xFF:
            return False
        marker = data[position + 1]
        if marker == _END_OF_IMAGE:
            return True
        if marker == 0xFF:  # padding before a marker
            position += 1
            continue
        position += 2
        if marker not in _WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2], "big")
        if marker == _START_OF_SCAN:
            following = _NEXT_MARKER.search(data, position)
            if following is None:
                return False
            position = following.start()
    return False


def _has_png_end(data: bytes) -> bool:
    """Walk the chunks of a PNG and return whether it has its last one, IEND; trailing bytes are ignored."""
    position = len(_PNG)
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return True
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return False


def _has_webp_end(data: bytes) -> bool:
    return not data.endswith(bytes(64))  # no end marker; compressed pixels are not zeros


_END_TESTS: Final[Mapping[str, Callable[[bytes], bool]]] = {
    "JPEG": _has_jpeg_end,
    "MPO": _has_jpeg_end,
    "PNG": _has_png_end,
    "WEBP": _has_webp_end,
}
_PNG: Final = b"\x89PNG\r\n\x1a\n"


def has_zero_tail(data: bytes) -> bool:
    """Return whether the last quarter of an image file without end marker, such as TIFF or BMP, is zeros.

    An uncompressed image that is black there looks the same as a copy that was not finished.
    """
    marked = data.startswith((b"\xff\xd8", _PNG, b"GIF8"))
    return not marked and len(data) > 0 and data.endswith(bytes(len(data) // 4))


_OTHER_KINDS: Final = {
    b"version https://git-lfs": "Git LFS pointer",
    b"<": "web page",
    b"PK\x03\x04": "archive",
    b"\x1f\x8b": "archive",
    b"Rar!": "archive",
    b"%PDF": "PDF",
}


def kind_of_other_file(data: bytes) -> str:
    """Name what a file holds that is not an image; "" if its first bytes do not tell."""
    if not data.strip(b"\0"):
        return "empty" if not data else "zeros"
    if data[128:132] == b"DICM":
        return "DICOM"
    return next((kind for magic, kind in _OTHER_KINDS.items() if data.lstrip().startswith(magic)), "")


def _as_bytes(
    values: npt.NDArray[np.uint8] | npt.NDArray[np.float64], negated: bool, rule: ImageRule
) -> Pixels:
    """Return 8-bit values unchanged and scale others by the range of the rule."""
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    if rule.pixel_range == "image":
        low, span = float(values.min()), float(np.ptp(values)) or 1.0
    else:
        limits = FULL_RANGE if rule.pixel_range == "full" else rule.pixel_range
        low, high = (-limits[1], -limits[0]) if negated else limits
        span = high - low
        values = np.asarray(np.clip(values, low, high), np.float64)
    scaled: Pixels = ((values - low) * (255 / span)).astype(np.uint8)
    return scaled
