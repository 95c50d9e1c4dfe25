"""Faulty images: each with code, count and remedy, in every command that reads them."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.cohort.audit import audit
from bench.cohort.cohort import Cohort
from bench.cohort.decode import MOST_PIXELS, ImageCutShortError, ImageNotFiniteError, read_grey
from bench.cohort.image_cache import build_cache
from bench.cohort.images import read_batches
from bench.errors import EXIT_ENVIRONMENT, BenchError
from tests.faulty import assert_problem, only


def jpeg(**options: Any) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    Image.fromarray(noise).save(stream, "JPEG", **options)
    return stream.getvalue()


def tiff(pixels: np.ndarray[Any, Any], photometric: int = 1) -> bytes:
    """An uncompressed TIFF; its photometric interpretation (tag 262) is set in the bytes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "TIFF")
    data = bytearray(stream.getvalue())
    entry = struct.pack("<HHI", 262, 3, 1)
    place = data.index(entry) + len(entry)
    data[place : place + 2] = struct.pack("<H", photometric)
    return bytes(data)


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header names a size; its pixels are of a smaller image."""
    import zlib

    stream = io.BytesIO()
    Image.new("L", (4, 4)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def png() -> bytes:
    stream = io.BytesIO()
    Image.open(io.BytesIO(jpeg())).save(stream, "PNG")
    return stream.getvalue()


def encoded(pixels: np.ndarray[Any, Any], form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8) if pixels.max() < 256 else pixels).save(stream, form, **options)
    return stream.getvalue()


DEEP = np.random.default_rng(1).integers(256, 65_535, (64, 64)).astype(np.uint16)
COLOUR = np.random.default_rng(1).integers(1, 255, (64, 64, 3)).astype(np.uint8)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def gif() -> bytes:
    stream = io.BytesIO()
    Image.open(io.BytesIO(jpeg())).save(stream, "GIF")
    return stream.getvalue()


def zero_tail(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes(len(data) - len(data) // 2)


WITH_NAN = np.ones((16, 16), np.float32)
WITH_NAN[3, 4] = np.nan
IMAGE_FAULTS: dict[str, tuple[bytes, str, str]] = {
    "JPEG whose second half is zeros": (
        zero_tail(jpeg()),
        "images-damaged",
        "1 end before the image does",
    ),
    "JPEG whose last tenth is zeros": (
        jpeg()[: -len(jpeg()) // 10] + bytes(len(jpeg()) // 10),
        "images-damaged",
        "1 end before the image does",
    ),
    "progressive JPEG whose second half is zeros": (
        jpeg(progressive=True)[:2000] + bytes(2000),
        "images-damaged",
        "1 end before the image does",
    ),
    "JPEG without its last two bytes": (jpeg()[:-2], "images-damaged", "1 end before the image does"),
    "JPEG cut in half": (jpeg()[: len(jpeg()) // 2], "images-damaged", "1 end before the image does"),
    "JPEG of a header alone": (jpeg()[:200], "images-damaged", "1 cannot be decoded"),
    "float TIFF with NaN": (tiff(WITH_NAN), "images-damaged", "1 hold NaN or infinite values"),
    "float TIFF with infinity": (
        tiff(np.where(np.isnan(WITH_NAN), np.float32(np.inf), WITH_NAN)),
        "images-damaged",
        "1 hold NaN or infinite values",
    ),
    "bomb above twice Pillow's limit": (
        png_of(20_000, 20_000),
        "images-too-large",
        "the largest 400,000,000",
    ),
    "bomb above Pillow's limit": (png_of(10_000, 12_000), "images-too-large", "the largest 120,000,000"),
    "PNG whose second half is zeros": (zero_tail(png()), "images-damaged", "1 end before"),
    "PNG cut in half": (png()[: len(png()) // 2], "images-damaged", "1 end before"),
    "GIF bomb": (b"GIF89a\xff\xff\xff\xff" + gif()[10:], "images-too-large", "the largest 4,294,836,225"),
    "text": (b"no image", "images-damaged", "1 cannot be decoded"),
    "colour PNG whose second half is zeros": (
        zero_tail(encoded(COLOUR, "PNG")),
        "images-damaged",
        "1 end before",
    ),
    "PNG without its last chunk": (png()[:-12], "images-damaged", "1 end before"),
    "16-bit PNG cut in half": (cut(encoded(DEEP, "PNG")), "images-damaged", "1 end before"),
    "16-bit PNG without its last bytes": (encoded(DEEP, "PNG")[:-20], "images-damaged", "1 end before"),
    "uncompressed TIFF cut in half": (cut(tiff(DEEP)), "images-damaged", "1 end before"),
    "compressed TIFF cut in half": (
        cut(encoded(DEEP, "TIFF", compression="tiff_lzw")),
        "images-damaged",
        "1 cannot be decoded",
    ),
    "BMP cut in half": (cut(encoded(DEEP // 256, "BMP")), "images-damaged", "1 end before"),
    "PGM of 16 bits cut in half": (cut(encoded(DEEP, "PPM")), "images-damaged", "1 end before"),
    "WebP whose second half is zeros": (
        zero_tail(encoded(COLOUR, "WEBP")),
        "images-damaged",
        "1 end before",
    ),
    "JPEG 2000 cut in half": (
        cut(encoded(DEEP // 256, "JPEG2000")),
        "images-damaged",
        "1 cannot be decoded",
    ),
    "empty file": (b"", "images-damaged", "1 are empty files"),
    "zeros alone": (bytes(5000), "images-damaged", "1 hold only zero bytes"),
    "DICOM": (bytes(128) + b"DICM" + bytes(400), "images-damaged", "1 are DICOM files"),
    "Git LFS pointer as an image": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "images-damaged",
        "1 are Git LFS pointers",
    ),
    "web page as an image": (b"<!DOCTYPE html><html>", "images-damaged", "1 are web pages"),
    "gzip of an image": (b"\x1f\x8b\x08" + bytes(60), "images-damaged", "1 are archives"),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(("data", "code", "says"), IMAGE_FAULTS.values(), ids=IMAGE_FAULTS)
def test_each_fault_of_an_image_is_a_problem_of_every_command(
    data: bytes, code: str, says: str, few: Cohort, tmp_path: Path
) -> None:
    (few.folder / "images" / few.images[2]).write_bytes(data)
    (problem,) = (p for p in audit(few).problems if p.code.startswith("images-"))
    message = rf"^1 of 6 images.*{re.escape(says)}"
    assert_problem(problem, code, message=message, where=f"^{few.folder}$", remedy="--list FILE")
    expected = "images-too-large" if code == "images-too-large" else "images-unreadable"
    for read in (
        lambda: list(read_batches(few, np.arange(6), 8, 8, 4)),
        lambda: build_cache(few, tmp_path / "cache"),
    ):
        with pytest.raises(BenchError) as caught:
            read()
        assert [p.code for p in caught.value.problems] == [expected]
        assert caught.value.exit_code == EXIT_ENVIRONMENT
        assert few.images[2] not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        jpeg(),
        jpeg(progressive=True),
        jpeg(optimize=True),
        jpeg() + bytes(500),
        jpeg() + b"trailer of a camera",
        jpeg(restart_marker_rows=1),
        jpeg(exif=b"Exif\0\0" + jpeg(quality=5)),
    ],
    ids=["plain", "progressive", "optimised", "zeros behind", "text behind", "restart markers", "thumbnail"],
)
def test_whole_jpegs_are_read(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(data)
    assert read_grey(tmp_path / "x.jpg", 64, 64).std() > 20


def test_a_thumbnail_does_not_end_a_jpeg(tmp_path: Path) -> None:
    data = jpeg(exif=b"Exif\0\0" + jpeg(quality=5))
    (tmp_path / "x.jpg").write_bytes(data[:-500] + bytes(500))
    with pytest.raises(ImageCutShortError):
        read_grey(tmp_path / "x.jpg", 64, 64)


def test_the_largest_image_is_that_of_pillow() -> None:
    assert MOST_PIXELS == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_photometric_interpretation_is_respected(dtype: type, tmp_path: Path) -> None:
    ramp: np.ndarray[Any, Any] = np.tile(np.arange(0, 256, 16), (16, 1)).astype(dtype) * (
        1 if dtype == np.uint8 else 100
    )
    (tmp_path / "black.tif").write_bytes(tiff(ramp, photometric=1))
    (tmp_path / "white.tif").write_bytes(tiff(ramp.max() - ramp, photometric=0))
    black = read_grey(tmp_path / "black.tif", 16, 16)
    assert (np.diff(black[0].astype(int)) > 0).all()
    if dtype == np.uint8:  # Pillow inverts about 255
        black = black + (255 - ramp.max())
    assert np.array_equal(read_grey(tmp_path / "white.tif", 16, 16), black)


@pytest.mark.parametrize(
    "data",
    [
        zero_tail(tiff(DEEP)),
        zero_tail(tiff(DEEP.astype(np.float32))),
        zero_tail(encoded(DEEP // 256, "BMP")),
        zero_tail(encoded(DEEP, "PPM")),
        tiff(np.vstack([DEEP, np.zeros_like(DEEP)])),
    ],
    ids=["TIFF of 16 bits", "float TIFF", "BMP", "PGM", "half black"],
)
def test_zeros_at_the_end_of_an_image_without_end_marker_are_warned_about(data: bytes, few: Cohort) -> None:
    (few.folder / "images" / few.images[2]).write_bytes(data)
    assert_problem(
        only(audit(few).problems, "images-zero-tail"),
        "images-zero-tail",
        message="^1 of 6 image files end in zeros",
        where=f"^{few.folder}$",
        remedy="--list FILE.*Nothing to do if",
        severity="warning",
    )


@pytest.mark.parametrize(
    "data",
    [tiff(DEEP), encoded(DEEP, "PPM"), png() + bytes(9000), jpeg() + bytes(9000)],
    ids=["TIFF", "PGM", "zeros behind a PNG", "zeros behind a JPEG"],
)
def test_other_images_have_no_zero_tail(data: bytes, few: Cohort) -> None:
    (few.folder / "images" / few.images[2]).write_bytes(data)
    assert [p.code for p in audit(few).problems if p.code.startswith("images-")] == []


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Run `git lfs pull`"),
        (bytes(128) + b"DICM" + bytes(9), "Convert the DICOM files to PNG"),
        (b"<html>", "Download them again, logged in"),
        (b"PK\x03\x04" + bytes(9), "Unpack the archives"),
    ],
)
def test_files_of_another_kind_have_a_remedy_of_their_own(data: bytes, remedy: str, few: Cohort) -> None:
    for image in few.images[:2]:
        (few.folder / "images" / image).write_bytes(data)
    (few.folder / "images" / few.images[2]).write_bytes(jpeg()[:-2])
    problem = only(audit(few).problems, "images-damaged")
    assert re.match(r"3 of 6 images: 1 end before the image does, 2 are ", problem.message)
    assert remedy in problem.remedy
    assert "Copy them again" in problem.remedy


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(WITH_NAN))
    with pytest.raises(ImageNotFiniteError):
        read_grey(tmp_path / "x.tif", 16, 16)
