"""Whether a field in which no white cell was found has colours in which none can be found."""

from __future__ import annotations

import numpy as np

from dorl.segmentation.fields import find_cells
from dorl.segmentation.segmenter import Segmenter

#: mean difference between a pixel's largest and smallest colour, 0-255: a grey picture has less, stained blood over 10
GREY = 3
#: standard deviation of the grey levels, 0-255, above which a picture shows something
CONTRAST = 4


def colour_fault(segmenter: Segmenter, image: np.ndarray, *, red_cell: float | None = None) -> str | None:
    """Why no white cell could be found in a field: it is grey, or its red and blue are swapped.

    Parameters
    ----------
    segmenter : Segmenter
    image : uint8 array of shape (H, W, 3)
        A field in which `find_cells` finds nothing.
    red_cell : float, optional
        As for `find_cells`.

    Returns
    -------
    str or None
        None where the colours aren't to blame.
    """
    if image.std(axis=(0, 1)).max() < CONTRAST:
        return None
    if np.ptp(image, axis=2).mean() < GREY:
        return "is grey, and nuclei are found by the colour of their dye: give the picture in colour"
    # of an empty field in the right colours nothing is found, swapped or not
    turned = find_cells(segmenter, np.ascontiguousarray(image[..., ::-1]), red_cell=red_cell)
    if turned:
        return (
            f"its red and blue look swapped (swapped back, {len(turned)} white cells are found): save it with red "
            "first, then green, then blue"
        )
    return None
