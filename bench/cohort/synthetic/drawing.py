"""Drawing of a synthetic chest X-ray from its anatomy: 224 by 224 pixels, 8-bit grey, as in CheXchoNet.

Every shape is a smooth inequality between a curve of x and a curve of y. The curves are computed here, pixels
by `bench.cohort.synthetic.shading`. Shades add up like attenuation: 0 is air, 1 is dense.
"""

from __future__ import annotations

from functools import cache, lru_cache
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from bench.cohort.synthetic import shading
from bench.cohort.synthetic.anatomy import IMAGE_SIDE, Anatomy, Subject, anatomy_of
from bench.cohort.synthetic.streams import Streams
from bench.metrics.validation import Floats

TEXTURE_CELLS: Final = 40
JPEG_QUALITY: Final = 95
JPEG_COMMENT: Final = b"Synthetic drawing. Shows no patient."

# 32-bit: (IMAGE_SIDE, IMAGE_SIDE), or as many columns as a docstring says.
Plane = npt.NDArray[np.floating[Any]]


def demo_jpeg(subject: Subject, seed: int) -> bytes:
    """The JPEG file of one synthetic image; the same for the same seed, subject and encoder."""
    file = BytesIO()
    Image.fromarray(demo_pixels(subject, seed)).save(file, "JPEG", quality=JPEG_QUALITY, comment=JPEG_COMMENT)
    return file.getvalue()


def demo_pixels(subject: Subject, seed: int) -> npt.NDArray[np.uint8]:
    """(224, 224) grey values of one synthetic image, stretched to 0..255."""
    streams = Streams(seed)
    a = anatomy_of(subject, streams)
    x, y = _curves(a)
    shades = (
        *(0.40 - 0.02 * a.habitus, a.breast),
        *(0.05 + 0.06 * a.congestion, 0.10 * a.congestion, a.noise),
    )
    texture, grain = _texture(streams, subject.patient), _grain(streams, subject.image)
    plane: Plane = shading.shade_chest(x, y, tuple(map(np.float32, shades)), texture, grain)
    plane = shading.equalise(plane, _tile_weights(), np.float32(a.local_contrast))
    if subject.heart_transplant or subject.lung_transplant or subject.device:
        np.maximum(plane, hardware(subject, a), out=plane)
    return np.rint(plane).astype(np.uint8)


def _curves(a: Anatomy) -> tuple[Plane, Plane]:
    """(CURVES, SIDE) parts of every curve that depend on x, and those that depend on y."""
    axis = np.asarray((np.arange(IMAGE_SIDE) + 0.5) / (IMAGE_SIDE / 2) - 1, np.float64)
    parts = _Curves((axis - a.shift[0]) / a.zoom, (axis - a.shift[1]) / a.zoom)
    _trunk(parts, a)
    _lungs(parts, a)
    _heart(parts, a)
    _mediastinum(parts, a)
    _bones(parts, a)
    return parts.of_x.astype(np.float32), parts.of_y.astype(np.float32)


class _Curves:
    """Curves of an image, to be drawn together.

    Attributes:
        x: (SIDE,) horizontal chest coordinates of the pixels.
        y: (SIDE,) vertical chest coordinates.
        side: (SIDE,) distances from the midline.
        of_x: (CURVES, SIDE) what was collected as a function of x.
        of_y: (CURVES, SIDE) what was collected as a function of y.
    """

    def __init__(self, x: Floats, y: Floats) -> None:
        self.x, self.y, self.side = x, y, np.abs(x)
        self.of_x, self.of_y = (np.ones((shading.CURVES, IMAGE_SIDE)) for _ in range(2))

    def border(self, curve: int, of_x: Floats, of_y: Floats, softness: float) -> None:
        """Add the border where the sum is 0, blurred over about `softness`; dense where it is positive."""
        self.of_x[curve] = of_x / (2 * softness)
        self.of_y[curve] = of_y / (2 * softness) + 0.5

    def ellipse(self, curve: int, dx: Floats, dy: Floats, half_width: float, half_height: float) -> None:
        """Add an ellipse by the distances from its middle."""
        self.of_x[curve] = 1 - (dx / half_width) ** 2
        self.of_y[curve] = -((dy / half_height) ** 2)

    def waves(self, cosine: int, sine: int, phase: Floats, turn: Floats) -> None:
        """Add the cosine of `phase` (of x) plus `turn` (of y), by the addition theorem."""
        self.of_x[cosine], self.of_y[cosine] = np.cos(phase), np.cos(turn)
        self.of_x[sine], self.of_y[sine] = np.sin(phase), np.sin(turn)


def _smoothstep(distance: Floats, softness: float) -> Floats:
    """0 well outside, 1 well inside, smooth over about `softness` around a border at distance 0."""
    t = np.clip(distance / (2 * softness) + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _trunk(c: _Curves, a: Anatomy) -> None:
    """Trunk, shoulders and neck against the air, and the soft tissue on them."""
    shoulder = -0.98 + 0.30 * np.clip(c.side - 0.22, 0, None) - 0.05 * a.habitus
    flank = 0.97 + 0.05 * a.habitus + 0.25 * _smoothstep(-0.35 - c.y, 0.25)
    c.border(shading.SHOULDER, -shoulder, c.y, 0.03)
    c.border(shading.FLANK, -c.side, flank, 0.03)
    c.ellipse(shading.BREAST, c.side - 0.44, c.y - 0.22, 0.36, 0.30)
    c.ellipse(shading.STOMACH, c.x - 0.36, c.y - a.diaphragm[1] - 0.13, 0.16, 0.08)
    c.of_y[shading.TRUNK] = 0.50 + 0.05 * a.habitus * (c.y + 0.5)
    c.of_y[shading.BELOW_RIBS] = 0.22 * _smoothstep(c.y - 0.25, 0.45)


def _lungs(c: _Curves, a: Anatomy) -> None:
    """Rib cage, diaphragm and lung vessels.

    The rib cage is a dome from the apex down to its widest place; the diaphragm falls to sharp angles at the
    sides; vessels fade with the distance from the hila.
    """
    widest = 0.25
    up = np.clip((widest - c.y) / (widest - a.apex_y), 0, 1)
    wall = a.chest * np.sqrt(1 - up**2.6) * (0.96 + 0.04 * np.clip(c.y + 0.75, 0, 1))
    c.border(shading.CHEST_WALL, -c.side, wall, 0.02)
    dome = a.diaphragm[0] + (a.diaphragm[1] - a.diaphragm[0]) * _smoothstep(c.x, 0.2)
    off = (c.side - 0.36) / 0.44
    c.border(shading.DIAPHRAGM, dome + 0.08 * off**2 + 0.12 * np.clip(off, 0, None) ** 4, -c.y, 0.02)
    c.of_x[shading.HILUM], c.of_y[shading.HILUM] = (c.side - 0.17) ** 2, (c.y + 0.02) ** 2
    c.of_y[shading.LUNG_BASES] = 0.5 * np.clip(c.y + 0.1, 0, 1)


def _heart(c: _Curves, a: Anatomy) -> None:
    """The silhouette between its left border (ventricle) and its right border (atrium)."""
    top = -0.12
    t = np.clip((c.y - top) / (a.heart_tip - top), 0, 1)
    under = np.clip((c.y - a.heart_tip) / 0.24, 0, 1)
    bulge = np.sin(np.pi / 2 * t) ** (1.55 * 0.70**a.roundness)
    left = 0.10 + (a.heart_left - 0.10) * bulge * np.sqrt(1 - under**2)
    u = np.clip(1 - ((c.y - 0.20) / 0.34) ** 2, 0, 1)
    c.border(shading.HEART_LEFT, -c.x, left, 0.02)
    c.border(shading.HEART_RIGHT, c.x, 0.09 + (a.heart_right - 0.09) * u**0.75, 0.02)
    c.of_y[shading.HEART_TOP] = _smoothstep(c.y - top + 0.05, 0.05)


def _mediastinum(c: _Curves, a: Anatomy) -> None:
    """Great vessels: a narrow band with the aortic knob and the pulmonary trunk on the patient's left."""
    knob = 0.075 * a.aorta * np.sqrt(np.clip(1 - ((c.y + 0.36) / 0.12) ** 2, 0, 1))
    trunk = 0.045 * np.exp(-(((c.y + 0.14) / 0.09) ** 2))
    right = 0.105 + 0.015 * a.habitus + 0.02 * a.aorta * _smoothstep(-0.1 - c.y, 0.2)
    c.border(shading.VESSELS_LEFT, -c.x, 0.105 + 0.012 * a.habitus + knob + trunk, 0.018)
    c.border(shading.VESSELS_RIGHT, c.x, right, 0.018)
    c.of_y[shading.VESSELS_TOP] = _smoothstep(0.35 - c.y, 0.1)
    c.of_x[shading.TRACHEA] = 0.09 * _smoothstep(0.045 - np.abs(c.x + 0.01), 0.02)
    c.of_y[shading.TRACHEA] = _smoothstep(-0.32 - c.y, 0.05)


def _bones(c: _Curves, a: Anatomy) -> None:
    """Posterior ribs, which fall to the sides, anterior ribs, which fall to the middle, and other bones."""
    turn = 2 * np.pi / a.rib_spacing
    fall = turn * (0.05 * c.side - 0.42 * c.side * c.side) + a.rib_offset
    c.waves(shading.BACK_COS, shading.BACK_SIN, fall, turn * c.y)
    c.waves(shading.FRONT_COS, shading.FRONT_SIN, turn * 0.55 * c.side + 2 * a.rib_offset, turn * 0.9 * c.y)
    c.of_x[shading.RIB_REACH] = 0.5 * np.clip((c.side - 0.3) * 3, 0, 1)
    c.of_x[shading.CLAVICLE], c.of_y[shading.CLAVICLE] = 0.22 * c.side, c.y + 0.56
    c.of_x[shading.CLAVICLE_ENDS] = 0.10 * _smoothstep(c.side - 0.06, 0.02) * _smoothstep(0.78 - c.side, 0.05)
    c.of_x[shading.SPINE] = 0.06 * _smoothstep(0.085 - c.side, 0.025)
    c.of_y[shading.SPINE] = 0.75 + 0.25 * np.cos(2 * np.pi / 0.14 * c.y)


@cache
def _tile_weights() -> Plane:
    """(SIDE, TILES) bicubic interpolation from the middles of tiles to pixels (Keys 1981, a = -1/2)."""
    at = (np.arange(IMAGE_SIDE) + 0.5) / shading.TILE - 0.5
    t = np.abs(at[:, None] - np.arange(shading.TILES))
    near, far = (1.5 * t - 2.5) * t * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
    weights = np.where(t < 1, near, np.where(t < 2, far, 0.0))
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


@lru_cache(maxsize=1)  # a patient's images are drawn one after the other
def _texture(streams: Streams, patient: str) -> Plane:
    """Smooth noise of about unit scale: the patient's own pattern of vessels."""
    cells = streams.words(f"vessels {patient}", TEXTURE_CELLS**2 // 8).view(np.uint8)
    image = Image.fromarray(cells.reshape(TEXTURE_CELLS, TEXTURE_CELLS))
    smooth = image.resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BICUBIC)
    plane: Plane = (np.asarray(smooth, np.float32) - 127.5) / np.float32(60)
    return plane


def _grain(streams: Streams, image: str) -> Plane:
    """Noise of unit variance: sums of two bytes, without any library's generator."""
    words = streams.words(f"grain {image}", IMAGE_SIDE**2 // 4)
    pair = words.view(np.uint8).reshape(2, IMAGE_SIDE, IMAGE_SIDE)
    plane: Plane = pair[0].astype(np.float32)
    plane += pair[1]
    plane -= 255
    plane /= np.float32(104.5)
    return plane


def hardware(subject: Subject, a: Anatomy) -> npt.NDArray[np.float32]:
    """(IMAGE_SIDE, IMAGE_SIDE) grey values of what surgeons left in the chest, 0 elsewhere."""
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
    """A pen in chest coordinates."""

    def __init__(self, draw: ImageDraw.ImageDraw, a: Anatomy) -> None:
        self._draw, self._a = draw, a

    def _at(self, x: float, y: float) -> tuple[float, float]:
        a = self._a
        return (x * a.zoom + a.shift[0] + 1) * IMAGE_SIDE, (y * a.zoom + a.shift[1] + 1) * IMAGE_SIDE

    def line(self, points: list[tuple[float, float]], width: int) -> None:
        self._draw.line([self._at(*point) for point in points], fill=255, width=width, joint="curve")

    def box(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self._draw.rounded_rectangle((*self._at(x0, y0), *self._at(x1, y1)), radius=14, fill=255)
