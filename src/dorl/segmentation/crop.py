"""The cell crop that the autoencoder learns to draw."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

#: pixels that touch by a side or a corner are one part
NEIGHBOURS = np.ones((3, 3), bool)
#: side of a crop, in pixels
CROP_SIZE = 128
#: what everything outside the cell is painted with (0-255)
GREY = 128
#: grey border around the cell's bounding box, in pixels
BORDER = 10


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Keep the largest 8-connected part of a bool mask (H, W); an empty mask stays empty."""
    parts, count = ndimage.label(mask, structure=NEIGHBOURS)
    if count <= 1:
        return mask.astype(bool, copy=False)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return parts == sizes.argmax()


def filled(mask: np.ndarray) -> np.ndarray:
    """A bool mask (H, W) without holes; what touches the picture's edge is no hole."""
    parts, count = ndimage.label(~mask)
    if not count:
        return mask
    outside = np.zeros(count + 1, bool)
    for edge in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        outside[edge] = True
    outside[0] = False
    return ~outside[parts]


def cell_crop(image: np.ndarray, mask: np.ndarray, size: int = CROP_SIZE) -> np.ndarray:
    """Cut the cell out of its image (DoRL, stage 1).

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
    mask : bool array of shape (H, W)
    size : int
        Side of the result, in pixels.

    Returns
    -------
    uint8 array of shape (size, size, 3)
        Everything but the largest component painted grey 128, cut to the component's bounding box with a grey border
        of 10 pixels, resized cubically. All grey where the mask is empty. Divide by 255 for the published 0-1 scale.
    """
    mask = largest_component(mask)
    if not mask.any():
        return np.full((size, size, 3), GREY, np.uint8)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cell = np.where(mask[box][..., None], image[box], GREY).astype(np.uint8)
    cell = np.pad(cell, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), constant_values=GREY)
    return np.asarray(Image.fromarray(cell).resize((size, size), Image.Resampling.BICUBIC))
