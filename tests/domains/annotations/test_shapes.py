from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dorl.domains.annotations.shapes import (
    Pixels,
    Polygons,
    Runs,
    ellipse,
    rectangle,
    ring,
    runs_of,
    traced,
)
from dorl.errors import BadImageError

from .drawn import masks


@settings(max_examples=150, deadline=None)
@given(masks())
def test_traced_pixels_are_filled_again_exactly(mask: np.ndarray) -> None:
    window = (0, 0, mask.shape[1], mask.shape[0])
    np.testing.assert_array_equal(traced(mask).pixels(window), mask)


@settings(max_examples=60, deadline=None)
@given(masks())
def test_traced_rings_are_valid_polygons(mask: np.ndarray) -> None:
    shapely = pytest.importorskip("shapely", reason="shapely is not installed")
    area = 0.0
    for part in traced(mask).parts:
        polygon = shapely.Polygon(part[0], part[1:])
        assert polygon.is_valid, shapely.is_valid_reason(polygon)
        area += polygon.area
    assert area == mask.sum()


@settings(max_examples=60, deadline=None)
@given(masks(), st.booleans(), st.integers(0, 3))
def test_runs_are_filled_again_exactly(mask: np.ndarray, by_columns: bool, left: int) -> None:
    height, width = mask.shape
    shape = Runs(runs_of(mask, by_columns=by_columns), (left, 0, left + width, height), by_columns)
    np.testing.assert_array_equal(shape.pixels((left, 0, left + width, height)), mask)
    assert shape.window() == Pixels(mask, (left, 0)).window()


@settings(max_examples=30, deadline=None)
@given(masks(), st.integers(-5, 9), st.integers(-5, 9))
def test_a_window_shows_what_lies_in_it(mask: np.ndarray, left: int, top: int) -> None:
    window = (left, top, left + 6, top + 5)
    whole = np.zeros((30, 30), bool)
    whole[10 : 10 + mask.shape[0], 10 : 10 + mask.shape[1]] = mask
    expected = whole[top + 10 : top + 15, left + 10 : left + 16]
    np.testing.assert_array_equal(Pixels(mask).pixels(window), expected)
    np.testing.assert_array_equal(traced(mask).pixels(window), expected)


def test_a_pixel_belongs_to_a_polygon_that_encloses_its_centre() -> None:
    triangle = Polygons(((ring([(0, 0), (4, 0), (0, 4)]),),))
    found = triangle.pixels((0, 0, 4, 4))
    assert [row.sum() for row in found] == [3, 2, 1, 0]


def test_parts_that_overlap_are_joined() -> None:
    one, two = rectangle((0, 0, 3, 3)), rectangle((1, 1, 4, 4))
    assert Polygons(((one,), (two,))).pixels((0, 0, 4, 4)).sum() == 14


def test_an_ellipse_has_the_area_it_should() -> None:
    assert Polygons(((ellipse((20, 20), (15, 8), 30),),)).pixels((0, 0, 40, 40)).sum() == pytest.approx(
        np.pi * 15 * 8, rel=0.02
    )


def test_a_turned_rectangle_turns_clockwise() -> None:
    np.testing.assert_allclose(rectangle((10, 10, 14, 12), 90), [(10, 10), (10, 14), (8, 14), (8, 10)], atol=1e-9)


def test_runs_that_do_not_fill_their_picture_are_refused() -> None:
    with pytest.raises(BadImageError, match="don't fill its 4×3 pixels"):
        Runs(np.array([5, 6]), (0, 0, 4, 3)).pixels((0, 0, 4, 3))


def test_a_mask_larger_than_images_may_be_is_refused() -> None:
    with pytest.raises(BadImageError, match="can't be one of an image"):
        Runs(np.array([100_000**2]), (0, 0, 100_000, 100_000)).window()
    with pytest.raises(BadImageError, match="can't be one of an image"):
        traced(np.ones((2, 2), bool)).pixels((0, 0, 100_000, 100_000))


@pytest.mark.parametrize("points", [[(0, 0), (1, 1)], [(0, 0), (1, np.inf), (2, 2)], [1, 2, 3]])
def test_what_is_no_ring_is_refused(points: object) -> None:
    with pytest.raises(ValueError, match="three points or more"):
        ring(points)  # type: ignore[arg-type]
