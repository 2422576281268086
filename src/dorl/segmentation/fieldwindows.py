"""The windows of a smear field through which the segmenter looks: around candidates, and around each cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from dorl.domains.windows import window_around
from dorl.segmentation.cell import CUT, expected_dice, probabilities, without_threads
from dorl.segmentation.crop import NEIGHBOURS, filled
from dorl.segmentation.fieldcells import SHARED, FieldCell, cell_of, placed
from dorl.segmentation.segmenter import Segmenter
from dorl.segmentation.smear import Place

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
#: a cell as wide as this share of `WINDOW`, and not cut by its own window, keeps its outline; a smaller one, a platelet
#: that was seen from nearby among them, is outlined in a window whose side is so many sides of its box, and so many
#: diameters of a red cell at least
FINE, OUTLINED, LEAST_WINDOW = 0.36, 1.8, 1.5
#: windows of a batch; those that a field is always allowed, and more by its area in windows. Beyond these the search
#: goes on as long as so large a share of a batch shows cells
BATCH, ALWAYS, TIMES, WORTH = 32, 32, 2.0, 0.1


def in_windows(places: Sequence[Place], unit: float) -> list[list[Place]]:
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


def look_at(
    segmenter: Segmenter, picture: np.ndarray, groups: Sequence[Sequence[Place]], unit: float
) -> list[FieldCell]:
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
            found.append(_cell(parts, number, chance, window, picture.shape[:2], FINE * WINDOW * unit))
    return found, missed


def _cell(
    parts: np.ndarray,
    number: int,
    chance: np.ndarray,
    window: tuple[slice, slice],
    field: tuple[int, ...],
    fine: float,
) -> FieldCell:
    """One part of what was seen in a window; outlined, where it is at least `fine` pixels wide and wholly inside."""
    mask = parts == number
    place = ndimage.find_objects(mask.astype(np.uint8))[0]
    whole = all(
        (side.start > 0 or view.start == 0) and (side.stop < view.stop - view.start or view.stop == length)
        for side, view, length in zip(place, window, field, strict=True)
    )
    if not whole or max(side.stop - side.start for side in place) < fine:
        return cell_of(mask, window, float(chance[mask].mean()))
    outlined = filled(without_threads(mask))
    return cell_of(outlined, window, expected_dice(chance, outlined, (parts > 0) & ~mask), fine=True)


def outline(segmenter: Segmenter, picture: np.ndarray, cells: Sequence[FieldCell], unit: float) -> list[FieldCell]:
    """The same cells, those that aren't `fine` as the segmenter sees them in windows of a size that suits them."""
    windows, outlined = [], [cell for cell in cells if cell.fine]
    cells = [cell for cell in cells if not cell.fine]
    for cell in cells:
        left, top, right, bottom = cell.box
        side = max(OUTLINED * max(right - left, bottom - top), LEAST_WINDOW * unit)
        windows.append(window_around(((top + bottom) / 2, (left + right) / 2), side, picture.shape[:2]))
    for cell, window, chance in zip(cells, windows, _asked(segmenter, picture, windows), strict=True):
        parts, count = ndimage.label(chance > CUT, structure=NEIGHBOURS)
        before = placed(cell, window)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        shared = np.bincount(parts[before], minlength=count + 1)
        # what was one part from afar may be two from nearby
        numbers = 1 + np.flatnonzero(shared[1:] > SHARED * sizes[1:])
        if shared[numbers].sum() < SHARED * before.sum():
            outlined.append(cell_of(filled(before), window, cell.confidence))
            continue
        for number in numbers:
            mask = filled(without_threads(parts == number))
            others = (parts > 0) & (parts != number)
            outlined.append(cell_of(mask, window, expected_dice(chance, mask, others)))
    return outlined


def _asked(segmenter: Segmenter, picture: np.ndarray, windows: Sequence[tuple[slice, slice]]) -> list[np.ndarray]:
    chances = []
    for start in range(0, len(windows), BATCH):
        chances += probabilities(segmenter, [picture[window] for window in windows[start : start + BATCH]])
    return chances
