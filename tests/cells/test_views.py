from __future__ import annotations

import numpy as np
import pytest

from dorl.cells.crop import square_crop
from dorl.cells.references import to_references
from dorl.cells.views import MARKS, Pictures, Views, alone, cell_pictures, token_channels, view_tokens
from dorl.domains import read_domain
from dorl.domains.corrupted import corrupt
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import find_central_cells

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load("tiny")


@pytest.fixture(scope="module")
def crops(segmenter: Segmenter, labs: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    lab = read_domain(labs[0].split("=")[1])
    images = [lab.load(i) for i in range(4)]
    return [
        square_crop(image, cell.mask) for image, cell in zip(images, find_central_cells(segmenter, images), strict=True)
    ]


def test_a_noisy_cell_is_filtered_before_it_is_looked_at(crops: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for clean, mask in crops:
        noisy = corrupt(clean, "noise", 3)
        good, after = (cell_pictures(one, mask, Views(1, 0)).images[0].astype(int) for one in (clean, noisy))
        assert np.abs(after - good).mean() < np.abs(to_references(noisy, mask)[0] - good).mean()
        as_it_is = cell_pictures(noisy, mask, Views(1, 0), references=False).images[0]
        assert np.array_equal(as_it_is, noisy)  # without references it keeps its noise


def test_tokens_hold_finer_grids_and_the_outline(segmenter: Segmenter) -> None:
    image = np.random.default_rng(0).integers(0, 255, (1, 224, 224, 3), dtype=np.uint8)
    cell, nucleus = np.zeros((2, 1, 224, 224), bool)
    cell[:, 32:192, 32:192] = True
    nucleus[:, 40:96, 32:192] = True
    (found,) = view_tokens(segmenter, Pictures(image, cell, nucleus)).cpu().numpy()
    tokens, middle, fine = (grid[0].cpu().numpy() for grid in segmenter.grids(_tensor(image)))
    assert found.shape == (token_channels(segmenter), 14, 14)
    assert len(found) == len(tokens) + 2 * len(middle) + 2 * len(fine) + MARKS
    assert np.allclose(found[: len(tokens)], tokens, atol=1e-4)
    start = len(tokens)
    assert found[start, 3, 5] == pytest.approx(middle[0, 6:8, 10:12].mean(), abs=1e-4)
    assert found[start + len(middle), 3, 5] == pytest.approx(middle[0, 6:8, 10:12].std(), abs=1e-2)
    assert found[-2:, 4, 4].tolist() == [1, 1]
    assert found[-2:, 2, 4].tolist() == [1, 0.5]
    assert found[-2:, 0, 0].tolist() == [0, 0]


def test_a_cells_views_are_its_own(crops: list[tuple[np.ndarray, np.ndarray]]) -> None:
    (crop, mask), (other, other_mask) = crops[:2]
    first = cell_pictures(crop, mask, Views(2, 2), "a", seed=1)
    assert [len(part) for part in first] == [4, 4, 4]
    again = cell_pictures(crop, mask, Views(2, 2), "a", seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for changed in (cell_pictures(crop, mask, Views(2, 2), "b", seed=1), cell_pictures(crop, mask, Views(2, 2), "a")):
        assert np.array_equal(changed.images[:2], first.images[:2])
        assert not np.array_equal(changed.images[2:], first.images[2:])
    assert np.array_equal(first.cells[1], np.rot90(mask))
    assert not np.array_equal(cell_pictures(other, other_mask, Views(1, 0)).images, first.images[:1])


def test_a_lamps_colour_is_taken_out_of_plain_views(crops: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for crop, mask in crops:
        yellow = (crop * np.array([1.0, 0.95, 0.6])).astype(np.uint8)
        one, two = (cell_pictures(picture, mask, Views(1, 0)).images.astype(float) for picture in (crop, yellow))
        assert np.abs(crop.astype(float) - yellow).mean() > 4 * np.abs(one - two).mean()


def test_alone_shows_the_cell_on_white(crops: list[tuple[np.ndarray, np.ndarray]]) -> None:
    crop, mask = crops[0]
    (picture,) = alone(cell_pictures(crop, mask, Views(1, 0)), 112)
    assert picture.shape == (112, 112, 3)
    assert (picture[~mask[::2, ::2]] > 200).mean() > 0.95
    assert picture[mask[::2, ::2]].mean() < 230


def _tensor(images: np.ndarray):
    import torch

    return torch.from_numpy(images)
