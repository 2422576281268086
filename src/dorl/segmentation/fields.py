"""Every white cell of a smear field, found and outlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from dorl.domains.windows import window_around
from dorl.segmentation.cell import CUT, expected_dice, probabilities, without_threads
from dorl.segmentation.crop import NEIGHBOURS
from dorl.segmentation.fieldcells import (
    SHARED,
    FieldCell,
    apart,
    cell_of,
    is_white_cell,
    largest_first,
    placed,
)
from dorl.segmentation.ruler import Ruler, measure
from dorl.segmentation.segmenter import Segmenter
from dorl.segmentation.smear import Place, cleared, find_dye

#: side of the window around a nucleus, in diameters of a red cell; a white cell takes a sixth to a half of it
WINDOW = 5.4
#: where nothing is seen around a nucleus at least this large, in diameters of a red cell, and stained at least this
#: share as deeply as the field's deepest, the segmenter looks at half the window, and then at one of so many of the
#: nucleus' own diameters: what is small, round and dark it takes for a platelet from afar
SOLID, STAINED, CLOSE = 0.55, 0.6, 2.0
#: places that lie this near each other, in diameters of a red cell, are looked at in one window
TOGETHER = 1.2
#: a place with less dye around it, in squares of a red cell's diameter, isn't looked at: platelets, grains of stain
LEAST_DYE = 0.25
#: what has less dye in it, in the same squares, is no white cell but a platelet, or a red cell under grains of stain;
#: and where the field's edge cuts it
LEAST_NUCLEUS, LEAST_CUT = 0.3, 0.15
#: a cell that is seen whole and is smaller than this, in the same squares, is at least so much nucleus: a lymphocyte or
#: an erythroblast, and no red cell with a platelet on it
SMALL, MOSTLY = 1.25, 0.5
#: a cell that is seen whole and is narrower than the first, in diameters of a red cell, is a large platelet where it is
#: stained less than this share as deeply as the field's deepest nucleus: small lymphocytes and erythroblasts are dark
NARROW, AS_DEEP = 0.95, 0.8
#: side of the window in which a cell that was found is outlined, in sides of its box and in diameters of a red cell
OUTLINED, LEAST_WINDOW = 1.8, 1.5
#: windows of a batch; those that a field is always allowed, and more by its area in windows. Beyond these the search
#: goes on as long as so large a share of a batch shows cells
BATCH, ALWAYS, TIMES, WORTH = 32, 32, 2.0, 0.1
#: without red cells to measure by, the shorter side of a picture is taken for so many of them; fewer pixels than these
#: are never taken for a red cell
RED_CELLS, LEAST_UNIT = 5, 8.0
#: windows in which a doubtful ruler is tried, and the diameters, in red cells, of the cells that it must show there
TRIED, LIKELY = 4, (0.95, 2.8)


@dataclass(frozen=True)
class Found:
    """What was found in a field.

    Attributes
    ----------
    cells : list of FieldCell
        From top to bottom. Their masks don't overlap.
    ruler : Ruler
        That was used.
    """

    cells: list[FieldCell]
    ruler: Ruler


def find_cells(segmenter: Segmenter, image: np.ndarray, *, red_cell: float | None = None) -> list[FieldCell]:
    """Find and outline every white cell of a field: the `cells` of `search`.

    Parameters
    ----------
    segmenter : Segmenter
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255, of any size; white cells about 20 pixels wide or wider.
    red_cell : float, optional
        Diameter of a red cell in pixels; measured otherwise.
    """
    return search(segmenter, image, ruler=None if red_cell is None else Ruler(red_cell, 1.0)).cells


def search(
    segmenter: Segmenter, image: np.ndarray, *, ruler: Ruler | None = None, even: np.ndarray | None = None
) -> Found:
    """Find and outline every white cell of a field.

    Uneven light and marks are taken out first. Nuclei are looked for by the colour of their dye; the segmenter says
    what is cell in a window around each, as large as a few red cells, and once more in a window that suits the cell.
    What is much smaller than a red cell is a platelet and is left out; cells that touch are cut apart at their neck. A
    cell that the field's edge cuts is found like any other where as much of it is seen.

    Parameters
    ----------
    segmenter : Segmenter
    image : uint8 array of shape (H, W, 3)
        RGB, 0-255, of any size; white cells about 20 pixels wide or wider.
    ruler : Ruler, optional
        `dorl.segmentation.ruler.measure` otherwise. Where it isn't sure the segmenter tries both estimates; without any
        a fifth of the shorter side is taken.
    even : uint8 array of shape (H, W, 3), optional
        The image as `dorl.segmentation.smear.cleared` gives it, where that is known already.

    Returns
    -------
    Found
    """
    picture = cleared(image) if even is None else even
    ruler = measure(picture) if ruler is None else ruler
    if not ruler.sure:
        ruler = _tried(segmenter, picture, ruler)
    unit = max(LEAST_UNIT, ruler.diameter or min(image.shape[:2]) / RED_CELLS)
    dye = find_dye(picture, unit)
    found = _seen(segmenter, picture, _groups(dye.places, unit), unit)
    outlined = _outlined(segmenter, picture, largest_first(found), unit)
    height, width = image.shape[:2]
    cells = []
    for cell in [part for whole in largest_first(outlined) for part in apart(whole, dye.places, unit)]:
        cut = min(cell.box[:2]) == 0 or cell.box[2] == width or cell.box[3] == height
        nucleus, area = dye.within(cell.box, cell.mask) / unit**2, cell.mask.sum() / unit**2
        least = LEAST_CUT if cut else max(LEAST_NUCLEUS, MOSTLY * area if area < SMALL else 0)
        if is_white_cell(cell.mask, unit) and nucleus >= least:
            cells.append(replace(cell, touches_border=cut))
    cells = _without_platelets(cells, dye.places, unit)
    cells.sort(key=lambda cell: (cell.box[1], cell.box[0]))
    return Found(cells, ruler)


def _without_platelets(cells: Sequence[FieldCell], places: Sequence[Place], unit: float) -> list[FieldCell]:
    """The cells without those that are too small to be so pale beside the field's other cells."""
    stains = [max((place.stain for place in places if _inside(place, cell.box)), default=0.0) for cell in cells]
    least = AS_DEEP * max(stains, default=0.0)
    whole = np.pi / 4 * (NARROW * unit) ** 2
    return [
        cell
        for cell, stain in zip(cells, stains, strict=True)
        if stain >= least or cell.touches_border or cell.mask.sum() >= whole
    ]


def _inside(place: Place, box: tuple[int, int, int, int]) -> bool:
    return box[0] <= place.column < box[2] and box[1] <= place.row < box[3]


def _groups(places: Sequence[Place], unit: float) -> list[list[Place]]:
    """Places that one window shows, those with the most dye first."""
    left = sorted((place for place in places if place.dye >= LEAST_DYE), key=lambda place: -place.dye * place.stain)
    at = np.array([(place.row, place.column) for place in left]).reshape(-1, 2)
    free = np.ones(len(left), bool)
    groups = []
    for first in range(len(left)):
        if free[first]:
            near = free & (np.hypot(*(at - at[first]).T) < TOGETHER * unit)
            free &= ~near
            groups.append([left[i] for i in np.flatnonzero(near)])
    return groups


def _tried(segmenter: Segmenter, picture: np.ndarray, ruler: Ruler) -> Ruler:
    """The one of a doubtful ruler's estimates at which the segmenter is surest to see a white cell of a likely size.

    Where neither shows a cell, the autocorrelation's stands, which noise doesn't reach.
    """
    best, chosen = 0.0, ruler.other or ruler.diameter
    for unit in {side for side in (ruler.other, ruler.diameter) if side}:
        groups = _groups(find_dye(picture, unit).places, unit)[:TRIED]
        for cell in _seen(segmenter, picture, groups, unit):
            across = 2 * np.sqrt(cell.mask.sum() / np.pi) / unit
            if LIKELY[0] <= across <= LIKELY[1] and is_white_cell(cell.mask, unit) and cell.confidence > best:
                best, chosen = cell.confidence, unit
    return replace(ruler, diameter=chosen)


def _seen(segmenter: Segmenter, picture: np.ndarray, groups: Sequence[Sequence[Place]], unit: float) -> list[FieldCell]:
    """What the segmenter takes for cells at groups of places; most of the groups first, bounded by the area."""
    allowed = ALWAYS + TIMES * picture.shape[0] * picture.shape[1] / (WINDOW * unit) ** 2
    deepest = max((place.stain for group in groups for place in group), default=0.0)
    found: list[FieldCell] = []
    for start in range(0, len(groups), BATCH):
        views = [(group, WINDOW * unit) for group in groups[start : start + BATCH]]
        seen, missed = _around(segmenter, picture, views, unit=unit)
        solid = [place for place in missed if place.diameter >= SOLID * unit and place.stain >= STAINED * deepest]
        for share in (lambda _: WINDOW * unit / 2, lambda place: CLOSE * place.diameter):
            more, solid = _around(segmenter, picture, [([place], share(place)) for place in solid], unit=unit)
            seen += more
        found += seen
        if start + BATCH > allowed and len(seen) < WORTH * len(views):
            break
    return found


def _around(
    segmenter: Segmenter, picture: np.ndarray, views: Sequence[tuple[Sequence[Place], float]], *, unit: float
) -> tuple[list[FieldCell], list[Place]]:
    """What the segmenter takes for cells, in one window a group of places; and the places where it sees nothing.

    A cell that lies up to a quarter of a red cell beside a place counts as seen there.
    """
    found, missed = [], []
    windows = []
    for places, side in views:
        middle = np.mean([(place.row, place.column) for place in places], axis=0)
        windows.append(window_around((float(middle[0]), float(middle[1])), side, picture.shape[:2]))
    for (places, _), window, chance in zip(views, windows, _asked(segmenter, picture, windows), strict=True):
        parts, count = ndimage.label(chance > CUT, structure=NEIGHBOURS)
        away = nearest = None
        numbers = set()
        for place in places:
            row = min(max(0, round(place.row) - window[0].start), parts.shape[0] - 1)
            column = min(max(0, round(place.column) - window[1].start), parts.shape[1] - 1)
            number = int(parts[row, column])
            if count and not number:
                if away is None or nearest is None:
                    away, nearest = ndimage.distance_transform_edt(parts == 0, return_indices=True)
                number = int(parts[tuple(nearest[:, row, column])]) if away[row, column] < unit / 4 else 0
            if number:
                numbers.add(number)
            # a mask that is smaller than the nucleus is no outline of a cell
            if not number or (parts == number).sum() < place.dye * unit**2:
                missed.append(place)
        for number in sorted(numbers):
            found.append(cell_of(parts == number, window, float(chance[parts == number].mean())))
    return found, missed


def _outlined(segmenter: Segmenter, picture: np.ndarray, cells: Sequence[FieldCell], unit: float) -> list[FieldCell]:
    """The same cells as the segmenter sees them in windows of a size that suits them."""
    windows = []
    for cell in cells:
        left, top, right, bottom = cell.box
        side = max(OUTLINED * max(right - left, bottom - top), LEAST_WINDOW * unit)
        windows.append(window_around(((top + bottom) / 2, (left + right) / 2), side, picture.shape[:2]))
    outlined = []
    for cell, window, chance in zip(cells, windows, _asked(segmenter, picture, windows), strict=True):
        parts, count = ndimage.label(chance > CUT, structure=NEIGHBOURS)
        before = placed(cell, window)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        shared = np.bincount(parts[before], minlength=count + 1)
        # what was one part from afar may be two from nearby
        numbers = 1 + np.flatnonzero(shared[1:] > SHARED * sizes[1:])
        if shared[numbers].sum() < SHARED * before.sum():
            outlined.append(cell_of(ndimage.binary_fill_holes(before), window, cell.confidence))
            continue
        for number in numbers:
            mask = ndimage.binary_fill_holes(without_threads(parts == number))
            others = (parts > 0) & (parts != number)
            outlined.append(cell_of(mask, window, expected_dice(chance, mask, others)))
    return outlined


def _asked(segmenter: Segmenter, picture: np.ndarray, windows: Sequence[tuple[slice, slice]]) -> list[np.ndarray]:
    chances = []
    for start in range(0, len(windows), BATCH):
        chances += probabilities(segmenter, [picture[window] for window in windows[start : start + BATCH]])
    return chances
