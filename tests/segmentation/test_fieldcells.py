"""White cells as outlines, on drawn masks."""

from __future__ import annotations

import numpy as np

from dorl.segmentation.fieldcells import FieldCell, apart, largest_first
from dorl.segmentation.smear import Place


def placed(cell: FieldCell, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape[:2], bool)
    left, top, right, bottom = cell.box
    mask[top:bottom, left:right] = cell.mask
    return mask


def disc(shape: tuple[int, int], row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(shape)
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def as_cell(mask: np.ndarray, at: tuple[int, int] = (0, 0)) -> FieldCell:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = (columns[0] + at[1], rows[0] + at[0], columns[-1] + 1 + at[1], rows[-1] + 1 + at[0])
    return FieldCell(tuple(int(side) for side in box), mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 0.9)


def test_cells_that_touch_are_cut_at_the_neck_and_lobes_are_not() -> None:
    two = disc((200, 300), 100, 90, 45) | disc((200, 300), 100, 175, 45)
    places = [Place(100, 90, 40, 1), Place(100, 175, 40, 1)]
    parts = apart(as_cell(two), places, 60)
    assert len(parts) == 2
    assert sum(part.mask.sum() for part in parts) == two.sum()
    assert {round(part.box[0], -1) for part in parts} == {40, 130}
    # one cell with two lobes of its nucleus; and two discs of which one has no nucleus
    assert len(apart(as_cell(disc((200, 300), 100, 90, 60)), [Place(90, 70, 30, 1), Place(110, 110, 30, 1)], 60)) == 1
    assert len(apart(as_cell(two), [Place(90, 80, 30, 1), Place(110, 100, 30, 1)], 60)) == 1


def test_what_was_found_twice_is_kept_once() -> None:
    large, same, other = (disc((200, 300), 100, at, 40) for at in (90, 96, 160))
    kept = largest_first([as_cell(same & large), as_cell(large), as_cell(other)])
    assert len(kept) == 2
    masks = [placed(cell, (200, 300)) for cell in kept]
    assert not (masks[0] & masks[1]).any()
    assert (masks[0] == large).all() or (masks[1] == large).all()
