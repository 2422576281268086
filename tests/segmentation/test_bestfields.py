"""Which fields of a slide are suggested."""

from __future__ import annotations

import numpy as np

from dorl.segmentation.bestfields import COLUMNS, MOST, ROWS, best_fields


def test_the_best_field_has_the_most_cells_in_a_monolayer() -> None:
    monolayer, cells = np.zeros((20, 20)), np.zeros((20, 20), int)
    monolayer[5:15, 5:15] = 1
    cells[6, 6], cells[12, 12], cells[1, 1] = 2, 5, 50  # the fifty lie where there is no monolayer
    first, second = best_fields(monolayer, cells, 10, (200, 200))[:2]
    assert (first.cells, first.monolayer) == (5, 1.0)
    assert first.box[0] <= 120 < first.box[2]
    assert first.box[1] <= 120 < first.box[3]
    assert second.cells == 2
    assert (first.box[2] - first.box[0], first.box[3] - first.box[1]) == (10 * COLUMNS, 10 * ROWS)


def test_fields_do_not_overlap_and_lie_on_the_slide() -> None:
    fields = best_fields(np.ones((20, 20)), np.ones((20, 20), int), 10, (195, 195))
    assert len(fields) == MOST
    seen = np.zeros((195, 195), int)
    for field in fields:
        left, top, right, bottom = field.box
        assert right <= 195
        assert bottom <= 195
        seen[top:bottom, left:right] += 1
    assert seen.max() == 1


def test_without_white_cells_the_monolayer_decides_and_without_both_nothing_is_suggested() -> None:
    monolayer = np.zeros((8, 8))
    monolayer[2:5, 2:6] = 1
    (field,) = [one for one in best_fields(monolayer, np.zeros((8, 8), int), 10, (80, 80)) if one.monolayer == 1]
    assert field.box == (20, 20, 60, 50)
    assert best_fields(np.zeros((8, 8)), np.ones((8, 8), int), 10, (80, 80)) == []
    assert best_fields(np.ones((2, 8)), np.ones((2, 8), int), 10, (80, 20)) == []
