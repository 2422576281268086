"""Every white cell of a field, on fields put together from rendered cells, and on drawn masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dorl.domains import read_image
from dorl.domains.boxes import read_fields
from dorl.domains.rendered import STYLES, render_cell
from dorl.domains.rendered.field import RenderedField, Scene, render_field
from dorl.segmentation import Segmenter, fields, fieldwindows
from dorl.segmentation.fieldcells import FieldCell, cut_out
from dorl.segmentation.fields import find_cells, search
from dorl.segmentation.ruler import Ruler
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


@pytest.mark.parametrize("shape", [(150, 200), (8, 8), (9, 300)])
def test_an_empty_field_has_no_cells_and_noise_breaks_nothing(tiny: Segmenter, shape: tuple[int, int]) -> None:
    assert find_cells(tiny, np.full((*shape, 3), 230, np.uint8)) == []
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    found = [placed(cell, shape) for cell in find_cells(tiny, noise)]
    assert np.sum([np.zeros(shape), *found], axis=0).max() <= 1


def test_the_image_of_one_cell_holds_it(tiny: Segmenter) -> None:
    image, _ = rendered_field("dune", [["neutrophil_segmented", "monocyte"]])
    for cell in find_cells(tiny, image):
        crop, mask = cut_out(image, cell)
        assert crop.shape[:2] == mask.shape
        assert crop.shape[0] == crop.shape[1]
        assert mask.sum() == cell.mask.sum()
        assert crop.shape[0] >= 1.5 * max(cell.mask.shape)
        assert (crop[mask] == image[placed(cell, image.shape)]).all()


GREY, PINK = (196.0, 196.0, 192.0), (226.0, 168.0, 186.0)


def hard_field(seed: int, **changes: object) -> RenderedField:
    """One white cell among pale red ones, in light that is pink at the rim."""
    red = tuple(0.35 * amount for amount in STYLES["harbour"].haemoglobin)
    style = replace(STYLES["harbour"], haemoglobin=red, background=GREY, vignette=0.3, debris=1.0, noise=4.0)
    scene = replace(Scene((720, 450), 30, 1, style, PINK), **changes)
    return render_field(scene, np.random.default_rng(seed))


@pytest.mark.parametrize(
    "changes", [{}, {"marks": ("scale bar", "round stop")}, {"deposits": 6}, {"blur": 0.05, "tilt": 0.05}]
)
def test_one_white_cell_among_pale_red_ones_in_uneven_light_is_found(tiny: Segmenter, changes: dict) -> None:
    truth = hard_field(5, **changes)
    (cell,) = find_cells(tiny, truth.image)
    (box,) = truth.boxes
    assert np.abs(np.array(cell.box) - box).max() < 0.25 * (box[2] - box[0])


def test_a_field_without_white_cells_is_searched_in_few_windows(
    tiny: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = hard_field(1, white_cells=0)
    asked: list[int] = []
    probabilities = fieldwindows.probabilities
    monkeypatch.setattr(
        fieldwindows, "probabilities", lambda one, windows: asked.append(len(windows)) or probabilities(one, windows)
    )
    assert [cell for cell in find_cells(tiny, truth.image) if not cell.touches_border] == []
    assert sum(asked) <= fieldwindows.ALWAYS


def test_of_a_field_full_of_white_cells_not_each_is_looked_at_twice(
    tiny: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = render_field(Scene((900, 640), 40.0, 14, STYLES["harbour"]), np.random.default_rng(3))
    asked: list[int] = []
    probabilities = fieldwindows.probabilities
    monkeypatch.setattr(
        fieldwindows, "probabilities", lambda one, windows: asked.append(len(windows)) or probabilities(one, windows)
    )
    cells = find_cells(tiny, truth.image)
    assert len(cells) == len(truth.boxes)
    assert asked[-1] < len(cells)  # what is large in its window isn't looked at again
    for number in range(1, len(truth.boxes) + 1):
        mask = truth.labels == number
        best = max(2 * (mask & own).sum() / (mask.sum() + own.sum()) for own in (placed(c, mask.shape) for c in cells))
        assert best > 0.9


def test_a_cell_that_its_window_cuts_or_shows_small_is_looked_at_again() -> None:
    parts = np.zeros((40, 40), int)
    parts[10:30, 12:30] = 1
    chance = np.where(parts == 1, 0.9, 0.1)
    window = np.s_[60:100, 0:40]
    assert fieldwindows._cell(parts, 1, chance, window, (200, 200), 14.0).fine
    beside = np.roll(parts, 12, 1)  # at the window's right side, where the field goes on
    assert not fieldwindows._cell(beside, 1, np.roll(chance, 12, 1), window, (200, 200), 14.0).fine
    edge = np.roll(parts, -12, 1)  # at the window's left side, which is the field's
    assert fieldwindows._cell(edge, 1, np.roll(chance, -12, 1), window, (200, 200), 14.0).fine
    small = parts * (np.abs(np.indices((40, 40)) - 20).max(0) < 5)
    assert not fieldwindows._cell(small, 1, chance, window, (200, 200), 14.0).fine


def test_the_search_goes_on_past_its_bound_as_long_as_it_finds_cells(
    tiny: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = rendered_field("harbour", NAMES)
    monkeypatch.setattr(fieldwindows, "BATCH", 1)
    monkeypatch.setattr(fieldwindows, "ALWAYS", 0)
    monkeypatch.setattr(fieldwindows, "TIMES", 0)
    assert len(find_cells(tiny, image)) == 6
    monkeypatch.setattr(fieldwindows, "WORTH", 2.0)
    assert len(find_cells(tiny, image)) == 1


def test_of_two_estimates_in_doubt_the_one_that_shows_a_cell_is_taken(tiny: Segmenter) -> None:
    truth = hard_field(5)
    for wrong in (9.0, 120.0):
        for ruler in (Ruler(wrong, 0.0, 30.0), Ruler(30.0, 0.0, wrong)):
            found = search(tiny, truth.image, ruler=ruler)
            assert found.ruler.diameter == 30.0
            assert len(found.cells) == 1


def test_of_two_estimates_that_show_the_same_cells_the_one_that_makes_them_usual_in_size_is_taken(
    tiny: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = np.hypot(*(np.indices((62, 62)) - 30.5))
    confidence = {32.0: 0.95, 47.0: 0.96}
    monkeypatch.setattr(
        fields,
        "look_at",
        lambda segmenter, picture, groups, unit: [FieldCell((0, 0, 62, 62), at < 31, confidence[unit])] * 4,
    )
    blank = np.full((200, 300, 3), 230, np.uint8)
    for first, second in ((32.0, 47.0), (47.0, 32.0)):
        assert fields._tried(tiny, blank, Ruler(first, 0.0, second)).diameter == 32.0


@pytest.mark.shared
@pytest.mark.slow
def test_the_white_cells_of_real_fields_are_found(tiny: Segmenter, data: Path) -> None:
    """Every tenth of the even-numbered fields; tools/measure/fields.py measures the others."""
    real = [field for field in read_fields(data / "BCCD_fields") if field.path.stem[-1] in "02468"][::10]
    hits = counted = truth = 0
    for field in real:
        cells, boxes = find_cells(tiny, read_image(field.path)), field.of("WBC")
        for box in boxes:
            middle = (box[:2] + box[2:]) / 2
            hits += any((middle > cell.box[:2]).all() and (middle < cell.box[2:]).all() for cell in cells)
        counted, truth = counted + len(cells), truth + len(boxes)
    assert hits >= 0.95 * truth
    assert counted <= 1.1 * truth


@pytest.mark.parametrize(
    ("across", "stain", "kept"),
    [(0.6, 0.9, True), (0.6, 0.5, False), (1.2, 0.5, True)],
    ids=["a small lymphocyte", "a large platelet", "a pale monocyte"],
)
def test_what_is_small_and_pale_beside_a_nucleus_is_a_platelet(across: float, stain: float, kept: bool) -> None:
    def disc(left: int, diameter: float) -> FieldCell:
        side = round(diameter)
        at = np.hypot(*(np.indices((side, side)) - (side - 1) / 2))
        return FieldCell((left, 10, left + side, 10 + side), at < side / 2, 0.9)

    unit = 40.0
    nucleus, small = disc(20, 1.6 * unit), disc(200, across * unit)
    places = [Place(30, 50, 30, 1.0), Place(20, 210, 15, stain)]
    assert fields._without_platelets([nucleus, small], places, unit) == [nucleus, small][: 1 + kept]
    assert fields._without_platelets([small], places[1:], unit) == [small]
    at_the_edge = replace(small, touches_border=True)
    assert fields._without_platelets([nucleus, at_the_edge], places, unit) == [nucleus, at_the_edge]
