from __future__ import annotations

import numpy as np

from dorl.reporting.overlay import OUTLINE, draw_overlay


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
