from __future__ import annotations

import numpy as np
import pytest

from dorl.domains import read_domain
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import find_cells
from dorl.views import Views, cell_views, described_width
from dorl.views.describe import describe

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load("tiny")


@pytest.fixture(scope="module")
def found(segmenter: Segmenter, labs: list[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    lab = read_domain(labs[0].split("=")[1])
    images = [lab.load(i) for i in range(4)]
    return images, [cell.mask for cell in find_cells(segmenter, images)]


def test_each_grid_is_pooled_in_cell_nucleus_and_cytoplasm(segmenter: Segmenter) -> None:
    image = np.random.default_rng(0).integers(0, 255, (1, 224, 224, 3), dtype=np.uint8)
    cell, nucleus = np.zeros((2, 1, 224, 224), bool)
    cell[:, 32:192, 32:192] = True
    nucleus[:, 32:96, 32:192] = True
    vector = describe(segmenter, image, cell, nucleus)[0]
    width = segmenter.width
    assert len(vector) == described_width(segmenter) == 4 * (width + 40 + 24)
    tokens = segmenter(image).tokens[0].cpu().numpy()
    expected = [
        tokens[:, 2:12, 2:12].mean((1, 2)),
        tokens[:, 2:12, 2:12].std((1, 2)),
        tokens[:, 2:6, 2:12].mean((1, 2)),
        tokens[:, 6:12, 2:12].mean((1, 2)),
    ]
    assert np.allclose(vector[: 4 * width], np.concatenate(expected), atol=2e-3)


def test_a_cells_views_are_its_own(segmenter: Segmenter, found: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    images, masks = found
    counts, keys = [Views(2, 2), Views(2, 0), Views(1, 1), Views(2, 3)], list("abcd")
    together = cell_views(segmenter, images, masks, counts, keys, seed=1)
    assert [len(views) for views in together] == [4, 2, 2, 5]
    for i in range(4):
        (alone,) = cell_views(segmenter, images[i : i + 1], masks[i : i + 1], counts[i : i + 1], keys[i], seed=1)
        assert np.abs(alone - together[i]).max() < 0.01 * together[i].std()
    (other,) = cell_views(segmenter, images[:1], masks[:1], counts[:1], ["a"], seed=2)
    assert np.abs(other[:2] - together[0][:2]).max() < 0.01 * other.std()
    assert np.abs(other[2:] - together[0][2:]).max() > 0.1 * other.std()


def test_a_lamps_colour_changes_a_view_less_than_another_cell_does(
    segmenter: Segmenter, found: tuple[list[np.ndarray], list[np.ndarray]]
) -> None:
    images, masks = found
    yellow = [(image * np.array([1.0, 0.95, 0.6])).astype(np.uint8) for image in images]
    plain = [Views(1, 0)] * 4
    first, second = (np.concatenate(cell_views(segmenter, i, masks, plain, list("abcd"))) for i in (images, yellow))
    scale = first.std(0) + 1e-6
    changed = np.abs((first - second) / scale).mean()
    apart = np.abs((first[:, None] - first[None]) / scale)[~np.eye(4, dtype=bool)].mean()
    assert changed < 0.5 * apart


def test_a_picture_without_a_cell_is_described_whole(segmenter: Segmenter) -> None:
    image = np.full((90, 120, 3), 230, np.uint8)
    (views,) = cell_views(segmenter, [image], [np.zeros((90, 120), bool)], [Views(2, 1)], ["a"])
    assert views.shape == (3, described_width(segmenter))
    assert np.isfinite(views).all()
