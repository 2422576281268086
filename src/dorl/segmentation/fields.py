"""Every white cell of a smear field, found and outlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dorl.segmentation.fieldcells import FieldCell, apart, is_white_cell, largest_first
from dorl.segmentation.fieldwindows import in_windows, look_at, outline
from dorl.segmentation.ruler import Ruler, measure
from dorl.segmentation.segmenter import Segmenter
from dorl.segmentation.smear import Place, cleared, find_dye

#: what has less dye in it, in squares of a red cell's diameter, is no white cell but a platelet, or a red cell under
#: grains of stain; and where the field's edge cuts it
LEAST_NUCLEUS, LEAST_CUT = 0.3, 0.15
#: a cell that is seen whole and is smaller than this, in the same squares, is at least so much nucleus: a lymphocyte or
#: an erythroblast, and no red cell with a platelet on it
SMALL, MOSTLY = 1.25, 0.5
#: a cell that is seen whole and is narrower than the first, in diameters of a red cell, is a large platelet where it is
#: stained less than this share as deeply as the field's deepest nucleus: small lymphocytes and erythroblasts are dark
NARROW, AS_DEEP = 0.95, 0.8
#: without red cells to measure by, the shorter side of a picture is taken for so many of them; fewer pixels than these
#: are never taken for a red cell
RED_CELLS, LEAST_UNIT = 5, 8.0
#: windows in which a doubtful ruler is tried, the diameters, in red cells, of the cells that it must show there, the
#: usual one of those with the most dye, and the spread of its logarithm
TRIED, LIKELY, USUAL, SPREAD = 4, (0.95, 2.8), 1.9, 0.35


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
    found = look_at(segmenter, picture, in_windows(dye.places, unit), unit)
    outlined = outline(segmenter, picture, largest_first(found), unit)
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


def _tried(segmenter: Segmenter, picture: np.ndarray, ruler: Ruler) -> Ruler:
    """The one of a doubtful ruler's estimates at which the segmenter sees most white cells, and of the usual size.

    Where neither shows a cell, the autocorrelation's stands, which noise doesn't reach.
    """
    best, chosen = 0.0, ruler.other or ruler.diameter
    for unit in {side for side in (ruler.other, ruler.diameter) if side}:
        groups = in_windows(find_dye(picture, unit).places, unit)[:TRIED]
        worth = 0.0
        for cell in look_at(segmenter, picture, groups, unit):
            across = 2 * np.sqrt(cell.mask.sum() / np.pi) / unit
            if LIKELY[0] <= across <= LIKELY[1] and is_white_cell(cell.mask, unit):
                worth += cell.confidence * float(np.exp(-((np.log(across / USUAL) / SPREAD) ** 2) / 2))
        if worth > best:
            best, chosen = worth, unit
    return replace(ruler, diameter=chosen)
