"""Fields that overlap, cut out of one larger picture."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dorl.segmentation.overlap import details, in_both, moved, repeated


@pytest.fixture(scope="module")
def slide() -> np.ndarray:
    """A picture of blobs as large as red cells, uint8 (700, 1000, 3)."""
    random = np.random.default_rng(0)
    seeds = np.zeros((700, 1000))
    seeds[random.integers(0, 700, 900), random.integers(0, 1000, 900)] = 1
    blobs = ndimage.gaussian_filter(seeds, 9)
    grey = 230 - 120 * np.clip(blobs / blobs.max() * 2, 0, 1) + random.normal(0, 3, blobs.shape)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)


def _field(slide: np.ndarray, top: int, left: int) -> np.ndarray:
    return slide[top : top + 480, left : left + 640]


@pytest.mark.parametrize(("top", "left"), [(0, 320), (200, 0), (180, 300), (0, 360)])
def test_the_place_of_a_field_on_another_is_found(slide: np.ndarray, top: int, left: int) -> None:
    one, other = details(_field(slide, 0, 0)), details(_field(slide, top, left))
    step = 480 / one.shape[0]
    found = moved(one, other)
    assert found is not None
    assert (found[0] * step, found[1] * step) == pytest.approx((top, left), abs=step)
    assert moved(other, one) == (-found[0], -found[1])


def test_fields_that_do_not_overlap_have_none(slide: np.ndarray) -> None:
    turned = np.ascontiguousarray(_field(slide, 100, 200)[::-1, ::-1])
    assert moved(details(_field(slide, 0, 0)), details(turned)) is None
    assert moved(details(np.full((480, 640, 3), 220, np.uint8)), details(_field(slide, 0, 0))) is None


def test_a_cell_in_two_fields_is_paired_once(slide: np.ndarray) -> None:
    first = np.array([[400, 100, 460, 160], [20, 20, 80, 80], [600, 300, 640, 360]])
    second = np.array([[82, 102, 142, 158], [280, 300, 340, 360], [500, 10, 560, 70]])  # 320 to the right
    assert in_both(first, second, (0, 320), (640, 480)) == [(0, 0), (2, 1)]
    pictures = [details(_field(slide, 0, left)) for left in (0, 320)]
    found = repeated(pictures, [first, second], [(640, 480)] * 2)
    assert found == {(0, 1): [(0, 0), (2, 1)]}
    assert repeated(pictures, [first, second], [(640, 480), (480, 640)]) == {}
