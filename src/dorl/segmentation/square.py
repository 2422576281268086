"""A square crop scaled to the cell, so that cells of labs with different magnification fill their crops alike."""

from __future__ import annotations

import numpy as np
from PIL import Image

#: side of the crop over the longer side of the cell's bounding box
REACH = 1.25
#: side of the result, in pixels
SIDE = 224


def square_crop(image: np.ndarray, mask: np.ndarray, *, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Cut a square around the cell.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
    mask : bool array of shape (H, W)
        Where it is empty, the whole image is taken, and all of it counts as cell.
    side : int

    Returns
    -------
    crop : uint8 array of shape (side, side, 3)
        Beyond the image's edges its outermost pixels are repeated.
    mask : bool array of shape (side, side)
    """
    if not mask.any():
        box = (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
        mask = np.ones_like(mask)
    else:
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        length = REACH * max(np.ptp(rows), np.ptp(columns)) + 1
        centre = (columns.mean(), rows.mean())
        box = (centre[0] - length / 2, centre[1] - length / 2, centre[0] + length / 2, centre[1] + length / 2)
    pad = int(max(0, -box[0], -box[1], box[2] - image.shape[1], box[3] - image.shape[0])) + 1
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    marks = np.pad(mask.astype(np.uint8), pad)
    moved = (box[0] + pad, box[1] + pad, box[2] + pad, box[3] + pad)
    picture = Image.fromarray(padded).resize((side, side), Image.Resampling.BILINEAR, box=moved)
    small = Image.fromarray(marks).resize((side, side), Image.Resampling.NEAREST, box=moved)
    return np.asarray(picture), np.asarray(small).astype(bool)
