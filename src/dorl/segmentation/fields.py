"""Every white cell of a smear field, found and outlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from skimage.measure import regionprops
from skimage.segmentation import watershed

from dorl.segmentation.cell import CUT, NEIGHBOURS, expected_dice, probabilities, without_threads
from dorl.segmentation.crop import largest_component
from dorl.segmentation.segmenter import Segmenter
from dorl.segmentation.smear import Place, nuclei, red_cell_diameter

#: side of the window around a nucleus, in diameters of a red cell; a white cell takes a sixth to a half of it
WINDOW = 5.4
#: around a nucleus at least this large, in diameters of a red cell, and this stained, the segmenter looks at half the
#: window, too, and at one of so many of the nucleus' own diameters: what is small, round and dark it takes for a
#: platelet from afar
SOLID, STAINED, CLOSE = 0.7, 0.5, 2.0
#: side of the window in which a cell that was found is outlined, in sides of its box and in diameters of a red cell
OUTLINED, LEAST_WINDOW = 1.8, 1.5
#: least diameter of a white cell, in diameters of a red cell, and least share of its convex hull
LEAST_CELL, SOLIDITY = 0.5, 0.8
#: of two masks that share more than this much of the smaller one, the larger is kept
SHARED = 0.5
#: two cells in one mask: the neck is at most this share of the narrower one's width
NECK = 0.75
#: depths at which a neck is looked for
LEVELS = 24
#: without red cells to measure by, the shorter side of a picture is taken for so many of them; fewer pixels than these
#: are never taken for a red cell
RED_CELLS, LEAST_UNIT = 5, 8.0
#: side of the image of a single cell, in sides of its box
CUT_OUT = 2.0
#: candidates that are looked at in a field, those with the largest nuclei, so that no picture takes hours
MOST = 4000
#: windows that are looked at together
TOGETHER = 32


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
    """

    box: tuple[int, int, int, int]
    mask: np.ndarray
    confidence: float
    touches_border: bool = False


def label_picture(cells: Sequence[FieldCell], size: tuple[int, int]) -> np.ndarray:
    """The cells of a field of a width and height: uint16 (H, W), 0 outside cells, i + 1 in cell i."""
    labels = np.zeros(size[::-1], np.uint16)
    for number, cell in enumerate(cells, start=1):
        left, top, right, bottom = cell.box
        labels[top:bottom, left:right][cell.mask] = number
    return labels


def find_cells(segmenter: Segmenter, image: np.ndarray, *, red_cell: float | None = None) -> list[FieldCell]:
    """Find and outline every white cell of a field.

    Nuclei are looked for by the colour of their dye; the segmenter says what is cell in a window around each, as large
    as a few red cells, and once more in a window that suits the cell. What is much smaller than a red cell is a
    platelet and is left out; cells that touch are cut apart at their neck. A cell that the field's edge cuts is found
    like any other where as much of it is seen.

    Parameters
    ----------
    segmenter : Segmenter
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255, of any size; white cells about 20 pixels wide or wider.
    red_cell : float, optional
        Diameter of a red cell in pixels; measured by `dorl.segmentation.smear.red_cell_diameter` otherwise, and taken
        for a fifth of the shorter side where that can't be.

    Returns
    -------
    list of FieldCell
        From top to bottom. Their masks don't overlap.
    """
    unit = max(LEAST_UNIT, red_cell or red_cell_diameter(image) or min(image.shape[:2]) / RED_CELLS)
    places = nuclei(image, unit)
    if len(places) > MOST:
        places = sorted(places, key=lambda place: -place.diameter)[:MOST]
    solid = [place for place in places if place.diameter >= SOLID * unit and place.stain >= STAINED]
    views = [(place, WINDOW * unit) for place in places] + [(place, WINDOW * unit / 2) for place in solid]
    views += [(place, CLOSE * place.diameter) for place in solid]
    found = _around(segmenter, image, views, reach=unit / 4)
    outlined = _outlined(segmenter, image, _largest_first(found), unit)
    parts = [part for cell in _largest_first(outlined) for part in _apart(cell, places, unit)]
    whole = [cell for cell in parts if _is_white_cell(cell.mask, unit)]
    height, width = image.shape[:2]
    return [
        replace(cell, touches_border=min(cell.box[:2]) == 0 or cell.box[2] == width or cell.box[3] == height)
        for cell in sorted(whole, key=lambda cell: (cell.box[1], cell.box[0]))
    ]


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
    window = _window(((top + bottom) / 2, (left + right) / 2), side, image.shape[:2])
    return image[window], _placed(cell, window)


def _around(
    segmenter: Segmenter, image: np.ndarray, views: Sequence[tuple[Place, float]], *, reach: float
) -> list[FieldCell]:
    """What the segmenter takes for a cell at each place, or as near as `reach`, in a window of the side given."""
    found = []
    windows = [_window((place.row, place.column), side, image.shape[:2]) for place, side in views]
    for (place, _), window, chance in zip(views, windows, _asked(segmenter, image, windows), strict=True):
        parts, count = ndimage.label(chance > CUT, structure=NEIGHBOURS)
        row = min(max(0, round(place.row) - window[0].start), parts.shape[0] - 1)
        column = min(max(0, round(place.column) - window[1].start), parts.shape[1] - 1)
        number = parts[row, column]
        if count and not number:
            away, nearest = ndimage.distance_transform_edt(parts == 0, return_indices=True)
            number = parts[tuple(nearest[:, row, column])] if away[row, column] < reach else 0
        if number:
            found.append(_cell(parts == number, window, float(chance[parts == number].mean())))
    return found


def _outlined(segmenter: Segmenter, image: np.ndarray, cells: Sequence[FieldCell], unit: float) -> list[FieldCell]:
    """The same cells as the segmenter sees them in windows of a size that suits them."""
    windows = []
    for cell in cells:
        left, top, right, bottom = cell.box
        side = max(OUTLINED * max(right - left, bottom - top), LEAST_WINDOW * unit)
        windows.append(_window(((top + bottom) / 2, (left + right) / 2), side, image.shape[:2]))
    outlined = []
    for cell, window, chance in zip(cells, windows, _asked(segmenter, image, windows), strict=True):
        parts, count = ndimage.label(chance > CUT, structure=NEIGHBOURS)
        before = _placed(cell, window)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        shared = np.bincount(parts[before], minlength=count + 1)
        # what was one part from afar may be two from nearby
        numbers = 1 + np.flatnonzero(shared[1:] > SHARED * sizes[1:])
        if shared[numbers].sum() < SHARED * before.sum():
            outlined.append(_cell(ndimage.binary_fill_holes(before), window, cell.confidence))
            continue
        for number in numbers:
            mask = ndimage.binary_fill_holes(without_threads(parts == number))
            others = (parts > 0) & (parts != number)
            outlined.append(_cell(mask, window, expected_dice(chance, mask, others)))
    return outlined


def _asked(segmenter: Segmenter, image: np.ndarray, windows: Sequence[tuple[slice, slice]]) -> list[np.ndarray]:
    chances = []
    for start in range(0, len(windows), TOGETHER):
        chances += probabilities(segmenter, [image[window] for window in windows[start : start + TOGETHER]])
    return chances


def _window(centre: tuple[float, float], side: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a square around a place, moved where it would leave the picture, and cut if that is smaller.

    It is a square, since the segmenter squeezes into one whatever it is given.
    """
    length = max(1, min(round(side), *shape))
    starts = [min(max(0, round(at - length / 2)), whole - length) for at, whole in zip(centre, shape, strict=True)]
    return slice(starts[0], starts[0] + length), slice(starts[1], starts[1] + length)


def _cell(mask: np.ndarray, window: tuple[slice, slice], confidence: float) -> FieldCell:
    """A cell of a mask in a window of the field."""
    rows, columns = ndimage.find_objects(mask.astype(np.uint8))[0]
    top, left = window[0].start, window[1].start
    box = (left + columns.start, top + rows.start, left + columns.stop, top + rows.stop)
    return FieldCell(box, mask[rows, columns], confidence)


def _placed(cell: FieldCell, window: tuple[slice, slice]) -> np.ndarray:
    """The cell's mask in a window of the field that holds it."""
    mask = np.zeros([side.stop - side.start for side in window], bool)
    top, left = cell.box[1] - window[0].start, cell.box[0] - window[1].start
    mask[top : top + cell.mask.shape[0], left : left + cell.mask.shape[1]] = cell.mask
    return mask


def _largest_first(cells: Sequence[FieldCell]) -> list[FieldCell]:
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
            kept.append(_cell(largest_component(rest), window, cell.confidence))
    return kept


def _apart(cell: FieldCell, places: Sequence[Place], unit: float) -> list[FieldCell]:
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
        if all((within & mask).any() and _is_white_cell(mask, unit) for mask in masks):
            cut = [_cell(mask, window, cell.confidence) for mask in masks]
            return [part for one in cut for part in _apart(one, places, unit)]
    return [cell]


def _is_white_cell(mask: np.ndarray, unit: float) -> bool:
    """Whether a mask has the size and shape of a white cell."""
    if mask.sum() < np.pi / 4 * (LEAST_CELL * unit) ** 2:
        return False
    return bool(regionprops(mask.astype(np.uint8))[0].solidity >= SOLIDITY)
