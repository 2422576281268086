from __future__ import annotations

import numpy as np

from dorl.segmentation.overlay import OUTLINE, draw_cells, draw_overlay


def test_the_outline_follows_the_mask_and_the_image_shows_elsewhere() -> None:
    image = np.full((200, 240, 3), 200, np.uint8)
    mask = np.zeros((200, 240), bool)
    mask[80:160, 0:120] = True  # cut by the left edge
    drawn = draw_overlay(image, mask, 0.9)
    assert drawn.shape == image.shape
    assert tuple(drawn[80, 60]) == tuple(drawn[120, 0]) == tuple(drawn[120, 119]) == OUTLINE
    assert (drawn[100:140, 20:100] == 200).all()
    assert (drawn[170:, 130:] == 200).all()
    assert (image == 200).all()


def test_confidence_or_its_absence_is_written() -> None:
    image, mask = np.full((120, 120, 3), 200, np.uint8), np.zeros((120, 120), bool)
    nothing = draw_overlay(image, mask, 0.0)
    assert (nothing != 200).any()
    mask[40:80, 40:80] = True
    low, high, unknown = (draw_overlay(image, mask, value) for value in (0.21, 0.98, None))
    assert (low != high).any()
    assert (unknown[:30] == 200).all()


def test_every_cell_of_a_field_has_its_outline_and_text() -> None:
    image = np.full((200, 300, 3), 200, np.uint8)
    labels = np.zeros((200, 300), np.uint16)
    labels[60:120, 40:100], labels[0:50, 200:260] = 1, 2
    drawn = draw_cells(image, labels, ["", "monocyte"])
    assert drawn.shape == image.shape
    for place in ((60, 70), (90, 40), (90, 99), (49, 230)):
        assert tuple(drawn[place]) == OUTLINE
    assert (drawn[70:110, 50:90] == 200).all()
    # a text where there is no room above stands inside
    assert (drawn[3:30, 205:250] != 200).any()
    assert (drawn[30:58, 30:110] == 200).all()


def test_a_large_field_is_drawn_smaller() -> None:
    labels = np.zeros((100, 400), int)
    labels[20:80, 100:200] = 1
    drawn = draw_cells(np.full((100, 400, 3), 200, np.uint8), labels, [""], most=200)
    assert drawn.shape == (50, 200, 3)
    assert tuple(drawn[10, 75]) == tuple(drawn[25, 50]) == OUTLINE
    assert (drawn[15:35, 55:95] == 200).all()
