"""Metal in a synthetic chest X-ray: pacemakers with their leads, wires of the breastbone, clips."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from bench.cohort.demo_anatomy import IMAGE_SIDE, Anatomy, Subject


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
    """Draws in chest coordinates."""

    def __init__(self, draw: ImageDraw.ImageDraw, a: Anatomy) -> None:
        self._draw, self._a = draw, a

    def _at(self, x: float, y: float) -> tuple[float, float]:
        a = self._a
        return (x * a.zoom + a.shift[0] + 1) * IMAGE_SIDE, (y * a.zoom + a.shift[1] + 1) * IMAGE_SIDE

    def line(self, points: list[tuple[float, float]], width: int) -> None:
        self._draw.line([self._at(*point) for point in points], fill=255, width=width, joint="curve")

    def box(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self._draw.rounded_rectangle((*self._at(x0, y0), *self._at(x1, y1)), radius=14, fill=255)
