import io
import json

import numpy as np
import pytest
from PIL import Image

from dorl.reporting import CellMap, Picture
from dorl.reporting.cellmap import COLUMNS, SIDE, drawn, picture_sheet, scaled


def test_each_lab_is_drawn_alike_while_it_has_cells():
    labs = np.array(["big"] * 500 + ["small"] * 20 + ["middle"] * 80)
    rows = drawn(labs, seed=1, most=120)
    assert rows.tolist() == sorted(set(rows))
    counts = {name: int((labs[rows] == name).sum()) for name in ("big", "small", "middle")}
    assert counts == {"big": 50, "small": 20, "middle": 50}
    assert rows.tolist() == drawn(labs, seed=1, most=120).tolist() != drawn(labs, seed=2, most=120).tolist()
    assert drawn(labs, most=1000).tolist() == list(range(600))


@pytest.mark.parametrize("count", [1, COLUMNS, COLUMNS + 1])
def test_the_sheet_has_each_picture_at_its_place(count):
    colours = np.random.default_rng(0).integers(0, 255, (count, 1, 1, 3), dtype=np.uint8)
    content = picture_sheet(np.broadcast_to(colours, (count, 128, 128, 3)))
    with Image.open(io.BytesIO(content)) as sheet:
        assert sheet.format == "JPEG"
        assert sheet.size == (SIDE * min(count, COLUMNS), SIDE * -(-count // COLUMNS))
        pixels = np.asarray(sheet)
    for number in range(count):
        y, x = number // COLUMNS * SIDE, number % COLUMNS * SIDE
        middle = pixels[y + 24 : y + 40, x + 24 : x + 40].reshape(-1, 3).mean(0)
        np.testing.assert_allclose(middle, colours[number, 0, 0], atol=6)


@pytest.mark.parametrize("points", [[(0, 0)], [(2, 2), (2, 2)], [(-1, 5), (3, 6), (0, 7)]])
def test_places_lie_in_0_to_1000_with_the_second_axis_down_and_both_axes_alike(points):
    found = scaled(points)
    assert found.min() >= 0
    assert found.max() <= 1000
    if len(points) == 3:
        assert (found[1] - found[0]).tolist() == [1000, -250]


def test_groups_have_the_colours_of_the_other_figures_and_cells_without_label_are_grey(tmp_path):
    it = CellMap(
        np.zeros((3, 2)), ["b", "b", "a"], ["monocyte", "", "basophil"], ["1", "2", "3"], b"", Picture("p.png"),
        order=["c", "a", "b"],
    )  # fmt: skip
    lab, of_class = json.loads(json.dumps(it.data))["groupings"]
    assert [group["name"] for group in lab["groups"]] == ["c", "a", "b"]
    assert lab["of"] == [2, 2, 1]
    assert [group["name"] for group in of_class["groups"]] == ["basophil", "monocyte", "no label"]
    assert of_class["of"] == [1, 2, 0]
    assert lab["groups"][0]["colour"] == "#0072B2"
    assert of_class["groups"][2]["colour"] == "#b4b4b4"
