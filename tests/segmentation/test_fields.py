"""Every white cell of a field, on fields put together from rendered cells, and on drawn masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dorl.domains import read_image
from dorl.domains.boxes import read_fields
from dorl.domains.rendered import STYLES, render_cell
from dorl.segmentation import Segmenter
from dorl.segmentation.fields import FieldCell, _apart, _largest_first, cut_out, find_cells
from dorl.segmentation.smear import Place


@pytest.fixture(scope="module")
def tiny() -> Segmenter:
    return Segmenter.load("tiny", device="cpu", precision="float32")


def rendered_field(
    style: str, names: list[list[str]], *, side: int = 240, seed: int = 0
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Rendered cells side by side: the field, and the mask of each white cell in it."""
    look = replace(STYLES[style], magnification=0.22, variation=0.0)
    rng = np.random.default_rng(seed)
    image = np.zeros((side * len(names), side * len(names[0]), 3), np.uint8)
    masks = []
    for row, line in enumerate(names):
        for column, name in enumerate(line):
            made = render_cell(name, look, rng, size=side)
            window = np.s_[row * side : (row + 1) * side, column * side : (column + 1) * side]
            image[window] = made.image
            mask = np.zeros(image.shape[:2], bool)
            mask[window] = made.mask
            masks.append(mask)
    return image, masks


def placed(cell: FieldCell, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape[:2], bool)
    left, top, right, bottom = cell.box
    mask[top:bottom, left:right] = cell.mask
    return mask


NAMES = [["neutrophil_segmented", "lymphocyte_typical", "monocyte"], ["eosinophil", "neutrophil_banded", "monocyte"]]


@pytest.mark.parametrize("style", ["harbour", "dune", "forest"])
def test_every_white_cell_is_found_once_and_outlined(tiny: Segmenter, style: str) -> None:
    image, masks = rendered_field(style, NAMES)
    cells = find_cells(tiny, image)
    assert len(cells) == 6
    assert [cell.box[1] for cell in cells] == sorted(cell.box[1] for cell in cells)
    found = [placed(cell, image.shape) for cell in cells]
    assert np.sum(found, axis=0).max() == 1
    for truth in masks:
        best = max(2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for mask in found)
        assert best > 0.85
    for cell in cells:
        assert cell.mask.shape == (cell.box[3] - cell.box[1], cell.box[2] - cell.box[0])
        assert cell.mask.any(axis=1).all()
        assert cell.mask.any(axis=0).all()
        assert 0.5 < cell.confidence <= 1
        assert not cell.touches_border


def test_a_cell_that_the_edge_cuts_is_found_and_says_so(tiny: Segmenter) -> None:
    image, masks = rendered_field("harbour", [["neutrophil_segmented", "monocyte"]])
    columns = np.flatnonzero(masks[0].any(axis=0))
    cut = image[:, (columns[0] + columns[-1]) // 2 :]
    cells = sorted(find_cells(tiny, cut), key=lambda cell: cell.box[0])
    assert len(cells) == 2
    assert cells[0].box[0] == 0
    assert [cell.touches_border for cell in cells] == [True, False]


@pytest.mark.parametrize("shape", [(300, 400), (8, 8), (9, 300)])
def test_an_empty_field_has_no_cells_and_noise_breaks_nothing(tiny: Segmenter, shape: tuple[int, int]) -> None:
    assert find_cells(tiny, np.full((*shape, 3), 230, np.uint8)) == []
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    found = [placed(cell, shape) for cell in find_cells(tiny, noise)]
    assert np.sum([np.zeros(shape), *found], axis=0).max() <= 1


def test_of_too_many_candidates_the_largest_are_looked_at(tiny: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = rendered_field("harbour", NAMES)
    whole = find_cells(tiny, image)
    monkeypatch.setattr("dorl.segmentation.fields.MOST", 2)
    few = find_cells(tiny, image)
    assert 1 <= len(few) <= 2 < len(whole)


def test_the_image_of_one_cell_holds_it(tiny: Segmenter) -> None:
    image, _ = rendered_field("dune", [["neutrophil_segmented", "monocyte"]])
    for cell in find_cells(tiny, image):
        crop, mask = cut_out(image, cell)
        assert crop.shape[:2] == mask.shape
        assert crop.shape[0] == crop.shape[1]
        assert mask.sum() == cell.mask.sum()
        assert crop.shape[0] >= 1.5 * max(cell.mask.shape)
        assert (crop[mask] == image[placed(cell, image.shape)]).all()


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
    parts = _apart(as_cell(two), places, 60)
    assert len(parts) == 2
    assert sum(part.mask.sum() for part in parts) == two.sum()
    assert {round(part.box[0], -1) for part in parts} == {40, 130}
    # one cell with two lobes of its nucleus; and two discs of which one has no nucleus
    assert len(_apart(as_cell(disc((200, 300), 100, 90, 60)), [Place(90, 70, 30, 1), Place(110, 110, 30, 1)], 60)) == 1
    assert len(_apart(as_cell(two), [Place(90, 80, 30, 1), Place(110, 100, 30, 1)], 60)) == 1


def test_what_was_found_twice_is_kept_once() -> None:
    large, same, other = (disc((200, 300), 100, at, 40) for at in (90, 96, 160))
    kept = _largest_first([as_cell(same & large), as_cell(large), as_cell(other)])
    assert len(kept) == 2
    masks = [placed(cell, (200, 300)) for cell in kept]
    assert not (masks[0] & masks[1]).any()
    assert (masks[0] == large).all() or (masks[1] == large).all()


@pytest.mark.shared
@pytest.mark.slow
def test_the_white_cells_of_real_fields_are_found(tiny: Segmenter, data: Path) -> None:
    """Every tenth of the even-numbered fields; benchmarks/fields.py measures the others."""
    fields = [field for field in read_fields(data / "BCCD_fields") if field.path.stem[-1] in "02468"][::10]
    hits = counted = truth = 0
    for field in fields:
        cells, boxes = find_cells(tiny, read_image(field.path)), field.of("WBC")
        for box in boxes:
            middle = (box[:2] + box[2:]) / 2
            hits += any((middle > cell.box[:2]).all() and (middle < cell.box[2:]).all() for cell in cells)
        counted, truth = counted + len(cells), truth + len(boxes)
    assert hits >= 0.95 * truth
    assert counted <= 1.1 * truth
