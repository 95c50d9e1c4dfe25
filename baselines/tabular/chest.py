"""Measurement of heart and chest widths on a chest X-ray by segmentation of the lungs.

The lungs are the two largest dark regions that do not reach the border of the image. Between them lies the
heart. The cardiothoracic ratio (Danzer, Am J Med Sci 1919;157:513) is the width of
the heart over that of the chest inside the ribs.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from baselines.api import Pixels

SMALLEST_LUNG = 0.01  # share of the image
TIPS = 0.1  # share of the lungs' height left out above and below
WIDEST = 0.9  # quantile over rows used as the maximum, since single rows run along the diaphragm
FEWEST_ROWS = 6
BLUR = 0.012  # of the side
AROUND = 0.12  # of the side: scale of the local mean
DARKER = 0.3  # standard deviations of the image below the local mean
THREAD = 0.02  # of the side: thinner dark lines are removed

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Chest:
    """Widths and areas as shares of the image's side or area.

    Attributes:
        ratio: Cardiothoracic ratio: `heart` over `chest`.
        heart: Greatest width between the lungs in their lower half.
        chest: Greatest width from the outer edge of one lung to that of the other.
        left: Greatest reach of the heart from the middle of the chest towards the right of the image.
        right: The same towards the left of the image.
        upper: Mean width between the lungs in their upper half.
        lungs: Area of the lungs.
    """

    ratio: float
    heart: float
    chest: float
    left: float
    right: float
    upper: float
    lungs: float


MEASURES = tuple(field.name for field in fields(Chest))


def measure(images: Pixels) -> npt.NDArray[np.float64]:
    """Measure images (n, side, side); return (n, 7), a row of NaN if two lungs are not found."""
    chests = [measure_one(image) for image in images]
    return np.array([[np.nan] * len(MEASURES) if chest is None else astuple(chest) for chest in chests])


def measure_one(image: Pixels) -> Chest | None:
    """Measure one image (side, side); None if two lungs are not found."""
    side = image.shape[1]
    pair = find_lungs(image)
    if pair is None:
        return None
    image_left, image_right = pair  # on the left and on the right of the image
    rows = _rows_of_both(image_left, image_right)
    if len(rows) < FEWEST_ROWS:
        return None
    outer_left, inner_left = _edges(image_left[rows])
    inner_right, outer_right = _edges(image_right[rows])
    middle = len(rows) // 2
    between, chest = inner_right - inner_left - 1, float((outer_right - outer_left + 1).max())
    axis = (outer_left + outer_right) / 2
    heart = _greatest(between[middle:])
    return Chest(
        ratio=heart / chest,
        heart=heart / side,
        chest=chest / side,
        left=_greatest((inner_right - axis)[middle:]) / side,
        right=_greatest((axis - inner_left)[middle:]) / side,
        upper=float(between[:middle].mean()) / side,
        lungs=float(image_left.mean() + image_right.mean()),
    )


def find_lungs(image: Pixels) -> tuple[Mask, Mask] | None:
    """Segment the lungs; return masks (side, side) of the one on the left and the right of the image.

    A global threshold is tried first, since it finds sharper edges, then a local one, which tolerates uneven
    exposure. None if neither finds two lungs.
    """
    side = image.shape[1]
    grey = image.astype(np.float64)
    smooth = ndimage.gaussian_filter(grey, BLUR * side)
    central = smooth[round(0.12 * side) : round(0.8 * side), round(0.12 * side) : round(0.88 * side)]
    lungs = _two_regions(smooth < otsu(central))
    if lungs is None:
        around = ndimage.gaussian_filter(grey, AROUND * side)
        lungs = _two_regions(smooth < around - DARKER * smooth.std())
    return lungs


def _two_regions(dark: Mask) -> tuple[Mask, Mask] | None:
    """Return the two largest regions off the border if their size and distance fit two lungs."""
    side = dark.shape[1]
    dark = _opened(dark, max(1, round(THREAD * side)))
    regions, _ = ndimage.label(dark)
    border = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    inside = np.where(np.isin(regions, border), 0, regions)
    sizes = np.bincount(inside.ravel())
    sizes[0] = 0
    large = [int(k) for k in np.argsort(sizes)[::-1][:2] if sizes[k] >= SMALLEST_LUNG * dark.size]
    if len(large) < 2:
        return None
    masks = sorted((inside == k for k in large), key=_centre)
    if _centre(masks[1]) - _centre(masks[0]) <= side / 8:
        return None
    return _filled(masks[0]), _filled(masks[1])


def _opened(mask: Mask, times: int) -> Mask:
    """Morphological opening, as `scipy.ndimage.binary_opening` but faster on small images."""
    for _ in range(times):
        mask = _with_neighbours(mask, np.logical_and)
    for _ in range(times):
        mask = _with_neighbours(mask, np.logical_or)
    return mask


def _with_neighbours(mask: Mask, join: np.ufunc) -> Mask:
    """Combine each pixel with its four neighbours; pixels beyond the border are False."""
    wide = np.pad(mask, 1)
    joined: Mask = join(wide[1:-1, 1:-1], wide[:-2, 1:-1])
    for neighbours in (wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]):
        join(joined, neighbours, out=joined)
    return joined


def _centre(mask: Mask) -> float:
    """Compute the mean column of a mask that is not empty."""
    columns = np.count_nonzero(mask, axis=0)
    return float(columns @ np.arange(len(columns)) / columns.sum())


def _filled(mask: Mask) -> Mask:
    """Fill the holes of a mask that does not touch the border."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    filled = mask.copy()
    filled[box] = ndimage.binary_fill_holes(mask[box])
    return filled


def otsu(values: npt.NDArray[np.float64]) -> float:
    """Compute Otsu's threshold (Otsu, IEEE Trans Syst Man Cybern 1979;9:62)."""
    if values.min() == values.max():
        return float(values.min())
    counts, edges = np.histogram(values, 256)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(between[:-1])])


def _rows_of_both(left: Mask, right: Mask) -> npt.NDArray[np.intp]:
    """Return the rows that contain both lungs, without the tips."""
    rows = np.flatnonzero(left.any(1) & right.any(1))
    tip = round(TIPS * len(rows))
    return rows[tip : len(rows) - tip]


def _greatest(widths: npt.NDArray[np.float64] | npt.NDArray[np.intp]) -> float:
    return float(np.quantile(widths, WIDEST))


def _edges(rows: Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the first and last True column of each row."""
    return rows.argmax(1), rows.shape[1] - 1 - rows[:, ::-1].argmax(1)
