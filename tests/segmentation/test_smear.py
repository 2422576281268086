"""The ruler of a field, and where nuclei may lie, on drawn fields."""

from __future__ import annotations

import numpy as np
import pytest

from dorl.segmentation import smear
from dorl.segmentation.smear import find_dye, optical_density, thiazine

#: a nucleus, a red cell, glass (RGB, 0-255)
NUCLEUS, RED, GLASS = (90, 40, 140), (225, 150, 160), (235, 225, 230)


def field(shape: tuple[int, int], *discs: tuple[float, float, float, tuple[int, int, int]]) -> np.ndarray:
    """Discs (row, column, radius, colour) on glass, with a little noise."""
    image = np.full((*shape, 3), GLASS, np.float32)
    for row, column, radius, colour in discs:
        top, left = max(0, int(row - radius)), max(0, int(column - radius))
        part = image[top : int(row + radius) + 2, left : int(column + radius) + 2]
        rows, columns = np.indices(part.shape[:2])
        part[(rows + top - row) ** 2 + (columns + left - column) ** 2 <= radius**2] = colour
    noise = np.random.default_rng(0).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def grid(shape: tuple[int, int], radius: float, apart: float) -> list[tuple[float, float, float, tuple[int, int, int]]]:
    """Red cells in rows, `apart` from centre to centre."""
    centres = [np.arange(apart / 2, side, apart) for side in shape]
    return [(row, column, radius, RED) for row in centres[0] for column in centres[1]]


def test_the_dye_is_told_from_haemoglobin_and_the_lamps_colour_cancels() -> None:
    image = field((200, 200), (50, 50, 30, NUCLEUS), (150, 150, 30, RED))
    yellow = (image * np.array([1.0, 0.95, 0.7])).astype(np.uint8)
    for picture in (image, yellow):
        stained = thiazine(optical_density(picture))
        assert stained[40:60, 40:60].mean() > 1
        assert stained[140:160, 140:160].mean() < 0
        assert abs(stained[:, 100].mean()) < 0.05


def test_nuclei_are_found_with_size_and_stain_and_red_cells_are_not() -> None:
    red = grid((480, 640), 40, 120)
    image = field((480, 640), *red, (100, 130, 35, NUCLEUS), (350, 500, 20, NUCLEUS), (300, 60, 5, NUCLEUS))
    found = sorted(find_dye(image, 80).places, key=lambda place: place.row)
    assert [(round(place.row, -1), round(place.column, -1)) for place in found] == [(100, 130), (350, 500)]
    assert found[0].diameter == pytest.approx(70, rel=0.2)
    assert found[0].stain > 0.5


def test_two_nuclei_that_touch_have_a_place_each() -> None:
    image = field((300, 400), *grid((300, 400), 20, 90), (150, 150, 35, NUCLEUS), (150, 220, 35, NUCLEUS))
    columns = sorted(place.column for place in find_dye(image, 40).places if abs(place.row - 150) < 30)
    assert min(columns) < 185 < max(columns)


def test_tiles_find_the_same_places_as_the_whole_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    discs = [(*rng.uniform(30, 370, 2), 14, NUCLEUS) for _ in range(8)]
    image = field((400, 400), *grid((400, 400), 10, 40), *discs)
    whole = find_dye(image, 20).places
    monkeypatch.setattr(smear, "TILE", 100)
    tiled = find_dye(image, 20).places
    assert len(whole) == len(tiled) >= 5
    for one, other in zip(*(sorted((p.row, p.column) for p in places) for places in (whole, tiled)), strict=True):
        assert one == pytest.approx(other, abs=3)


def test_a_place_beside_what_is_stained_belongs_to_the_nearest() -> None:
    inside = np.zeros((30, 40), bool)
    inside[5, 5] = inside[20, 30] = inside[24, 33] = True
    assert smear._nearest(inside, 5, 5, 8) == (5, 5)
    assert smear._nearest(inside, 8, 6, 8) == (5, 5)
    assert smear._nearest(inside, 23, 31, 8) == (24, 33)
    assert smear._nearest(inside, 29, 39, 14) == (24, 33)
