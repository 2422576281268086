"""What a mask means: the cell is what differs from the outside, however it was saved."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dorl.domains import read_mask
from dorl.domains.masks import MaskMeaning, conclude
from dorl.errors import BadImageError

CELL = np.zeros((60, 80), bool)
CELL[10:50, 20:70] = True


def same(path: Path, cell: np.ndarray = CELL, meaning: MaskMeaning | None = None) -> bool:
    found = read_mask(path, cell.shape, *([meaning] if meaning else []))
    assert found.dtype == bool
    return bool((found == cell).all())


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_bool_tiff(tmp_path, inverted, photometric):
    tifffile.imwrite(tmp_path / "m.tif", ~CELL if inverted else CELL, photometric=photometric)
    assert same(tmp_path / "m.tif")


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("colours", [(0, 0, 0, 255, 255, 255), (255, 255, 255, 0, 0, 0), (7, 7, 7, 7, 7, 7)])
def test_indexed_png(tmp_path, inverted, colours):
    image = Image.fromarray((CELL ^ inverted).astype(np.uint8)).convert("P")
    image.putpalette(colours)
    image.save(tmp_path / "m.png")
    assert same(tmp_path / "m.png")


@pytest.mark.parametrize("value", [1, 255, 256, 65535])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits(tmp_path, value, inverted, ending, channels):
    values = ((CELL ^ inverted) * value).astype(np.uint16)
    values = values if channels == 1 else np.dstack([values] * 3)
    if ending == "png":
        (tmp_path / "m.png").write_bytes(imagecodecs.png_encode(values))
    else:
        tifffile.imwrite(tmp_path / "m.tif", values, photometric="rgb" if channels == 3 else "minisblack")
    assert same(tmp_path / f"m.{ending}")


def test_jtsc(tmp_path):
    levels = np.where(CELL, 128, 0).astype(np.uint8)
    levels[20:40, 30:50] = 255
    Image.fromarray(levels).save(tmp_path / "m.png")
    assert same(tmp_path / "m.png")
    assert conclude([tmp_path / "m.png"]) == (MaskMeaning(), None)


def test_a_cell_at_the_border_and_one_cut_tight(tmp_path):
    cut = np.zeros((60, 80), bool)
    cut[:40, 30:] = True
    rows, columns = np.mgrid[-1:1:60j, -1:1:80j]
    tight = rows**2 + columns**2 < 1.3  # all but the corners
    for number, cell in enumerate((cut, tight)):
        for inverted in (False, True):
            path = tmp_path / f"{number}{inverted}.png"
            Image.fromarray((cell ^ inverted).astype(np.uint8) * 255).save(path)
            assert same(path, cell), path


def test_colours_floats_and_transparency(tmp_path):
    blue = np.full((60, 80, 3), (0, 0, 128), np.uint8)
    blue[CELL] = (128, 0, 0)
    Image.fromarray(blue).save(tmp_path / "blue.png")
    tifffile.imwrite(tmp_path / "float.tif", np.where(CELL, 0.5, 1).astype(np.float32))
    seen = np.dstack([np.full((60, 80, 3), 255, np.uint8), CELL.astype(np.uint8) * 255])
    Image.fromarray(seen).save(tmp_path / "alpha.png")
    assert all(same(tmp_path / name) for name in ("blue.png", "float.tif", "alpha.png"))
    seen[...] = (0, 0, 0, 255)
    Image.fromarray(seen).save(tmp_path / "black.png")
    assert same(tmp_path / "black.png", np.zeros((60, 80), bool))


def test_inverted_jpg(tmp_path):
    Image.fromarray((~CELL).astype(np.uint8) * 255).save(tmp_path / "m.jpg", quality=50)
    assert (read_mask(tmp_path / "m.jpg", CELL.shape) == CELL).mean() > 0.98


@pytest.mark.parametrize("share", [0.001, 0.999, 1.0])
def test_what_is_not_plausible_is_refused(tmp_path, share):
    values = np.zeros(4800, np.uint8)
    values[: round(share * 4800)] = 9
    Image.fromarray(np.rot90(values.reshape(60, 80), 2)).save(tmp_path / "m.png")
    with pytest.raises(BadImageError, match=r"can't tell which part of this mask is the cell.*--mask-value"):
        read_mask(tmp_path / "m.png", (60, 80))


def test_what_the_user_says_wins(tmp_path):
    levels = np.where(CELL, 1, 2).astype(np.uint8)
    levels[:5] = 0
    Image.fromarray(levels).save(tmp_path / "m.png")
    assert same(tmp_path / "m.png", meaning=MaskMeaning(cell=(1,)))
    assert same(tmp_path / "m.png", levels == 2, meaning=MaskMeaning(cell=(2,)))
    assert same(tmp_path / "m.png", levels > 0, meaning=MaskMeaning(cell=(1, 2)))
    assert conclude([tmp_path / "m.png"], (1, 2)) == (
        MaskMeaning(cell=(1, 2)),
        "masks: 1, 2 is the cell, as --mask-value says",
    )


def test_what_was_concluded_is_told_once_a_lab(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        Image.fromarray(np.where(CELL, 0, 255).astype(np.uint8)).save(path)
    meaning, note = conclude(paths)
    assert meaning.outside == (255,)
    assert note == (
        "masks: outside the cell is 255, and the cell what differs (5 looked at) "
        "(--mask-value says which value is the cell)"
    )
    wide = np.zeros((60, 80), bool)
    wide[:, 10:70] = True  # by its own border it would be taken for the outside
    Image.fromarray(np.where(wide, 0, 255).astype(np.uint8)).save(tmp_path / "wide.png")
    Image.fromarray(np.where(CELL, 255, 0).astype(np.uint8)).save(paths[0])
    meaning, note = conclude(paths)
    assert note is not None
    assert note.startswith("masks differ in what is outside the cell (255 in 4, 0 in 1)")
    assert all(same(path, meaning=meaning) for path in paths)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    centre=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    radius=st.floats(0.1, 0.45),
    values=st.lists(st.integers(0, 65535), min_size=3, max_size=3, unique=True),
    kind=st.sampled_from(["png", "tif", "rgb.tif", "lzw.tif"]),
)
def test_any_two_values(tmp_path, centre, radius, values, kind):
    rows, columns = np.mgrid[0:1:64j, 0:1:64j]
    away = np.hypot(rows - centre[0], columns - centre[1])
    outside, cytoplasm, nucleus = values
    levels = np.where(away < radius, cytoplasm, outside)
    levels[away < radius / 2] = nucleus
    levels = levels.astype(np.uint16)
    path = tmp_path / f"m.{kind}"
    if kind == "png":
        Image.fromarray(levels).save(path)
    elif kind == "rgb.tif":
        tifffile.imwrite(path, np.dstack([levels, levels * 0, levels * 0]), photometric="rgb")
    else:
        tifffile.imwrite(path, levels, compression="lzw" if kind == "lzw.tif" else None)
    assert same(path, away < radius)


def test_an_outline_is_told_and_not_taken_for_the_cell(tmp_path):
    ring = CELL.copy()
    ring[12:48, 22:68] = False
    Image.fromarray(ring.astype(np.uint8) * 255).save(tmp_path / "m.png")
    with pytest.raises(BadImageError, match=r"m\.png: shows the outline of a cell and not the cell: fill it"):
        read_mask(tmp_path / "m.png", CELL.shape)
    hollow = CELL.copy()
    hollow[20:40, 30:60] = False  # cytoplasm alone is read as it is
    Image.fromarray(hollow.astype(np.uint8) * 255).save(tmp_path / "m.png")
    assert same(tmp_path / "m.png", hollow)


@pytest.mark.parametrize("inside", [0, 1, -3])
def test_undefined_numbers_are_the_outside(tmp_path, inside):
    tifffile.imwrite(tmp_path / "m.tif", np.where(CELL, inside, np.nan).astype(np.float32))
    assert same(tmp_path / "m.tif")
