from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dorl.cells.crop import square_crop


def disc(shape: tuple[int, int], centre: tuple[int, int], radius: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    image = np.where(mask[..., None], (90, 40, 120), (230, 220, 225)).astype(np.uint8)
    return image, mask


@pytest.mark.parametrize("radius", [6, 20, 70])
def test_small_and_large_cells_fill_the_crop_alike(radius: int) -> None:
    crop, mask = square_crop(*disc((240, 200), (110, 90), radius), 112)
    assert crop.shape == (112, 112, 3)
    assert np.sqrt(mask.mean()) == pytest.approx(np.sqrt(np.pi) / 2 / 1.25, rel=0.08)
    assert ((crop[..., 1] < 130) == mask).mean() > 0.97


@pytest.mark.parametrize("centre", [(0, 0), (10, 195), (235, 100)])
def test_a_cell_at_the_edge_stands_in_the_middle_of_its_crop(centre: tuple[int, int]) -> None:
    image, mask = disc((240, 200), centre, 18)
    crop, cell = square_crop(image, mask, 64)
    rows, columns = np.argwhere(cell).T
    seen = np.argwhere(mask)
    middle = np.abs(np.ptp(seen, axis=0) / 2 - (seen - seen.min(0)).mean(0)).max()
    assert abs(rows.mean() - 32) < 4 + middle
    assert abs(columns.mean() - 32) < 4 + middle
    assert np.isin(crop[..., 1], range(39, 222)).all()


def test_without_a_cell_the_whole_picture_is_seen() -> None:
    image, _ = disc((60, 100), (30, 50), 20)
    crop, mask = square_crop(image, np.zeros((60, 100), bool), 100)
    assert mask.sum() == 60 * 100
    assert ((crop[..., 1] < 130).sum()) == pytest.approx(np.pi * 400, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_any_mask_can_be_cropped(height: int, width: int, data: st.DataObject) -> None:
    mask = np.zeros((height, width), bool)
    for _ in range(data.draw(st.integers(0, 3))):
        mask[data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))] = True
    crop, cell = square_crop(np.full((height, width, 3), 77, np.uint8), mask, 32)
    assert crop.shape == (32, 32, 3)
    assert (crop == 77).all()
    assert cell.any()
