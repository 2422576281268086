"""The white cells of a slide, tile by tile; those at the border of two tiles once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from dorl.domains.slides import Slide
from dorl.segmentation.fieldcells import FieldCell, cut_out
from dorl.segmentation.fields import search
from dorl.segmentation.overlap import MIN_SAME_IOU, box_iou
from dorl.segmentation.ruler import Ruler
from dorl.segmentation.segmenter import Segmenter
from dorl.segmentation.slidemap import SlideMap

#: side of a tile in pixels, about: a whole number of the map's blocks; and what is read around it, in red cells
TILE, MARGIN = 1024, 3.0
#: a cell is kept whose middle lies in the tile, or so far outside, in red cells; a candidate has its tile searched, and
#: another one that lies so near
SLACK, NEAR = 0.25, 1.0
#: a box of another tile that shares so much with a smaller one is of the same cell
INSIDE = 0.6


@dataclass(frozen=True)
class Tile:
    """A part of a slide, in pixels of level 0, without what is read around it."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class TileCells:
    """The white cells of a tile.

    Attributes
    ----------
    cells : list of FieldCell
        Boxes in pixels of level 0; `touches_border` tells of the slide's edge.
    crops : list of (uint8 array of shape (S, S, 3), bool array of shape (S, S))
        Each cell as an image of its own, and its mask in it, as `dorl.segmentation.fieldcells.cut_out` gives them.
    """

    cells: list[FieldCell]
    crops: list[tuple[np.ndarray, np.ndarray]]


def tiles_of(slide: Slide, map_: SlideMap, unit: float) -> list[Tile]:
    """The tiles in which a candidate lies, or beside which one lies, row by row.

    Parameters
    ----------
    slide : Slide
    map_ : SlideMap
    unit : float
        Diameter of a red cell in pixels of level 0.
    """
    side = max(1, round(TILE / map_.block)) * map_.block
    width, height = slide.size
    rows, columns = -(-height // side), -(-width // side)
    asked: set[tuple[int, int]] = set()
    for down in (-NEAR * unit, NEAR * unit):
        for right in (-NEAR * unit, NEAR * unit):
            numbers = ((map_.places + np.array([down, right])) / side).astype(int).clip(0, (rows - 1, columns - 1))
            asked.update((int(row), int(column)) for row, column in numbers)
    return [
        Tile(column * side, row * side, min(side, width - column * side), min(side, height - row * side))
        for row, column in sorted(asked)
    ]


def search_tile(segmenter: Segmenter, slide: Slide, tile: Tile, unit: float) -> TileCells:
    """Find and outline the white cells whose middle lies in a tile, or just outside it.

    Raises
    ------
    BadImageError
        If this part of the slide is damaged.
    """
    width, height = slide.size
    margin = int(MARGIN * unit)
    left, top = max(0, tile.left - margin), max(0, tile.top - margin)
    right = min(width, tile.left + tile.width + margin)
    bottom = min(height, tile.top + tile.height + margin)
    image = slide.read(0, left, top, right - left, bottom - top)
    cells, crops = [], []
    for cell in search(segmenter, image, ruler=Ruler(unit, 1.0)).cells:
        box = (cell.box[0] + left, cell.box[1] + top, cell.box[2] + left, cell.box[3] + top)
        across, down = (box[0] + box[2]) / 2 - tile.left, (box[1] + box[3]) / 2 - tile.top
        slack = SLACK * unit
        if -slack <= across < tile.width + slack and -slack <= down < tile.height + slack:
            cut = min(box[:2]) == 0 or box[2] == width or box[3] == height
            cells.append(replace(cell, box=box, touches_border=cut))
            crops.append(cut_out(image, cell))
    return TileCells(cells, crops)


def once(boxes: np.ndarray, tiles: Sequence[int], unit: float) -> np.ndarray:
    """Which cells to keep, so that each is kept in one tile.

    Parameters
    ----------
    boxes : int array of shape (N, 4)
        xmin, ymin, xmax, ymax of all tiles' cells, tile by tile.
    tiles : sequence of N int
        Number of the tile in which each was found.
    unit : float
        Diameter of a red cell in the same pixels.

    Returns
    -------
    bool array of shape (N,)
        Of two boxes of one cell, found in two tiles, that of the earlier tile is kept.
    """
    kept = np.ones(len(boxes), bool)
    if len(boxes) < 2:
        return kept
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    for one, other in sorted(cKDTree(middles).query_pairs(1.5 * unit)):
        first, second = sorted((one, other))
        if tiles[first] != tiles[second] and kept[first] and kept[second] and _same(boxes[first], boxes[second]):
            kept[second] = False
    return kept


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two boxes are of one cell: they overlap, or one lies mostly in the other."""
    if box_iou(one, other) >= MIN_SAME_IOU:
        return True
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    smaller = min(float(np.prod(box[2:] - box[:2])) for box in (one, other))
    return bool((sides > 0).all()) and float(np.prod(sides)) >= INSIDE * smaller
