from __future__ import annotations

import numpy as np

from dorl.segmentation.square import REACH, square_crop


def disc(height: int, width: int, centre: tuple[int, int], radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def test_cells_of_any_size_fill_their_crops_alike() -> None:
    shares = []
    for side, radius in ((100, 12), (400, 90)):
        mask = disc(side, side, (side // 2, side // 2), radius)
        image = np.where(mask[..., None], 50, 220).astype(np.uint8).repeat(3, axis=2)
        crop, marks = square_crop(image, mask, side=64)
        assert crop.shape == (64, 64, 3)
        assert crop.dtype == np.uint8
        assert (crop[marks] < 140).mean() > 0.95  # the mask lies on the cell
        shares.append(marks.mean())
    np.testing.assert_allclose(shares, np.pi / 4 / REACH**2, atol=0.05)


def test_beyond_the_edge_the_outermost_pixels_are_repeated() -> None:
    mask = disc(60, 90, (2, 45), 20)
    image = np.full((60, 90, 3), 200, np.uint8)
    crop, marks = square_crop(image, mask, side=32)
    assert (crop == 200).all()
    assert marks.any()


def test_without_a_cell_the_whole_image_is_taken() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    crop, marks = square_crop(image, np.zeros((40, 60), bool), side=32)
    assert marks.all()
    assert abs(float(crop.mean()) - float(image.mean())) < 5
