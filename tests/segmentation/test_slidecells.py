"""The white cells of a slide, tile by tile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dorl.domains.slides import open_slide
from dorl.segmentation import Segmenter, slidecells
from dorl.segmentation.overlap import MIN_SAME_IOU, box_iou
from dorl.segmentation.slidecells import Tile, once, search_tile, tiles_of
from dorl.segmentation.slidemap import SlideMap

UNIT = 26.0


def test_a_cell_of_two_tiles_is_kept_once() -> None:
    boxes = np.array([[0, 0, 40, 40], [100, 100, 140, 140], [2, 1, 42, 41], [110, 110, 130, 130], [0, 0, 40, 40]])
    assert once(boxes, [0, 0, 1, 1, 2], 30).tolist() == [True, True, False, False, False]
    # cells that touch, and two boxes of one tile, stay
    assert once(np.array([[0, 0, 40, 40], [30, 0, 70, 40]]), [0, 1], 30).all()
    assert once(boxes[[0, 2]], [0, 0], 30).all()
    assert once(boxes[:0], [], 30).tolist() == []


def test_tiles_are_searched_where_candidates_lie(slides: Path) -> None:
    pytest.importorskip("zarr", reason="the extra zarr is not installed")
    block = 156
    side = 7 * block
    covered = np.zeros((20, 26), np.float32)
    with open_slide(slides / "slide.ome.tif") as slide:

        def chosen(*places: tuple[float, float]) -> list[Tile]:
            return tiles_of(slide, SlideMap(block, covered, covered, np.array(places).reshape(-1, 2)), UNIT)

        assert chosen() == []
        assert chosen((100, 100)) == [Tile(0, 0, side, side)]
        assert chosen((100, side + 100)) == [Tile(side, 0, side, side)]
        assert chosen((100, side - 5)) == [Tile(0, 0, side, side), Tile(side, 0, side, side)]
        assert chosen((2999, 3999)) == [Tile(3 * side, 2 * side, 4000 - 3 * side, 3000 - 2 * side)]
        assert len(chosen((side - 5, side - 5), (0, 0), (2999, 3999))) == 5


def test_a_cell_at_the_border_of_tiles_is_found_whole_in_both(slides: Path) -> None:
    pytest.importorskip("zarr", reason="the extra zarr is not installed")
    segmenter = Segmenter.load("tiny", device="cpu", precision="float32")
    cells = np.load(slides / "cells.npy")
    left, top, right, _ = (int(side) for side in cells[0])
    middle = (left + right) // 2
    with open_slide(slides / "slide.ome.tif") as slide:
        halves = [search_tile(segmenter, slide, Tile(at, top - 100, 200, 300), UNIT) for at in (middle - 200, middle)]
    found = [[cell for cell in half.cells if box_iou(np.array(cell.box), cells[0]) >= MIN_SAME_IOU] for half in halves]
    assert [len(one) for one in found] == [1, 1]
    boxes = np.array([cell.box for half in halves for cell in half.cells])
    kept = once(boxes, [number for number, half in enumerate(halves) for _ in half.cells], UNIT)
    assert sum(box_iou(box, cells[0]) >= MIN_SAME_IOU for box in boxes[kept]) == 1
    assert not found[0][0].touches_border
    assert all(mask.shape == crop.shape[:2] for half in halves for crop, mask in half.crops)
    assert right - left < slidecells.MARGIN * UNIT
