"""Drawing of a synthetic chest X-ray: 224 by 224 pixels, 8-bit grey, as in CheXchoNet.

Every shape is a smooth inequality between a coordinate and a border curve, so that an image takes about forty
array operations. Shades add up like attenuation: 0 is air, 1 is dense.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from bench.cohort.synthetic.anatomy import IMAGE_SIDE, Anatomy, Subject, anatomy_of
from bench.cohort.synthetic.streams import Streams

TEXTURE_CELLS: Final = 40
STRIP: Final = 112  # rows drawn at once: smaller planes stay in the cache
JPEG_QUALITY: Final = 95
JPEG_COMMENT: Final = b"Synthetic drawing. Shows no patient."

# 32-bit, (IMAGE_SIDE, IMAGE_SIDE); (1, IMAGE_SIDE) if it depends on x alone, (IMAGE_SIDE, 1) on y alone.
Plane = npt.NDArray[np.floating[Any]]


def demo_jpeg(subject: Subject, seed: int) -> bytes:
    """Draw one synthetic image as a JPEG file; equal for equal seed, subject and encoder."""
    file = BytesIO()
    Image.fromarray(demo_pixels(subject, seed)).save(file, "JPEG", quality=JPEG_QUALITY, comment=JPEG_COMMENT)
    return file.getvalue()


def demo_pixels(subject: Subject, seed: int) -> npt.NDArray[np.uint8]:
    """Draw one synthetic image as grey values (224, 224), stretched to 0..255."""
    streams = Streams(seed)
    anatomy = anatomy_of(subject, streams)
    x, y = _coordinates(anatomy)
    texture = _texture(streams, subject.patient)
    rows = [slice(top, top + STRIP) for top in range(0, IMAGE_SIDE, STRIP)]
    shade: Plane = np.concatenate([_chest(x, y[strip], anatomy, texture[strip]) for strip in rows])
    shade += anatomy.noise * _grain(streams, subject.image) * (0.6 + 0.6 * shade)
    shade -= anatomy.local_contrast * _local_mean(shade)
    shade -= shade.min()
    shade *= 255.0 / shade.max()
    if subject.heart_transplant or subject.lung_transplant or subject.device:
        np.maximum(shade, hardware(subject, anatomy), out=shade)
    return np.rint(shade).astype(np.uint8)


@cache
def _grid() -> tuple[Plane, Plane]:
    axis = ((np.arange(IMAGE_SIDE) + 0.5) / (IMAGE_SIDE / 2) - 1).astype(np.float32)
    return axis[None, :], axis[:, None]


def _coordinates(anatomy: Anatomy) -> tuple[Plane, Plane]:
    """Compute the chest coordinates of the pixels: x as a row, y as a column."""
    x, y = _grid()
    y = (y - np.float32(anatomy.shift[1])) / np.float32(anatomy.zoom)
    x = (x - np.float32(anatomy.shift[0])) / np.float32(anatomy.zoom)
    return x, y


def _step(distance: Plane, softness: float) -> Plane:
    """Smoothstep: 0 outside, 1 inside, with a transition of width `softness` at distance 0."""
    t: Plane = distance * np.float32(0.5 / softness)  # in place below, since most time is spent here
    t += 0.5
    np.maximum(t, 0, out=t)
    np.minimum(t, 1, out=t)
    squared = t * t
    t *= -2
    t += 3
    t *= squared
    return t


def _chest(x: Plane, y: Plane, a: Anatomy, texture: Plane) -> Plane:
    """Draw the chest without hardware and grain."""
    side = np.abs(x)
    body = _body(side, y, a)
    thorax = _step(_chest_wall(y, a) - side, 0.02)
    dome = _diaphragm(x, a)
    above = _step(dome - y, 0.02)
    lungs = thorax * above
    heart = _heart(x, y, a)
    ribs = _ribs(side, y, a) * thorax

    central = np.maximum(heart, _mediastinum(x, y, a))

    shade = 0.50 * body + 0.05 * a.habitus * body * (y + 0.5)
    shade -= lungs * (0.40 - 0.02 * a.habitus)
    shade += (1 - above) * thorax * (0.24 - 0.10 * _stomach(x, y, a))
    shade += (1 - thorax) * body * 0.22 * _step(y - 0.25, 0.45)
    shade += ribs * (0.11 * lungs * (1 - 0.75 * central) + 0.015)
    shade += _vessels(side, y, a, texture) * lungs * (1 - 0.8 * central)
    shade += a.breast * _ellipse(side - 0.44, (y - 0.22), 0.36, 0.30) * body
    shade += 0.10 * _clavicles(side, y) * body
    shade += central * (0.33 * lungs + 0.05)
    shade += 0.06 * _spine(side, y) * body
    shade -= 0.09 * _step(0.045 - np.abs(x + 0.01), 0.02) * _step(-0.32 - y, 0.05) * body
    return shade.astype(np.float32)


def _body(side: Plane, y: Plane, a: Anatomy) -> Plane:
    """Trunk, shoulders and neck against the air."""
    shoulder = -0.98 + 0.30 * np.clip(side - 0.22, 0, None) - 0.05 * a.habitus
    flank = 0.97 + 0.05 * a.habitus + 0.25 * _step(-0.35 - y, 0.25)
    return _step(y - shoulder, 0.03) * _step(flank - side, 0.03)


def _chest_wall(y: Plane, a: Anatomy) -> Plane:
    """Half width of the rib cage at a height: a dome from the apex down to the widest place."""
    widest = 0.25
    up = np.clip((widest - y) / (widest - a.apex_y), 0, 1)
    plane: Plane = a.chest * np.sqrt(1 - up**2.6) * (0.96 + 0.04 * np.clip(y + 0.75, 0, 1))
    return plane


def _diaphragm(x: Plane, a: Anatomy) -> Plane:
    """Height of the domes, which fall to sharp angles at the sides."""
    dome = a.diaphragm[0] + (a.diaphragm[1] - a.diaphragm[0]) * _step(x, 0.2)
    off = (np.abs(x) - 0.36) / 0.44
    return dome + 0.08 * off**2 + 0.12 * np.clip(off, 0, None) ** 4


def _heart(x: Plane, y: Plane, a: Anatomy) -> Plane:
    """The silhouette between its left border (ventricle) and its right border (atrium)."""
    top = -0.12
    t = np.clip((y - top) / (a.heart_tip - top), 0, 1)
    under = np.clip((y - a.heart_tip) / 0.24, 0, 1)
    bulge = np.sin(np.float32(np.pi / 2) * t) ** np.float32(1.55 * 0.70**a.roundness)
    left = 0.10 + (a.heart_left - 0.10) * bulge * np.sqrt(1 - under**2)
    u = np.clip(1 - ((y - 0.20) / 0.34) ** 2, 0, 1)
    right = 0.09 + (a.heart_right - 0.09) * u**0.75
    return _step(left - x, 0.02) * _step(x + right, 0.02) * _step(y - top + 0.05, 0.05)


def _mediastinum(x: Plane, y: Plane, a: Anatomy) -> Plane:
    """Great vessels: a narrow band with the aortic knob and the pulmonary trunk on the patient's left."""
    knob = 0.075 * a.aorta * np.sqrt(np.clip(1 - ((y + 0.36) / 0.12) ** 2, 0, 1))
    trunk = 0.045 * np.exp(-(((y + 0.14) / 0.09) ** 2))
    left = 0.105 + 0.012 * a.habitus + knob + trunk
    right = 0.105 + 0.015 * a.habitus + 0.02 * a.aorta * _step(-0.1 - y, 0.2)
    return _step(left - x, 0.018) * _step(x + right, 0.018) * _step(0.35 - y, 0.1)


def _ribs(side: Plane, y: Plane, a: Anatomy) -> Plane:
    """Posterior ribs that fall to the sides, and fainter anterior ribs that fall to the middle."""
    turn = 2 * np.pi / a.rib_spacing
    back = _waves(turn * (0.05 * side - 0.42 * side * side) + a.rib_offset, turn * y)
    front = _waves(turn * 0.55 * side + 2 * a.rib_offset, turn * 0.9 * y)
    reach = np.clip((side - 0.3) * 3, 0, 1)
    plane: Plane = np.maximum(back + 0.1, 0) + 0.5 * reach * np.maximum(front - 0.1, 0) - 0.35
    return plane


def _waves(row: Plane, column: Plane) -> Plane:
    """Cosine of the sum of a row and a column, by the addition theorem: two cosines fewer per pixel."""
    plane: Plane = np.cos(row) * np.cos(column)
    plane -= np.sin(row) * np.sin(column)
    return plane


def _clavicles(side: Plane, y: Plane) -> Plane:
    ridge = y + 0.56 + 0.22 * side
    return _step(0.028 - np.abs(ridge), 0.02) * _step(side - 0.06, 0.02) * _step(0.78 - side, 0.05)


def _spine(side: Plane, y: Plane) -> Plane:
    vertebrae = 0.75 + 0.25 * np.cos(np.float32(2 * np.pi / 0.14) * y)
    plane: Plane = _step(0.085 - side, 0.025) * vertebrae
    return plane


def _stomach(x: Plane, y: Plane, a: Anatomy) -> Plane:
    return _ellipse(x - 0.36, y - a.diaphragm[1] - 0.13, 0.16, 0.08)


def _ellipse(dx: Plane, dy: Plane, half_width: float, half_height: float) -> Plane:
    """Ellipse with value 1 at its centre, falling smoothly to 0 at its border."""
    inside = np.clip(1 - (dx / half_width) ** 2 - (dy / half_height) ** 2, 0, 1)
    plane: Plane = inside * (2 - inside)
    return plane


def _vessels(side: Plane, y: Plane, a: Anatomy, texture: Plane) -> Plane:
    """Branching shadows that fade with the distance from the hila, and a veil over the bases."""
    near = np.clip(1.15 - 1.6 * np.sqrt((side - 0.17) ** 2 + (y + 0.02) ** 2), 0, 1)
    veil = near * near + 0.5 * np.clip(y + 0.1, 0, 1)
    plane: Plane = (0.05 + 0.06 * a.congestion) * near * np.maximum(texture, 0)
    plane += 0.10 * a.congestion * veil
    return plane


def _texture(streams: Streams, patient: str) -> Plane:
    """Smooth noise of about unit scale: the patient's own pattern of vessels."""
    cells = streams.words(f"vessels {patient}", TEXTURE_CELLS**2 // 8).view(np.uint8)
    image = Image.fromarray(cells.reshape(TEXTURE_CELLS, TEXTURE_CELLS))
    smooth = image.resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BICUBIC)
    plane: Plane = (np.asarray(smooth, np.float32) - 127.5) / np.float32(60)
    return plane


def _grain(streams: Streams, image: str) -> Plane:
    """Noise of unit variance: sums of two random bytes."""
    words = streams.words(f"grain {image}", IMAGE_SIDE**2 // 4)
    pair = words.view(np.uint8).reshape(2, IMAGE_SIDE, IMAGE_SIDE)
    plane: Plane = pair[0].astype(np.float32)
    plane += pair[1]
    plane -= 255
    plane /= np.float32(104.5)
    return plane


def _local_mean(shade: Plane) -> Plane:
    """Mean over neighbourhoods of about a seventh of the image, as in adaptive equalisation."""
    tiles = Image.fromarray(shade).reduce(IMAGE_SIDE // 7)
    return np.asarray(tiles.resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BICUBIC))


def hardware(subject: Subject, a: Anatomy) -> npt.NDArray[np.float32]:
    """Draw implants as grey values (IMAGE_SIDE, IMAGE_SIDE), 0 elsewhere."""
    canvas = Image.new("L", (2 * IMAGE_SIDE, 2 * IMAGE_SIDE))
    pen = _Pen(ImageDraw.Draw(canvas), a)
    if subject.heart_transplant:
        for k in range(6):
            pen.line([(-0.025, -0.42 + 0.12 * k), (0.025, -0.40 + 0.12 * k), (-0.02, -0.385 + 0.12 * k)], 3)
    if subject.lung_transplant:
        for k in range(4):
            pen.line([(-0.2 + 0.13 * k, 0.02 + 0.04 * (k % 2)), (-0.18 + 0.13 * k, 0.05)], 4)
        pen.line([(-0.07, 0.12), (0.07, 0.13)], 3)
    if subject.device:
        pen.box(0.48, -0.56, 0.66, -0.40)
        right, tip = -0.5 * a.heart_right, (0.55 * a.heart_left, a.heart_tip)
        pen.line([(0.5, -0.5), (0.3, -0.62), (0.02, -0.5), (-0.08, -0.25), (right, 0.1)], 3)
        pen.line([(0.5, -0.48), (0.28, -0.6), (0.0, -0.48), (-0.06, -0.2), (right + 0.06, 0.22), tip], 3)
    return np.asarray(canvas.reduce(2), np.float32)


class _Pen:
    """Drawing in chest coordinates."""

    def __init__(self, draw: ImageDraw.ImageDraw, a: Anatomy) -> None:
        self._draw, self._a = draw, a

    def _at(self, x: float, y: float) -> tuple[float, float]:
        a = self._a
        return (x * a.zoom + a.shift[0] + 1) * IMAGE_SIDE, (y * a.zoom + a.shift[1] + 1) * IMAGE_SIDE

    def line(self, points: list[tuple[float, float]], width: int) -> None:
        self._draw.line([self._at(*point) for point in points], fill=255, width=width, joint="curve")

    def box(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self._draw.rounded_rectangle((*self._at(x0, y0), *self._at(x1, y1)), radius=14, fill=255)
