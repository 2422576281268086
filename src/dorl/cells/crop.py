"""The square around a cell, scaled to the cell."""

from __future__ import annotations

import numpy as np
from PIL import Image

#: side of the square over the longer side of the cell's bounding box
REACH = 1.25


def square_crop(image: np.ndarray, mask: np.ndarray, size: int = 224) -> tuple[np.ndarray, np.ndarray]:
    """Crop a square around a cell, so that small and large cells fill it alike.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255. Beyond its edges its last row or column goes on.
    mask : bool array of shape (H, W)
        The cell; where it is empty, the longer side of the whole picture decides.
    size : int
        Side of the crop in pixels.

    Returns
    -------
    crop : uint8 array of shape (size, size, 3)
        Bilinear.
    mask : bool array of shape (size, size)
        True all over the picture where `mask` is empty.
    """
    height, width = mask.shape
    if mask.any():
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        side = float(REACH * max(np.ptp(rows), np.ptp(columns)) + 1)
        row, column = float(rows.mean()), float(columns.mean())
    else:
        mask = np.ones_like(mask)
        side, row, column = float(max(height, width)), height / 2, width / 2
    box = (column - side / 2, row - side / 2, column + side / 2, row + side / 2)
    pad = int(max(0, -min(box), box[2] - width, box[3] - height)) + 1
    # only what is needed is copied: the cell may be small in a large picture
    top, left = max(0, int(box[1])), max(0, int(box[0]))
    part = slice(top, int(box[3]) + 2), slice(left, int(box[2]) + 2)
    padded = np.pad(image[part], ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    marks = np.pad(mask[part].astype(np.uint8), pad)
    x, y = pad - left, pad - top
    moved = (box[0] + x, box[1] + y, box[2] + x, box[3] + y)
    picture = Image.fromarray(padded).resize((size, size), Image.Resampling.BILINEAR, box=moved)
    small = Image.fromarray(marks).resize((size, size), Image.Resampling.NEAREST, box=moved)
    cell = np.asarray(small).astype(bool)
    # of a picture or a cell that is a line, nothing may be left
    return np.asarray(picture), cell if cell.any() else np.ones_like(cell)
