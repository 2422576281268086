from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dorl.cells.pool import DRAWN, Picture, fill_pool
from dorl.cells.views import Views, token_channels
from dorl.domains import read_domain
from dorl.errors import BadImageError
from dorl.segmentation import Segmenter

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def pictures(labs: list[str]) -> list[Picture]:
    """Five cells, a picture without any, one that can't be read, and one that is cut out already."""
    lab = read_domain(labs[0].split("=")[1], name="harbour")

    def broken() -> np.ndarray:
        raise BadImageError("broken.png: damaged")

    crop = np.full((224, 224, 3), 230, np.uint8)
    crop[60:160, 60:160] = (120, 70, 160)
    found = [Picture(lab.key(i), "harbour", partial(lab.load, i)) for i in range(5)]
    found.insert(2, Picture("empty", "harbour", lambda: np.full((90, 90, 3), 230, np.uint8)))
    found.append(Picture("broken", "harbour", broken))
    found.append(Picture("cut", "another", lambda: (crop, crop[..., 1] < 100)))
    return found


def test_a_pool_holds_the_views_of_every_cell(segmenter: Segmenter, pictures: list[Picture], tmp_path: Path) -> None:
    pool = fill_pool(tmp_path / "pool", segmenter, pictures, Views(1, 2), seed=1, what="filling")
    assert pool.labs == ["another", "harbour"]
    assert len(pool) == 6
    assert pool.store.table["key"].tolist()[-1] == "cut"
    assert pool.lab.tolist() == [1, 1, 1, 1, 1, 0]
    tokens, drawn = pool.batch(np.array([0, 3]))
    assert tokens.shape == (2, 3, token_channels(segmenter), 14, 14)
    assert drawn.shape == (2, DRAWN, DRAWN, 3)
    assert (tokens[:, 0] != tokens[:, 1]).any()
    assert drawn.max() == 255  # white around the cell


def test_an_interrupted_filling_goes_on(segmenter: Segmenter, pictures: list[Picture], tmp_path: Path) -> None:
    whole = fill_pool(tmp_path / "whole", segmenter, pictures, Views(1, 1), what="filling")
    fill_pool(tmp_path / "parts", segmenter, pictures[:3], Views(1, 1), what="filling")
    parts = fill_pool(tmp_path / "parts", segmenter, pictures, Views(1, 1), what="filling")
    assert parts.store.table["key"].tolist() == whole.store.table["key"].tolist()
    first, second = (pool.batch(np.arange(6))[0].astype(float) for pool in (whole, parts))
    assert np.abs(first - second).max() < 0.02 * first.std()
    assert len(fill_pool(tmp_path / "parts", segmenter, pictures, Views(1, 1), what="filling")) == 6
