"""The ruler of a field: two estimates, and the other fields of a folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.segmentation.test_smear import NUCLEUS, RED, field, grid

from dorl.domains.rendered import STYLES
from dorl.domains.rendered.field import Scene, render_field
from dorl.segmentation.ruler import SURE, Ruler, measure, of_one_folder
from dorl.segmentation.smear import cleared, find_dye


@pytest.mark.parametrize(
    ("radius", "shape"), [(12, (300, 400)), (45, (480, 640)), (30, (1300, 1100)), (160, (1300, 1700))]
)
def test_red_cells_are_the_ruler_at_any_magnification(radius: int, shape: tuple[int, int]) -> None:
    image = field(shape, *grid(shape, radius, 2.6 * radius))
    assert measure(image).diameter == pytest.approx(2 * radius, rel=0.1)


def test_red_cells_that_overlap_and_a_white_cell_do_not_stretch_the_ruler() -> None:
    pairs = [(row, column + shift, 40, RED) for row, column, *_ in grid((480, 640), 40, 160) for shift in (-30, 30)]
    image = field((480, 640), *pairs, (240, 320, 90, NUCLEUS))
    assert measure(image).diameter == pytest.approx(80, rel=0.25)


@pytest.mark.parametrize("shape", [(200, 300), (8, 8), (12, 900)])
def test_without_red_cells_there_is_no_ruler(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 230, np.uint8)
    assert measure(image) == Ruler(None, 0.0)
    assert not measure(image).sure
    assert find_dye(image, 40).places == []


@pytest.mark.parametrize("noise", [2.0, 12.0])
def test_both_estimates_agree_on_pale_cells_in_uneven_light(noise: float) -> None:
    red = tuple(0.4 * amount for amount in STYLES["harbour"].haemoglobin)
    style = replace(STYLES["harbour"], haemoglobin=red, noise=noise, vignette=0.3, background=(196.0, 196.0, 192.0))
    truth = render_field(Scene((640, 480), 36, 1, style, (226.0, 168.0, 186.0)), np.random.default_rng(0))
    ruler = measure(cleared(truth.image))
    assert ruler.sure
    assert ruler.diameter == pytest.approx(36, rel=0.15)
    assert ruler.other == pytest.approx(36, rel=0.25)


def test_where_both_estimates_disagree_the_ruler_says_so() -> None:
    # tufts of small grains and one sheet: circles of many sizes, and a period that is none of theirs
    rng = np.random.default_rng(2)
    discs = [(*rng.uniform(0, (480, 640)), float(rng.choice([6, 9, 14, 60])), RED) for _ in range(60)]
    assert measure(field((480, 640), *discs)).confidence < 1


def test_doubtful_rulers_take_the_folders() -> None:
    sure = [Ruler(side, 0.9, side) for side in (40.0, 42.0, 41.0, 43.0)]
    rulers = of_one_folder([*sure, Ruler(12.8, 0.0, 50.0), Ruler(None, 0.0), Ruler(80.0, 0.8, 80.0)])
    assert rulers[:4] == sure
    for ruler in rulers[4:]:
        assert ruler.diameter == pytest.approx(42.0)
        assert ruler.confidence == SURE
        assert ruler.sure


def test_two_sure_rulers_tell_no_folders_and_nor_do_four_that_disagree() -> None:
    doubtful = Ruler(12.8, 0.0, 50.0)
    few = [Ruler(40.0, 0.9), Ruler(42.0, 0.9), doubtful]
    assert of_one_folder(few) == few
    mixed = [*(Ruler(side, 0.9) for side in (10.0, 20.0, 40.0, 80.0)), doubtful]
    assert of_one_folder(mixed) == mixed
