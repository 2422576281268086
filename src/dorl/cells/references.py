"""Bring a picture of a cell to common references: a white background, a nucleus of one density."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu

#: optical density (natural logarithm) that a nucleus is brought to, in red, green and blue light
NUCLEUS = np.array([0.85, 1.15, 0.5], np.float32)
#: a nucleus of less density than this counts as having this much, so that noise isn't blown up
MIN_NUCLEUS_DENSITY = np.array([0.25, 0.3, 0.2], np.float32)
#: share of red and green light in the grey that nucleus and cytoplasm are told apart by; nuclei are dark in both
GREY = np.array([0.4, 0.6, 0.0], np.float32)
#: of the pixels outside the cell, this share of the lightest is the empty background
LIGHTEST = 0.3
#: a picture whose noise is above this, in grey levels, is filtered: clean crops of Acevedo-20 have 10 at most, with
#: ImageNet-C's weakest noise 17 or more
NOISY = 13.0
#: side of the median filter, pixels of a crop of half the size; distance between the pixels that noise is read from
FILTER, LAG = 5, 4
#: a cell of fewer pixels, of the half as large picture that references are read from, has none of its own
MIN_CELL_PIXELS = 12
#: optical density (natural logarithm) of each of the 256 values of a channel; 0 counts as 1
DENSITY = -np.log(np.maximum(np.arange(256), 1).astype(np.float32) / 255)


def noise(image: np.ndarray) -> float:
    """Deviation of the noise of a picture, in grey levels, from the second differences of its green channel.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        More than twice `LAG` wide; scaled up, so that neighbours share their noise.
    """
    green = image[::2, :, 1].astype(np.int16)
    apart = np.abs(2 * green[:, LAG:-LAG] - green[:, 2 * LAG :] - green[:, : -2 * LAG])
    return float(1.4826 * np.median(apart) / np.sqrt(6))


def without_noise(image: np.ndarray) -> np.ndarray:
    """A picture, uint8 (H, W, 3), halved, through a median filter, and doubled, if it is `NOISY`; itself otherwise.

    Of the filters tried on 80 of Acevedo-20's held-out cells at strength 3 this one kept most (docs/benchmark.md).
    """
    if noise(image) <= NOISY:
        return image
    height, width = image.shape[:2]
    small = Image.fromarray(image).resize((-(-width // 2), -(-height // 2)), Image.Resampling.BOX)
    still = Image.fromarray(ndimage.median_filter(np.asarray(small), (FILTER, FILTER, 1)))
    return np.asarray(still.resize((width, height), Image.Resampling.BILINEAR))


def to_references(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring the empty background to white and the cell's nucleus to one density, so that labs look more alike.

    What is left is the shape, and every other density in relation to the nucleus'. Stains and lights that only scale
    densities, channel by channel, are taken out whole (Beer-Lambert).

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255: a cell and what lies around it.
    mask : bool array of shape (H, W)
        The cell; where it is empty, the whole picture counts as one.

    Returns
    -------
    image : uint8 array of shape (H, W, 3)
    nucleus : bool array of shape (H, W)
        The denser part of the cell, by Otsu's threshold.
    """
    # references are medians and shares: a half as large picture tells them as well
    small, inside = DENSITY[image[::2, ::2]], mask[::2, ::2]
    if inside.sum() < MIN_CELL_PIXELS:
        inside = np.ones_like(inside)
    outside = ~ndimage.binary_dilation(inside, iterations=2)
    if outside.sum() < MIN_CELL_PIXELS:
        outside = ~inside
    if outside.any():
        lightest = outside & (small[..., 1] <= np.quantile(small[..., 1][outside], LIGHTEST))
        white = np.median(small[lightest], axis=0)
    else:
        white = small.reshape(-1, 3).min(axis=0)
    small = np.clip(small - white, -0.1, 3)
    grey = ndimage.gaussian_filter(small @ GREY, 0.75)
    nucleus = inside & (grey >= threshold_otsu(grey[inside]))
    scale = NUCLEUS / np.maximum(np.median(small[nucleus], axis=0), MIN_NUCLEUS_DENSITY)
    # what becomes of each of the 256 values of each channel
    density = np.clip((DENSITY[:, None] - white) * scale, -0.1, 3 * scale)
    table = np.clip(255 * np.exp(-density), 0, 255).round().astype(np.uint8)
    pixels = np.asarray(Image.fromarray(image).point(table.T.ravel().tolist()))
    full = np.repeat(np.repeat(nucleus, 2, axis=0), 2, axis=1)[: mask.shape[0], : mask.shape[1]]
    return pixels, full & mask if mask.any() else full
