from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from baselines.tabular.chest import MEASURES, _filled, _opened, find_lungs, measure, measure_one, otsu


def _drawn(heart: float, chest: float, side: int = 200, shift: float = 0.0, noise: float = 6.0) -> np.ndarray:
    """A bright chest with two dark lungs; widths as shares of the side."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    x = x - shift
    lungs = (np.abs(x) < chest / 2) & (np.abs(y + 0.05) < 0.3) & (np.abs(x) > 0.06)
    lungs &= ~((np.abs(x) < heart / 2) & (y > 0))
    image = 170 - 110 * lungs + np.random.default_rng(0).normal(0, noise, lungs.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("heart", [0.25, 0.32, 0.4])
@pytest.mark.parametrize("chest", [0.66, 0.8])
def test_the_ratio_is_that_of_the_drawing(heart: float, chest: float):
    found = measure_one(_drawn(heart, chest))
    assert found is not None
    assert found.heart == pytest.approx(heart, abs=0.02)
    assert found.chest == pytest.approx(chest, abs=0.02)
    assert found.ratio == pytest.approx(heart / chest, abs=0.03)
    assert found.left == pytest.approx(heart / 2, abs=0.02)
    assert found.upper == pytest.approx(0.12, abs=0.03)


def test_the_measures_move_with_nothing_but_the_widths():
    """Exposure and position leave them as they are."""
    image = _drawn(0.3, 0.7)
    expected = measure(image[None])[0]
    darker = (image * 0.6 + 10).astype(np.uint8)
    np.testing.assert_allclose(measure(darker[None])[0], expected, atol=0.02)
    np.testing.assert_allclose(measure(_drawn(0.3, 0.7, shift=0.05)[None])[0], expected, atol=0.02)


def test_mirroring_exchanges_the_sides():
    image = _drawn(0.3, 0.7)
    image[105:150, 60:80] = 170  # the heart reaches further to one side
    one, other = measure_one(image), measure_one(image[:, ::-1])
    assert one is not None
    assert other is not None
    assert one.right > one.left + 0.03
    assert (other.left, other.right) == pytest.approx((one.right, one.left), abs=0.01)
    assert other.ratio == pytest.approx(one.ratio, abs=0.01)


def test_uneven_exposure_is_coped_with():
    ramp = np.linspace(0.35, 1.0, 200)[:, None]
    found = measure_one((_drawn(0.3, 0.7) * ramp).astype(np.uint8))
    assert found is not None
    assert found.ratio == pytest.approx(0.3 / 0.7, abs=0.06)


@pytest.mark.parametrize("image", [np.zeros((64, 64)), np.full((64, 64), 200), np.eye(64) * 255])
def test_no_lungs_no_measures(image: np.ndarray):
    assert find_lungs(image.astype(np.uint8)) is None
    assert np.isnan(measure(image.astype(np.uint8)[None])).all()


def test_one_dark_region_is_not_two_lungs():
    image = _drawn(0.3, 0.7)
    image[:, 100:] = 170
    assert measure_one(image) is None


def test_shape_and_order():
    images = np.stack([_drawn(0.25, 0.7), np.zeros((200, 200), np.uint8), _drawn(0.4, 0.7)])
    measured = measure(images)
    assert measured.shape == (3, len(MEASURES))
    assert measured[0, 0] < measured[2, 0]
    assert np.isnan(measured[1]).all()


def test_otsu_parts_two_heaps():
    """Against the definition: the split with the least variance within."""
    random = np.random.default_rng(3)
    values = np.concatenate([random.normal(40, 8, 300), random.normal(120, 15, 700)])
    cuts = np.linspace(values.min(), values.max(), 257)[1:-1]
    within = [sum(part.size * part.var() for part in (values[values < c], values[values >= c])) for c in cuts]
    assert otsu(values) == pytest.approx(cuts[int(np.argmin(within))], abs=1.0)


@given(arrays(bool, (12, 9)), st.integers(1, 3))
def test_opening_and_filling_are_scipys(mask: np.ndarray, times: int):
    np.testing.assert_array_equal(_opened(mask, times), ndimage.binary_opening(mask, iterations=times))
    mask[[0, -1]] = mask[:, [0, -1]] = False  # lungs are off the border
    mask[5, 4] = True
    np.testing.assert_array_equal(_filled(mask), ndimage.binary_fill_holes(mask))
