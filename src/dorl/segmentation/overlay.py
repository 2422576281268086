"""Outlines of cells on their image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

#: outline of a cell, and words where there is none (RGB, 0-255); seen on pink and on blue, by the colour-blind too
OUTLINE, NOTHING = (0, 255, 60), (213, 94, 0)
#: longest side of a field's picture, in pixels
MAX_SIDE = 4096


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
    picture = image.copy()
    picture[_outline(mask, thick)] = OUTLINE
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


def draw_cells(image: np.ndarray, labels: np.ndarray, texts: Sequence[str], *, most: int = MAX_SIDE) -> np.ndarray:
    """Draw the outlines of a field's cells, and a text beside each.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
    labels : int array of shape (H, W)
        0 outside cells, i + 1 in cell i.
    texts : sequence of N str
        One a cell; empty for none.
    most : int
        A picture with a longer side is reduced to this many pixels.

    Returns
    -------
    uint8 array of shape (h, w, 3)
    """
    scale = min(1.0, most / max(image.shape[:2]))
    size = (max(1, round(scale * image.shape[1])), max(1, round(scale * image.shape[0])))
    canvas = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    picture = np.array(canvas)
    # Pillow resizes no 16-bit picture by the nearest pixel on every platform; rows and columns do
    rows, columns = (
        ((np.arange(n) + 0.5) / scale).astype(int).clip(0, m - 1) for n, m in zip(size[::-1], labels.shape, strict=True)
    )
    small = labels[np.ix_(rows, columns)].astype(np.int32)
    thick = max(1, round(max(size) / 400))
    places = ndimage.find_objects(small, max_label=len(texts))
    for number, place in enumerate(places, start=1):
        if place is not None:
            picture[place][_outline(small[place] == number, thick)] = OUTLINE
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    letters = max(9, min(size) // 22)
    font = ImageFont.load_default(letters)
    for place, text in zip(places, texts, strict=True):
        if place is not None and text:
            long = pen.textlength(text, font=font)
            left = max(2, min(place[1].start, size[0] - long - 2))
            # above the cell, or in it where there is no room
            top = place[0].start - 1.4 * letters
            pen.text(
                (left, top if top >= 0 else place[0].start + 2),
                text,
                fill=OUTLINE,
                font=font,
                stroke_width=max(1, letters // 10),
                stroke_fill=(0, 0, 0),
            )
    return np.asarray(canvas)


def _outline(mask: np.ndarray, thick: int) -> np.ndarray:
    """The outermost pixels of a mask, so many wide."""
    # the picture's edge counts as outside, so that a cell cut off by it has a closed outline
    return mask & ~ndimage.binary_erosion(mask, np.ones((3, 3), bool), iterations=thick, border_value=0)
