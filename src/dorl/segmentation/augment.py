"""The published augmentation of images and masks."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def augment(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Half of the time a right-angle rotation and a flip; else, half of the time, a rotation within ±20°.

    Parameters
    ----------
    image : uint8 array of shape (S, S, 3)
    mask : bool array of shape (S, S)
    rng : numpy Generator

    Returns
    -------
    image, mask
        Of the same shapes and types. What a rotation uncovers repeats the nearest edge pixel.
    """
    if rng.random() < 0.5:
        turns, axis = int(rng.integers(4)), int(rng.integers(2))
        return (
            np.ascontiguousarray(np.flip(np.rot90(image, turns), axis)),
            np.ascontiguousarray(np.flip(np.rot90(mask, turns), axis)),
        )
    if rng.random() < 0.5:
        angle = rng.uniform(-20, 20)
        turned = ndimage.rotate(image, angle, reshape=False, order=1, mode="nearest")
        return turned, ndimage.rotate(mask.astype(np.uint8), angle, reshape=False, order=0, mode="nearest").astype(bool)
    return image, mask
