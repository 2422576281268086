"""What a microscope or its program draws over a field: scale bars, lettering, frames, pointers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

#: what can be drawn
MARKS = ("scale bar", "lettering", "frame", "round stop", "pointer")
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def draw_marks(
    image: np.ndarray, marks: Sequence[str], things: np.ndarray, number: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw marks over a picture.

    Parameters
    ----------
    image : ndarray, uint8, (H, W, 3)
    marks : sequence of str
        Of `MARKS`.
    things : ndarray, uint8, (H, W)
        Gets `number` where a mark lies, in place.
    number : int
    rng : numpy.random.Generator
        Draws colours and places.

    Returns
    -------
    ndarray, uint8, (H, W, 3)
    """
    height, width = image.shape[:2]
    side = min(height, width)
    cover = Image.new("L", (width, height))
    picture = Image.fromarray(image)
    pens = [(ImageDraw.Draw(picture), True), (ImageDraw.Draw(cover), False)]
    ink = WHITE if rng.random() < 0.3 else BLACK
    right, low = width - 0.05 * side, height - 0.06 * side
    for pen, coloured in pens:
        colour, dark = (ink, BLACK) if coloured else (255, 255)
        if "scale bar" in marks:
            pen.rectangle((right - 0.2 * width, low, right, low + max(2, 0.012 * side)), fill=colour)
            font = ImageFont.load_default(max(9, 0.045 * side))
            pen.text((right - 0.14 * width, low - 0.06 * side), "20 um", fill=colour, font=font)
        if "lettering" in marks:
            font = ImageFont.load_default(max(9, 0.04 * side))
            pen.text((0.03 * side, 0.03 * side), "Smear 12  100x  2024-05-07", fill=colour, font=font)
        if "frame" in marks:
            pen.rectangle((0, 0, width - 1, height - 1), outline=dark, width=max(2, round(0.02 * side)))
        if "pointer" in marks:
            tip = (0.45 * width, 0.55 * height)
            pen.polygon((tip, (0.02 * width, 0.96 * height), (0.04 * width, height)), fill=dark)
    if "round stop" in marks:
        rows, columns = np.ogrid[:height, :width]
        away = np.hypot((rows - height / 2) / 0.62, (columns - width / 2) / 0.62)
        outside = away > np.hypot(height, width) * 0.68
        array = np.asarray(picture).copy()
        array[outside] = 6
        things[outside] = number
        picture = Image.fromarray(array)
    things[np.asarray(cover) > 0] = number
    return np.asarray(picture)
