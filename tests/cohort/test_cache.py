from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cohort import decode, image_cache
from bench.cohort.cohort import Cohort
from bench.cohort.decode import ImageRule
from bench.cohort.image_cache import build_cache, cached_images
from bench.cohort.images import read_grey
from bench.cohort.load import load_cohort
from bench.cohort.spec import CohortSpec
from bench.documents import parse_toml
from bench.errors import BenchError

SPEC = """
schema = "cohort-spec/1"
id = "few"
version = "1"
title = "Few"
headline = "ill"
[files]
table = "metadata.csv"
images = "images"
[columns]
image = "image"
patient = "image"
[split]
rule = "all-test"
[[targets]]
name = "ill"
label = "Ill"
source = "ill"
"""
COUNT, SIDE = 23, 20


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cohort:
    monkeypatch.setattr(image_cache, "CHUNK", 5)
    folder = tmp_path / "few"
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    names = [f"{k:02d}.png" for k in range(COUNT)]
    for name in names:
        Image.fromarray(random.integers(0, 256, (24, 30), dtype=np.uint8)).save(folder / "images" / name)
    lines = ["image,ill", *(f"{name},{k % 2}" for k, name in enumerate(reversed(names)))]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return load_cohort(parse_toml(CohortSpec, SPEC, "cohort-spec", "few"), folder)


def _expected(cohort: Cohort) -> np.ndarray:
    return np.stack([read_grey(cohort.folder / "images" / str(i), SIDE, SIDE) for i in cohort.images])


def _build(cohort: Cohort, folder: Path, **options: object) -> image_cache.CacheSummary:
    return build_cache(cohort, folder, height=SIDE, width=SIDE, **options)  # type: ignore[arg-type]


def _valid_pixels(folder: Path) -> np.ndarray | None:
    """Return the pixels on disk if every chunk of five images has the hash in the index."""
    try:
        chunks = json.loads((folder / "few-20x20.json").read_text())["chunks"]
        data = (folder / "few-20x20.u8").read_bytes()
    except (OSError, ValueError):
        return None
    size = 5 * SIDE * SIDE
    hashes = [hashlib.sha256(data[k : k + size]).hexdigest() for k in range(0, len(data), size)]
    return np.frombuffer(data, np.uint8).reshape(COUNT, SIDE, SIDE) if chunks == hashes else None


@pytest.mark.parametrize("jobs", [1, 3])
def test_cached_pixels_equal_decoded_ones(cohort: Cohort, tmp_path: Path, jobs: int):
    assert _valid_pixels(tmp_path) is None
    reports: list[tuple[int, int]] = []
    summary = _build(cohort, tmp_path, jobs=jobs, progress=lambda done, total: reports.append((done, total)))
    assert (summary.images, summary.decoded, summary.kept) == (COUNT, COUNT, 0)
    assert summary.size_bytes == COUNT * SIDE * SIDE
    assert (len(reports), reports[-1]) == (5, (23, 23))
    assert reports == sorted(reports)
    np.testing.assert_array_equal(_valid_pixels(tmp_path), _expected(cohort))
    pixels = cached_images(cohort, tmp_path, height=SIDE, width=SIDE)
    np.testing.assert_array_equal(pixels, _expected(cohort))
    assert not pixels.flags.writeable


def test_a_second_call_decodes_nothing(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _build(cohort, tmp_path)
    monkeypatch.setattr(decode, "read_grey", None)
    assert _build(cohort, tmp_path).decoded == 0


def test_the_cache_names_no_image(cohort: Cohort, tmp_path: Path):
    _build(cohort, tmp_path)
    assert not any(str(image) in (tmp_path / "few-20x20.json").read_text() for image in cohort.images)


class KilledError(Exception):
    """Stands for whatever ends a build."""


def test_every_image_rule_has_a_cache_of_its_own(cohort: Cohort, tmp_path: Path):
    """Also rules that differ in the seventh digit of a value, or in one setting alone."""
    rules = [
        ImageRule(resize, antialias, pixel_range)
        for resize in ("bilinear", "bicubic")
        for antialias in (True, False)
        for pixel_range in ("image", "full", (0.0, 65535.01), (0.0, 65535.02), (-1.0, 65535.01))
    ]
    paths = {build_cache(cohort, tmp_path, height=8, width=8, rule=rule).path for rule in rules}
    assert len(paths) == len(rules)
    assert build_cache(cohort, tmp_path, height=8, width=8, rule=rules[-1]).decoded == 0


def test_an_interrupted_build_goes_on(cohort: Cohort, tmp_path: Path):
    def killer(done: int, total: int) -> None:
        if done == 15:
            raise KilledError

    with pytest.raises(KilledError):
        _build(cohort, tmp_path, progress=killer)
    assert _valid_pixels(tmp_path) is None
    summary = _build(cohort, tmp_path)
    assert (summary.decoded, summary.kept) == (8, 15)
    np.testing.assert_array_equal(_valid_pixels(tmp_path), _expected(cohort))


@pytest.mark.parametrize("damage", ["byte", "short", "index", "chunks", "gone"])
def test_a_damaged_cache_is_found_and_made_good(cohort: Cohort, tmp_path: Path, damage: str):
    _build(cohort, tmp_path)
    data, index = tmp_path / "few-20x20.u8", tmp_path / "few-20x20.json"
    content = bytearray(data.read_bytes())
    if damage == "byte":
        content[7 * SIDE * SIDE] ^= 1
        data.write_bytes(content)
    elif damage == "short":
        data.write_bytes(content[: 12 * SIDE * SIDE])
    elif damage == "index":
        index.write_text(index.read_text()[:100])
    elif damage == "chunks":
        document = json.loads(index.read_text())
        index.write_text(json.dumps({**document, "chunks": document["chunks"][:2]}))
    else:
        data.unlink()
    assert _valid_pixels(tmp_path) is None
    again = _build(cohort, tmp_path)
    assert again.decoded == {"byte": 5, "short": 13}.get(damage, COUNT)
    np.testing.assert_array_equal(_valid_pixels(tmp_path), _expected(cohort))


def test_a_cache_of_other_files_is_not_used(cohort: Cohort, tmp_path: Path):
    _build(cohort, tmp_path)
    path = cohort.folder / "images" / str(cohort.images[3])
    Image.fromarray(np.zeros((24, 30), np.uint8)).save(path)
    os.utime(path, ns=(1, 1))
    assert _build(cohort, tmp_path).decoded == COUNT
    pixels = _valid_pixels(tmp_path)
    assert pixels is not None
    assert not pixels[3].any()


def test_an_open_cache_stays_readable_when_the_files_change(cohort: Cohort, tmp_path: Path):
    before = _expected(cohort)
    reading = cached_images(cohort, tmp_path, height=SIDE, width=SIDE)
    path = cohort.folder / "images" / str(cohort.images[3])
    Image.fromarray(np.zeros((24, 30), np.uint8)).save(path)
    os.utime(path, ns=(1, 1))
    again = cached_images(cohort, tmp_path, height=SIDE, width=SIDE)
    np.testing.assert_array_equal(reading, before)
    np.testing.assert_array_equal(again, _expected(cohort))
    assert not again[3].any()


def test_a_damaged_cache_is_mended_before_it_is_read(cohort: Cohort, tmp_path: Path):
    data = _build(cohort, tmp_path).path
    content = bytearray(data.read_bytes())
    content[1000] ^= 255
    data.write_bytes(content)
    np.testing.assert_array_equal(cached_images(cohort, tmp_path, height=SIDE, width=SIDE), _expected(cohort))


MODES = {
    "RGB.png": Image.fromarray(np.full((9, 7, 3), (200, 100, 50), np.uint8)),
    "RGBA.png": Image.fromarray(np.full((9, 7, 4), (200, 100, 50, 255), np.uint8)),
    "LA.png": Image.fromarray(np.full((9, 7, 2), (124, 255), np.uint8), "LA"),
    "P.png": Image.fromarray(np.full((9, 7, 3), (200, 100, 50), np.uint8)).quantize(4),
    "1.png": Image.fromarray(np.full((9, 7), 255, np.uint8)).convert("1"),
    "CMYK.jpg": Image.fromarray(np.full((9, 7, 3), 124, np.uint8)).convert("CMYK"),
    "I16.png": Image.fromarray((np.arange(63, dtype=np.uint16) * 1000).reshape(9, 7)),
}


@pytest.mark.parametrize("name", MODES)
def test_other_sizes_and_modes_become_grey_of_the_size(name: str, tmp_path: Path):
    MODES[name].save(tmp_path / name)
    pixels = read_grey(tmp_path / name, SIDE, SIDE)
    assert (pixels.shape, pixels.dtype) == ((SIDE, SIDE), np.dtype(np.uint8))
    if name == "I16.png":
        assert np.ptp(pixels) > 200  # not clipped to white
    else:
        grey = {"1.png": 255}.get(name, round(0.299 * 200 + 0.587 * 100 + 0.114 * 50))
        assert np.abs(pixels.astype(int) - grey).max() <= 2


def test_missing_and_damaged_images(cohort: Cohort, tmp_path: Path):
    path = cohort.folder / "images" / str(cohort.images[12])
    whole = path.read_bytes()
    path.write_bytes(whole[:80])
    with pytest.raises(BenchError) as caught:
        _build(cohort, tmp_path)
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("images-unreadable", 3)
    path.unlink()
    with pytest.raises(BenchError) as caught:
        _build(cohort, tmp_path)
    assert "1 of 23 images are missing" in caught.value.problems[0].message
    assert str(cohort.images[12]) not in str(caught.value)


@pytest.mark.parametrize("when", ["posix_fallocate", "pwrite"])
def test_a_full_disk(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str):
    calls = []
    original = getattr(os, when)

    def full(*arguments: object) -> object:
        calls.append(1)
        if when == "posix_fallocate" or len(calls) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, when, full)
        with pytest.raises(BenchError) as caught:
            _build(cohort, tmp_path)
    assert (caught.value.problems[0].code, caught.value.exit_code) == ("cache-write", 3)
    assert "No space left" in caught.value.problems[0].message
    assert _valid_pixels(tmp_path) is None
    assert _build(cohort, tmp_path).kept == (10 if when == "pwrite" else 0)
    np.testing.assert_array_equal(_valid_pixels(tmp_path), _expected(cohort))
