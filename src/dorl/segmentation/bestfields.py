"""The fields of a slide that a person would count in: red cells side by side, and white cells among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: rows and columns of the map's blocks in a field: 18 by 24 red cells, about what a 100× objective shows
ROWS, COLUMNS = 3, 4
#: how many fields are suggested at most, and how far their blocks must show a monolayer in the mean
MOST, LEAST = 10, 0.5


@dataclass(frozen=True)
class BestField:
    """A field that is suggested.

    Attributes
    ----------
    box : (int, int, int, int)
        xmin, ymin, xmax, ymax in pixels of level 0; the last two exclusive.
    monolayer : float
        Mean over its blocks, 0-1.
    cells : int
        White cells whose middle lies in it.
    """

    box: tuple[int, int, int, int]
    monolayer: float
    cells: int


def best_fields(monolayer: np.ndarray, cells: np.ndarray, block: int, size: tuple[int, int]) -> list[BestField]:
    """Choose fields that don't overlap, the best first: the most white cells times how far it shows a monolayer.

    Parameters
    ----------
    monolayer : float array of shape (R, C)
        Of each block, 0-1.
    cells : int array of shape (R, C)
        White cells in each block. Where there are none at all, the monolayer alone decides.
    block : int
        Side of a block in pixels of level 0.
    size : (int, int)
        Width and height of the slide; a field lies wholly on it.
    """
    rows, columns = (min(whole // block, many) for whole, many in zip(size[::-1], cells.shape, strict=True))
    if rows < ROWS or columns < COLUMNS:
        return []
    side_by_side = _sums(monolayer[:rows, :columns]) / (ROWS * COLUMNS)
    whites = _sums(cells[:rows, :columns])
    worth = np.where(side_by_side >= LEAST, side_by_side * (whites if cells.any() else 1), 0)
    found: list[BestField] = []
    while len(found) < MOST and worth.max() > 0:
        row, column = (int(at) for at in np.unravel_index(int(worth.argmax()), worth.shape))
        box = (column * block, row * block, (column + COLUMNS) * block, (row + ROWS) * block)
        found.append(BestField(box, float(side_by_side[row, column]), round(float(whites[row, column]))))
        worth[max(0, row - ROWS + 1) : row + ROWS, max(0, column - COLUMNS + 1) : column + COLUMNS] = 0
    return found


def _sums(values: np.ndarray) -> np.ndarray:
    """Sum over each field, by its first row and column: float (R - ROWS + 1, C - COLUMNS + 1)."""
    return np.lib.stride_tricks.sliding_window_view(values.astype(float), (ROWS, COLUMNS)).sum(axis=(2, 3))
