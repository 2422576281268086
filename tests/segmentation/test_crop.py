from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from dorl.segmentation.crop import cell_crop, filled, largest_component

from .small import noise, render


def box(height: int, width: int, top: int, left: int, rows: int, columns: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[top : top + rows, left : left + columns] = True
    return mask


def test_a_cell_of_108_pixels_is_copied_with_a_grey_border_of_10() -> None:
    image = noise(1, 200, 240)[0]
    crop = cell_crop(image, box(200, 240, 30, 50, 108, 108))
    assert crop.dtype == np.uint8
    assert crop.shape == (128, 128, 3)
    np.testing.assert_array_equal(crop[10:118, 10:118], image[30:138, 50:158])
    border = np.ones((128, 128), bool)
    border[10:118, 10:118] = False
    assert (crop[border] == 128).all()


def test_what_is_outside_the_cell_is_grey_even_inside_its_box() -> None:
    image = noise(1, 150, 150)[0]
    mask = box(150, 150, 20, 20, 108, 108)
    mask[20:60, 20:60] = False
    crop = cell_crop(image, mask)
    assert (crop[10:50, 10:50] == 128).all()
    np.testing.assert_array_equal(crop[50:118, 50:118], image[60:128, 60:128])


def test_only_the_largest_component_is_kept() -> None:
    image = noise(1, 200, 200)[0]
    cell = box(200, 200, 10, 10, 108, 108)
    debris = box(200, 200, 150, 150, 30, 30)
    np.testing.assert_array_equal(cell_crop(image, cell | debris), cell_crop(image, cell))
    np.testing.assert_array_equal(largest_component(cell | debris), cell)


def test_parts_that_touch_at_a_corner_are_one() -> None:
    mask = box(20, 20, 2, 2, 4, 4) | box(20, 20, 6, 6, 3, 3) | box(20, 20, 14, 2, 4, 5)
    assert largest_component(mask).sum() == 25


def test_an_empty_mask_gives_a_grey_crop() -> None:
    empty = np.zeros((60, 70), bool)
    assert not largest_component(empty).any()
    crop = cell_crop(noise(1, 60, 70)[0], empty)
    assert crop.shape == (128, 128, 3)
    assert (crop == 128).all()


@pytest.mark.parametrize("corner", [(0, 0), (0, 40), (30, 0), (30, 40)])
def test_a_cell_at_the_edge_keeps_its_border(corner: tuple[int, int]) -> None:
    image = np.full((50, 60, 3), 250, np.uint8)
    crop = cell_crop(image, box(50, 60, *corner, 20, 20))
    inner = slice(round(10 / 40 * 128) + 4, round(30 / 40 * 128) - 4)
    assert (crop[inner, inner] == 250).all()
    outer = round(10 / 40 * 128) - 8
    for side in (crop[:outer], crop[-outer:], crop[:, :outer], crop[:, -outer:]):
        assert (side == 128).all()


def test_enlarging_is_cubic() -> None:
    crop = cell_crop(np.full((30, 30, 3), 250, np.uint8), box(30, 30, 8, 8, 10, 10))
    # only a cubic kernel overshoots at an edge: darker than grey outside, brighter than the cell inside
    assert crop.min() < 128
    assert crop.max() > 250
    assert len(np.unique(crop)) > 10


def test_a_long_cell_is_squeezed_to_the_square() -> None:
    image = np.full((100, 100, 3), 250, np.uint8)
    bright = cell_crop(image, box(100, 100, 40, 5, 12, 90))[..., 0] > 200
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    assert np.ptp(rows) + 1 == pytest.approx(128 * 12 / 32, abs=2)
    assert np.ptp(columns) + 1 == pytest.approx(128 * 90 / 110, abs=2)


def test_the_side_can_be_chosen_and_the_image_is_not_painted_on() -> None:
    cell = render(1, size=96)[0]
    before, mask = cell.image.copy(), cell.mask.copy()
    large, small = cell_crop(cell.image, cell.mask), cell_crop(cell.image, cell.mask, 32)
    assert small.shape == (32, 32, 3)
    shrunk = np.asarray(Image.fromarray(large).resize((32, 32), Image.Resampling.BOX))
    assert np.abs(shrunk.astype(float) - small).mean() < 4
    np.testing.assert_array_equal(cell.image, before)
    np.testing.assert_array_equal(cell.mask, mask)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_holes_are_filled_as_scipy_fills_them(share: float) -> None:
    mask = np.random.default_rng(0).random((60, 80)) < share
    np.testing.assert_array_equal(filled(mask), ndimage.binary_fill_holes(mask))
