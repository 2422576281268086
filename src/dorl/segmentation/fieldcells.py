"""The white cells of a smear field as outlines: each once, cut apart where they touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import regionprops
from skimage.segmentation import watershed

from dorl.domains.windows import CUT_OUT, window_around
from dorl.segmentation.crop import NEIGHBOURS, largest_component
from dorl.segmentation.smear import Place

#: least diameter of a white cell, in diameters of a red cell, and least share of its convex hull
LEAST_CELL, SOLIDITY = 0.5, 0.8
#: of two masks that share more than this much of the smaller one, the larger is kept
SHARED = 0.5
#: two cells in one mask: the neck is at most this share of the narrower one's width
NECK = 0.75
#: depths at which a neck is looked for
LEVELS = 24


@dataclass(frozen=True)
class FieldCell:
    """A white cell in a field.

    Attributes
    ----------
    box : tuple of 4 int
        xmin, ymin, xmax, ymax in pixels of the field; the last two are exclusive.
    mask : bool array of shape (ymax - ymin, xmax - xmin)
        The cell inside its box; one part without holes.
    confidence : float
        From 0 to 1: the Dice that the mask has, in expectation, if the network's probabilities hold.
    touches_border : bool
        Whether the field's edge cuts the cell, so that a part of it may be missing.
    fine : bool
        Whether the window it was seen in suits it, so that its outline needs no closer look.
    """

    box: tuple[int, int, int, int]
    mask: np.ndarray
    confidence: float
    touches_border: bool = False
    fine: bool = False


def label_picture(cells: Sequence[FieldCell], size: tuple[int, int]) -> np.ndarray:
    """The cells of a field of a width and height: uint16 (H, W), 0 outside cells, i + 1 in cell i."""
    labels = np.zeros(size[::-1], np.uint16)
    for number, cell in enumerate(cells, start=1):
        left, top, right, bottom = cell.box
        labels[top:bottom, left:right][cell.mask] = number
    return labels


def cut_out(image: np.ndarray, cell: FieldCell) -> tuple[np.ndarray, np.ndarray]:
    """The square around a cell, as an image of this one cell, and the cell's mask in it.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
        The field.
    cell : FieldCell

    Returns
    -------
    crop : uint8 array of shape (S, S, 3)
        Twice as wide as the cell; moved where it would leave the field, and smaller where that is smaller.
    mask : bool array of shape (S, S)
    """
    left, top, right, bottom = cell.box
    side = CUT_OUT * max(right - left, bottom - top)
    window = window_around(((top + bottom) / 2, (left + right) / 2), side, image.shape[:2])
    return image[window], placed(cell, window)


def cell_of(mask: np.ndarray, window: tuple[slice, slice], confidence: float, *, fine: bool = False) -> FieldCell:
    """A cell of a mask in a window of the field."""
    rows, columns = ndimage.find_objects(mask.astype(np.uint8))[0]
    top, left = window[0].start, window[1].start
    box = (left + columns.start, top + rows.start, left + columns.stop, top + rows.stop)
    return FieldCell(box, mask[rows, columns], confidence, fine=fine)


def placed(cell: FieldCell, window: tuple[slice, slice]) -> np.ndarray:
    """The cell's mask in a window of the field that holds it."""
    mask = np.zeros([side.stop - side.start for side in window], bool)
    top, left = cell.box[1] - window[0].start, cell.box[0] - window[1].start
    mask[top : top + cell.mask.shape[0], left : left + cell.mask.shape[1]] = cell.mask
    return mask


def largest_first(cells: Sequence[FieldCell]) -> list[FieldCell]:
    """The cells without those that were found twice, by their masks, and no pixel in two of them."""
    kept: list[FieldCell] = []
    for cell in sorted(cells, key=lambda cell: -int(cell.mask.sum())):
        rest = cell.mask.copy()
        for other in kept:
            left, top = (max(one, two) for one, two in zip(cell.box[:2], other.box[:2], strict=True))
            right, bottom = (min(one, two) for one, two in zip(cell.box[2:], other.box[2:], strict=True))
            if left < right and top < bottom:
                theirs = other.mask[
                    top - other.box[1] : bottom - other.box[1], left - other.box[0] : right - other.box[0]
                ]
                rest[top - cell.box[1] : bottom - cell.box[1], left - cell.box[0] : right - cell.box[0]] &= ~theirs
        if rest.sum() > (1 - SHARED) * cell.mask.sum():
            window = slice(cell.box[1], cell.box[3]), slice(cell.box[0], cell.box[2])
            whole = cell.fine and bool((rest == cell.mask).all())
            kept.append(cell_of(largest_component(rest), window, cell.confidence, fine=whole))
    return kept


def apart(cell: FieldCell, places: Sequence[Place], unit: float) -> list[FieldCell]:
    """Two or more cells that touch, cut at their neck; the cell itself where it is one.

    Each part must be as large as a cell and hold a nucleus, so that lobes aren't cut apart.
    """
    left, top, right, bottom = cell.box
    within = np.zeros_like(cell.mask)
    for place in places:
        row, column = round(place.row), round(place.column)
        if top <= row < bottom and left <= column < right:
            within[row - top, column - left] = True
    if (within & cell.mask).sum() < 2:
        return [cell]
    inside = ndimage.distance_transform_edt(np.pad(cell.mask, 1))[1:-1, 1:-1]
    window = slice(top, bottom), slice(left, right)
    for level in np.linspace(0, inside.max(), LEVELS)[1:-1]:
        cores, count = ndimage.label(inside > level, structure=NEIGHBOURS)
        widest = np.append(0, ndimage.maximum(inside, cores, np.arange(1, count + 1)))
        deep = widest >= max(level / NECK, 0.4 * LEAST_CELL * unit)
        if deep.sum() < 2:
            continue
        parts = watershed(-inside, np.where(deep[cores], cores, 0), mask=cell.mask)
        masks = [parts == number for number in np.flatnonzero(deep)]
        if all((within & mask).any() and is_white_cell(mask, unit) for mask in masks):
            cut = [cell_of(mask, window, cell.confidence) for mask in masks]
            return [part for one in cut for part in apart(one, places, unit)]
    return [cell]


def is_white_cell(mask: np.ndarray, unit: float) -> bool:
    """Whether a mask has the size and shape of a white cell."""
    if mask.sum() < np.pi / 4 * (LEAST_CELL * unit) ** 2:
        return False
    return bool(regionprops(mask.astype(np.uint8))[0].solidity >= SOLIDITY)
