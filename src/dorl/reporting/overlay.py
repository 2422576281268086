"""A cell's outline on its image."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

#: outline of a cell, and words where there is none (RGB, 0-255); seen on pink and on blue, by the colour-blind too
OUTLINE, NOTHING = (0, 255, 60), (213, 94, 0)


def draw_overlay(image: np.ndarray, mask: np.ndarray, confidence: float | None) -> np.ndarray:
    """Draw a mask's outline and its confidence.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
    mask : bool array of shape (H, W)
    confidence : float, optional
        0-1; written in a corner, or "no cell found" where the mask is empty.

    Returns
    -------
    uint8 array of shape (H, W, 3)
    """
    thick = max(1, round(max(image.shape[:2]) / 200))
    # the image's edge counts as outside, so that a cell cut off by it has a closed outline
    inner = ndimage.binary_erosion(mask, np.ones((3, 3), bool), iterations=thick, border_value=0)
    picture = image.copy()
    picture[mask & ~inner] = OUTLINE
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    size = max(9, image.shape[0] // 18)
    shown = "" if confidence is None else f"{confidence:.2f}"
    text = shown if mask.any() else "no cell found"
    pen.text(
        (size // 3, size // 4),
        text,
        fill=OUTLINE if mask.any() else NOTHING,
        font=ImageFont.load_default(size),
        stroke_width=max(1, size // 10),
        stroke_fill=(0, 0, 0),
    )
    return np.asarray(canvas)
