"""The picture of a slide: its monolayer, its white cells and the fields suggested."""

from __future__ import annotations

import numpy as np

from dorl.segmentation.bestfields import BestField
from dorl.segmentation.heatmap import SIDE, draw_heat_map


def test_monolayer_is_blue_cells_are_bright_and_fields_are_framed() -> None:
    overview = np.full((100, 200, 3), 230, np.uint8)
    monolayer, cells = np.zeros((10, 20)), np.zeros((10, 20), int)
    monolayer[:, :5] = 1
    cells[2, 15] = 4
    field = BestField((1000, 600, 1400, 900), 1.0, 4)
    picture = draw_heat_map(
        overview, monolayer, cells, (200, 100), [field], scale=0.1, unit="square mm", area=0.5
    ).astype(int)
    assert picture.shape[1] > 2 * SIDE
    gap, top = 20, 60  # the first panel's corner: letters of 20 pixels
    left = picture[top : top + SIDE // 2, gap : gap + SIDE]
    right = picture[top : top + SIDE // 2, 2 * gap + SIDE : 2 * gap + 2 * SIDE]
    assert (left[300, 100] - left[300, 1100])[0] < -80  # less red where the monolayer is
    assert tuple(left[450, 600]) == (0, 255, 60)
    brightest = np.unravel_index(right.sum(axis=2)[20:-20, 20:-20].argmin(), (SIDE // 2 - 40, SIDE - 40))
    assert abs(brightest[0] + 20 - 150) < 150
    assert abs(brightest[1] + 20 - 930) < 200
