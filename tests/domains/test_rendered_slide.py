"""Rendered slides: that the truth is that of the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from dorl.domains.rendered.slide import MONOLAYER, PATCH, SlidePlan, write_slide
from dorl.errors import InputError


def test_a_white_cell_lies_in_each_box_and_glass_is_bare(slides: Path) -> None:
    whole = tifffile.imread(slides / "slide.ome.tif", level=0)
    assert whole.shape == (3000, 4000, 3)
    cells, layout = np.load(slides / "cells.npy"), np.load(slides / "layout.npy")
    assert len(cells) >= 5 * 2
    usual = float(np.median(whole))
    for left, top, right, bottom in cells:
        assert whole[top:bottom, left:right].min() < usual - 80
        row, column = (top + bottom) // 2 // PATCH, (left + right) // 2 // PATCH
        assert layout[row, column] >= MONOLAYER
    assert np.ptp(whole[:1000, :1000].astype(int), axis=(0, 1)).max() < 60


def test_a_patch_that_is_repeated_shows_the_same_cells(slides: Path) -> None:
    cells = np.load(slides / "cells.npy")
    middles = (cells[:, :2] + cells[:, 2:]) / 2
    upper, lower = (cells[((middles // PATCH).astype(int) == place).all(axis=1)] for place in ((1, 1), (2, 2)))
    moved = lower - np.array([PATCH, PATCH, PATCH, PATCH])
    assert len(lower)
    assert {tuple(box) for box in moved} <= {tuple(box) for box in upper}


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    plan = SlidePlan(np.zeros((1, 1), int), (2000, 1000))
    with pytest.raises(InputError, match="a layout of 1x1 patches covers no 2000x1000 pixels"):
        write_slide(tmp_path / "a.svs", plan)
    with pytest.raises(InputError, match="kind 'czi': give svs or ome"):
        write_slide(tmp_path / "a.svs", plan, kind="czi")
