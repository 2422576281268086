"""How large a cell is among those of its lab: the square crop that classifiers see doesn't tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: of fewer cells no middle is taken, and none of them is larger or smaller than usual
MIN_SIZED_CELLS = 30


def log_diameter(mask: NDArray[np.bool_]) -> float:
    """Natural logarithm of the diameter, in pixels, of the disc that has a mask's (H, W) area; NaN of an empty one."""
    area = int(np.count_nonzero(mask))
    return 0.5 * float(np.log(4 / np.pi * area)) if area else float("nan")


def usual(sizes: ArrayLike) -> float:
    """The median of some cells' `log_diameter` (N,) without NaN; NaN where there are fewer than `MIN_SIZED_CELLS`."""
    known = np.asarray(sizes, np.float64)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) >= MIN_SIZED_CELLS else float("nan")


def relative(sizes: ArrayLike, labs: Sequence[str] | NDArray[np.object_]) -> NDArray[np.float32]:
    """How much larger than usual in its lab each cell is.

    The lab's magnification doesn't enter: a red cell, the ruler of smear fields, is not seen in most labs' crops.

    Parameters
    ----------
    sizes : float array of shape (N,)
        `log_diameter`.
    labs : sequence of N str
        Images of one lab have one magnification.

    Returns
    -------
    float32 array of shape (N,)
        The logarithm of a cell's diameter over the lab's median; 0 where either isn't known.
    """
    found = np.asarray(sizes, np.float64).copy()
    names = np.asarray(labs, object)
    for name in set(names.tolist()):
        found[names == name] -= usual(found[names == name])
    return np.nan_to_num(found).astype(np.float32)
