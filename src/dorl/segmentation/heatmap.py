"""A picture of a slide: where its red cells lie side by side, where its white cells are, and the fields suggested."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from dorl.segmentation.bestfields import BestField
from dorl.segmentation.overlay import OUTLINE

#: longer side of each of the two pictures, in pixels, at most, and of the shorter one at least
SIDE = 1200
#: colour of a monolayer (RGB, 0-255), and how much of it covers the slide where it is whole
MONOLAYER, COVER = (0, 114, 178), 0.55
#: white cells are counted over so many blocks: standard deviation
SPREAD = 1.0


def draw_heat_map(
    overview: np.ndarray,
    monolayer: np.ndarray,
    cells: np.ndarray,
    covered: tuple[float, float],
    fields: Sequence[BestField],
    *,
    scale: float,
    unit: str,
    area: float,
) -> np.ndarray:
    """Draw the slide twice, beside each other: its monolayer with the suggested fields, and its white cells.

    Parameters
    ----------
    overview : uint8 array of shape (h, w, 3)
        RGB, 0-255.
    monolayer, cells : arrays of shape (R, C)
        Of each block, 0-1; and white cells in it.
    covered : (float, float)
        Width and height of what the blocks cover, in pixels of the overview.
    fields : sequence of BestField
        Numbered from 1.
    scale : float
        Pixels of the overview in one of level 0.
    unit : str
        What white cells are counted in, for example ``"square mm"``.
    area : float
        Of a block, in these.

    Returns
    -------
    uint8 array of shape (H, W, 3)
    """
    from matplotlib import colormaps

    height, width = overview.shape[:2]
    by = SIDE / max(height, width)
    size = (max(1, round(by * width)), max(1, round(by * height)))
    whole = (max(size[0], round(by * covered[0])), max(size[1], round(by * covered[1])))

    def over_slide(values: np.ndarray, way: Image.Resampling) -> np.ndarray:
        picture = Image.fromarray(values.astype(np.float32)).resize(whole, way)
        return np.asarray(picture)[: size[1], : size[0]]

    slide = np.asarray(Image.fromarray(overview).resize(size, Image.Resampling.BOX)).astype(np.float32)
    share = COVER * over_slide(monolayer, Image.Resampling.NEAREST)[..., None]
    left = Image.fromarray(((1 - share) * slide + share * np.array(MONOLAYER, np.float32)).astype(np.uint8))
    density = ndimage.gaussian_filter(cells.astype(np.float32) / area, SPREAD)
    most = float(density.max()) or 1.0
    heat = over_slide(density / most, Image.Resampling.BILINEAR).clip(0, 1)
    colours = (255 * colormaps["inferno"](heat)[..., :3]).astype(np.float32)
    strong = np.minimum(1, 4 * heat)[..., None]
    right = Image.fromarray(((1 - strong) * slide + strong * colours).astype(np.uint8))

    letters = max(12, SIDE // 60)
    font = ImageFont.load_default(letters)
    pen = ImageDraw.Draw(left)
    for number, field in enumerate(fields, start=1):
        box = [by * scale * side for side in field.box]
        pen.rectangle(box, outline=OUTLINE, width=2)
        pen.text(
            (box[0], max(0, box[1] - 1.3 * letters)),
            str(number),
            fill=OUTLINE,
            font=font,
            stroke_width=2,
            stroke_fill=(0, 0, 0),
        )
    gap = letters
    canvas = Image.new("RGB", (2 * size[0] + 3 * gap, size[1] + 3 * gap + letters), "white")
    canvas.paste(left, (gap, 2 * gap + letters))
    canvas.paste(right, (2 * gap + size[0], 2 * gap + letters))
    pen = ImageDraw.Draw(canvas)
    pen.text((gap, gap), "blue: monolayer; boxes: best fields", fill=(0, 0, 0), font=font)
    pen.text((2 * gap + size[0], gap), f"white cells: bright is {most:.3g} per {unit}", fill=(0, 0, 0), font=font)
    return np.asarray(canvas)
