"""Which part of what the network says is the cell, on drawn probabilities and on rendered cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from dorl.domains.rendered import STYLES, render_cell
from dorl.segmentation import Segmenter
from dorl.segmentation.cell import choose_cell, closer, find_central_cells

#: a white cell's dark nucleus, a red cell, glass (RGB, 0-255)
NUCLEUS, RED, GLASS = (90, 40, 140), (225, 150, 160), (235, 225, 230)


def disc(side: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    rows, columns = np.indices((side, side))
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def drawn(*parts: tuple[np.ndarray, tuple[int, int, int]], said: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Probability and image of parts, each of its colour."""
    side = len(parts[0][0])
    image = np.full((side, side, 3), GLASS, np.uint8)
    probability = np.full((side, side), 0.02)
    for mask, colour in parts:
        image[mask], probability[mask] = colour, said
    return probability, image


def test_the_cell_nearest_the_centre_is_chosen_and_its_holes_are_filled() -> None:
    ring = disc(120, (60, 60), 30) & ~disc(120, (55, 60), 6)
    cell = choose_cell(*drawn((ring, NUCLEUS), (disc(120, (20, 20), 18), NUCLEUS)))
    assert cell.found
    assert (cell.mask == disc(120, (60, 60), 30)).mean() > 0.995
    assert not cell.touches_border


def test_of_two_cells_equally_near_the_larger_one_is_chosen() -> None:
    small, large = disc(120, (60, 35), 15), disc(120, (60, 94), 25)  # 9.5 pixels from the middle, both
    for parts in ((small, large), (large, small)):
        cell = choose_cell(*drawn(*((part, NUCLEUS) for part in parts)))
        assert (cell.mask & large).sum() == cell.mask.sum() > 0.98 * large.sum()
    mirrored = choose_cell(*drawn((small[:, ::-1], NUCLEUS), (large[:, ::-1], NUCLEUS)))
    assert (mirrored.mask & large[:, ::-1]).sum() > 0.98 * large.sum()


def test_a_red_cell_and_a_speck_are_passed_over() -> None:
    white = disc(120, (90, 90), 20)
    probability, image = drawn((disc(120, (50, 55), 12), RED), (disc(120, (60, 70), 3), NUCLEUS), (white, NUCLEUS))
    cell = choose_cell(probability, image)
    assert (cell.mask & white).sum() == cell.mask.sum() > 0.98 * white.sum()


def test_no_cell_is_said_as_such() -> None:
    for parts in ((disc(120, (60, 60), 20), RED), (disc(120, (60, 60), 2), NUCLEUS), (disc(120, (-9, 0), 1), RED)):
        cell = choose_cell(*drawn(parts))
        assert not cell.found
        assert cell.confidence == 0
        assert cell.mask.shape == (120, 120)
        assert not cell.mask.any()


@pytest.mark.parametrize(("radius", "found"), [(9, False), (22, True)])
def test_a_platelet_is_told_by_the_red_cells_around_it(radius: int, found: bool) -> None:
    image = np.full((240, 240, 3), GLASS, np.uint8)
    for centre in ((40, 40), (190, 60), (60, 190), (200, 200)):
        image[disc(240, centre, 20)] = RED
    mask = disc(240, (120, 120), radius)
    image[mask] = NUCLEUS
    assert choose_cell(np.where(mask, 0.95, 0.02), image).found == found


def test_doubt_lowers_confidence_and_another_cell_does_not() -> None:
    mask = disc(120, (60, 60), 25)
    sure, unsure = choose_cell(*drawn((mask, NUCLEUS))), choose_cell(*drawn((mask, NUCLEUS), said=0.6))
    beside = choose_cell(*drawn((mask, NUCLEUS), (disc(120, (60, 100), 12), NUCLEUS)))
    assert 0 < unsure.confidence < sure.confidence <= 1
    assert beside.confidence == pytest.approx(sure.confidence, abs=0.01)


def test_a_thread_is_cut_off() -> None:
    body, thread = disc(120, (60, 60), 25), np.zeros((120, 120), bool)
    thread[60:62, 60:118] = True
    cell = choose_cell(*drawn((body | thread, NUCLEUS)))
    assert (cell.mask != body).sum() < 0.02 * body.sum()


def test_a_cell_cut_by_the_edge_says_so() -> None:
    cell = choose_cell(*drawn((disc(120, (60, 0), 40), NUCLEUS)))
    assert cell.touches_border
    assert cell.mask[60, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(8, 90), st.integers(8, 90))
def test_a_mask_is_one_part_without_holes_whatever_is_said(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    probability = ndimage.gaussian_filter(rng.random((height, width)), rng.uniform(0.5, 4))
    probability = (probability - probability.min()) / np.ptp(probability)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    cell = choose_cell(probability, image)
    assert cell.mask.shape == (height, width)
    assert cell.mask.any() == cell.found
    assert 0 <= cell.confidence <= 1
    if cell.found:
        assert ndimage.label(cell.mask, np.ones((3, 3)))[1] == 1
        assert (ndimage.binary_fill_holes(cell.mask) == cell.mask).all()


def test_the_second_look_holds_the_whole_cell_and_stays_in_the_image() -> None:
    small = choose_cell(*drawn((disc(400, (30, 380), 16), NUCLEUS)))
    window = closer(small, (400, 400))
    assert window is not None
    assert small.mask[window].sum() == small.mask.sum()
    assert 0 <= window[0].start < window[0].stop <= 400
    assert 0 <= window[1].start < window[1].stop <= 400
    assert closer(choose_cell(*drawn((disc(400, (200, 200), 120), NUCLEUS))), (400, 400)) is None


@pytest.fixture(scope="module")
def tiny() -> Segmenter:
    return Segmenter.load("tiny", device="cpu", precision="float32")


@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
def test_a_small_cell_and_one_that_fills_the_frame(tiny: Segmenter, share: float) -> None:
    """The cell takes about `share` of the image's side."""
    dices = []
    for seed, name in enumerate(("harbour", "dune", "forest")):
        style = replace(STYLES[name], magnification=0.6 * min(share, 0.5))
        made = render_cell("neutrophil_segmented", style, np.random.default_rng(seed), size=480)
        image, truth = made.image, made.mask
        if share == 1:
            rows, columns = (np.flatnonzero(made.mask.any(axis=axis)) for axis in (1, 0))
            box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            image, truth = made.image[box], made.mask[box]
        mask = find_central_cells(tiny, [image])[0].mask
        dices.append(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
    assert min(dices) > 0.85, dices


def test_images_of_any_sizes_go_together_and_alone_alike(tiny: Segmenter) -> None:
    images = [
        np.asarray(
            Image.fromarray(render_cell("monocyte", STYLES["dune"], np.random.default_rng(1)).image).resize(size)
        )
        for size in ((360, 363), (120, 120), (300, 200))
    ]
    together = find_central_cells(tiny, images)
    for image, cell in zip(images, together, strict=True):
        assert cell.mask.shape == image.shape[:2]
        alone = find_central_cells(tiny, [image])[0]
        assert (alone.mask != cell.mask).mean() < 0.002
    assert find_central_cells(tiny, []) == []
    assert not find_central_cells(tiny, [np.full((224, 224, 3), 230, np.uint8)])[0].found
