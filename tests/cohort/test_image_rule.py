"""The rule by which image files become pixels, against Pillow, PyTorch and averages computed slowly."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from bench.cohort.decode import ImageRule, decode_grey
from bench.submission.manifest import ImageInput

PIXELS = np.random.default_rng(0).integers(0, 256, (37, 53), dtype=np.uint8)
SIZES = [(16, 16), (37, 20), (80, 91), (37, 53), (1, 1)]


def png(values: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_resizing_equals_pytorch_with_and_without_antialiasing(kernel: str, size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    whole = torch.from_numpy(PIXELS)[None, None]
    for antialias, values, tolerance in ((True, whole, 1.0), (False, whole.double(), 0.5001)):
        rule = ImageRule(kernel, antialias)  # type: ignore[arg-type]
        decoded = decode_grey(png(PIXELS), *size, rule).astype(float)
        wanted = torch.nn.functional.interpolate(values, size, mode=kernel, antialias=antialias)[0, 0]
        assert np.abs(decoded - wanted.clamp(0, 255).numpy()).max() <= tolerance


@pytest.mark.parametrize("factor", [2, 5])
def test_area_is_the_mean_of_the_covered_pixels(factor: int) -> None:
    pixels = PIXELS[: 7 * factor, : 9 * factor]
    decoded = decode_grey(png(pixels), 7, 9, ImageRule("area")).astype(float)
    wanted = pixels.reshape(7, factor, 9, factor).mean(axis=(1, 3))
    assert np.abs(decoded - wanted).max() <= 1  # Pillow rounds after each axis


def test_the_default_is_the_rule_of_records_that_state_none() -> None:
    for size in SIZES:
        wanted = Image.fromarray(PIXELS).resize(size[::-1], Image.Resampling.BILINEAR)
        assert np.array_equal(decode_grey(png(PIXELS), *size), np.asarray(wanted))
    assert ImageInput(name="image", height=8, width=8).rule == ImageRule()
    deep = (PIXELS.astype(np.uint16) + 7) * 100
    span = np.ptp(deep)
    assert np.array_equal(
        decode_grey(png(deep), 37, 53), ((deep - deep.min()) * (255 / span)).astype(np.uint8)
    )


def test_the_range_of_deep_images_is_stated() -> None:
    deep = np.array([[0, 1000, 2000, 3000, 65535]], np.uint16)

    def found(limits: Any) -> list[int]:
        return decode_grey(png(deep), 1, 5, ImageRule(pixel_range=limits))[0].tolist()

    assert found("full") == [0, 3, 7, 11, 255]
    assert found("image") == found("full")
    assert found((1000.0, 3000.0)) == [0, 0, 127, 255, 255]
    eight_bit = decode_grey(png(PIXELS), 37, 53, ImageRule(pixel_range=(100.0, 101.0)))
    assert np.array_equal(eight_bit, PIXELS)


def test_white_is_zero_inverts_the_range() -> None:
    stored = np.array([[0, 1000, 65535]], np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "tiff", tiffinfo={262: 0})
    assert decode_grey(buffer.getvalue(), 1, 3, ImageRule(pixel_range="full"))[0].tolist() == [255, 251, 0]


@pytest.mark.parametrize(
    "keys",
    [{"resize": "lanczos"}, {"range": (5.0, 5.0)}, {"range": "own"}, {"resize": "area", "antialias": False}],
)
def test_impossible_rules_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImageInput.model_validate({"name": "image", "height": 8, "width": 8, **keys})


def test_the_manifest_of_a_model_states_its_rule() -> None:
    stated = {"name": "image", "height": 8, "width": 8, "resize": "bicubic", "antialias": False}
    declared = ImageInput.model_validate({**stated, "range": [0.0, 4095.0]})
    assert declared.rule == ImageRule("bicubic", False, (0.0, 4095.0))
    assert ImageInput(**declared.model_dump()).rule == declared.rule  # as the timing worker gets it
